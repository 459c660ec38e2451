/* log: what a person reads while a program works, on standard error. */
#include "common/base/log.h"
#include "common/base/progress.h"

#include <stdarg.h>
#include <stdio.h>

static const char *program = "vggcache";
static enum log_level level = LOG_NORMAL;

void log_init(const char *name, enum log_level new_level) {
    program = name;
    level = new_level;
}

enum log_level log_level(void) {
    return level;
}

__attribute__((format(printf, 2, 0))) static void print_line(const char *kind, const char *format,
                                                             va_list args) {
    progress_wipe();
    flockfile(stderr);
    fprintf(stderr, "%s: %s", program, kind);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    funlockfile(stderr);
}

void log_error(const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

void log_warning(const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line("warning: ", format, args);
    va_end(args);
}

void log_info(const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (level >= LOG_NORMAL)
        print_line("", format, args);
    va_end(args);
}

void log_detail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (level >= LOG_VERBOSE)
        print_line("", format, args);
    va_end(args);
}
