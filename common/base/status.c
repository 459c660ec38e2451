/* status: names of outcomes, and the message of the last failure. It does not print and does not exit. */
#include "common/base/status.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
    [STATUS_OK] = "ok",
    [STATUS_USAGE] = "wrong usage",
    [STATUS_NO_MEMORY] = "no memory",
    [STATUS_IO] = "input/output error",
    [STATUS_FORMAT] = "wrong format",
    [STATUS_CORRUPT] = "damaged data",
    [STATUS_MISMATCH] = "mismatch",
    [STATUS_BUSY] = "busy",
    [STATUS_UNSUPPORTED] = "not supported",
    [STATUS_NOT_FINITE] = "not finite",
    [STATUS_INTERRUPTED] = "interrupted",
    [STATUS_PIPE] = "broken pipe",
};
_Static_assert(sizeof names / sizeof names[0] == STATUS_COUNT, "every status has a name");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char message[1024];

const char *status_name(enum status status) {
    return (unsigned)status < STATUS_COUNT ? names[status] : "unknown status";
}

/* Formats into a second buffer first, because an argument may point into the message itself. */
__attribute__((format(printf, 1, 0))) static void set_message(const char *format, va_list args,
                                                              const char *suffix) {
    char text[sizeof message];
    vsnprintf(text, sizeof text, format, args);
    pthread_mutex_lock(&lock);
    snprintf(message, sizeof message, "%s%s%s", text, suffix ? ": " : "", suffix ? suffix : "");
    pthread_mutex_unlock(&lock);
}

enum status status_set(enum status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    set_message(format, args, NULL);
    va_end(args);
    return status;
}

enum status status_set_errno(const char *format, ...) {
    char reason[256];
    const char *text = strerror_r(errno, reason, sizeof reason);
    va_list args;
    va_start(args, format);
    set_message(format, args, text);
    va_end(args);
    return STATUS_IO;
}

enum status status_set_no_memory(size_t nbytes, const char *what) {
    return status_set(STATUS_NO_MEMORY, "%s: cannot allocate %zu bytes of memory", what, nbytes);
}

const char *status_message(void) {
    return message;
}
