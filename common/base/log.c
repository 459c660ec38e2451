/* log: messages for people while a program works, on standard error. */
#include "common/base/log.h"
#include "common/base/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char *program = "vggcache";
static enum log_level level = LOG_NORMAL;
static bool transient; /* a transient line is on the terminal */

void log_init(const char *name, enum log_level new_level) {
    program = name;
    level = new_level;
}

enum log_level log_level(void) {
    return level;
}

void log_transient(const char *text) {
    struct winsize window = {0};
    int width = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1 ? window.ws_col - 1 : 79;
    fprintf(stderr, "\r%.*s\033[K", width, text);
    fflush(stderr);
    transient = true;
}

void log_transient_wipe(void) {
    if (transient)
        fputs("\r\033[K", stderr);
    transient = false;
}

/* Prints one line, whatever the names in it are, in one piece, so that lines of other processes do not
 * mix with it. */
__attribute__((format(printf, 2, 0))) static void print_line(const char *kind, const char *format,
                                                             va_list args) {
    enum { LINE = 6000 };
    char said[LINE], line[4 * LINE + 2];
    int used = snprintf(said, sizeof said / 2, "%s: %s", program, kind);
    used = used < (int)sizeof said / 2 ? used : (int)sizeof said / 2 - 1;
    vsnprintf(said + used, sizeof said - (size_t)used, format, args);
    text_visible(said, line, sizeof line - 1);
    strcat(line, "\n");
    log_transient_wipe();
    fputs(line, stderr);
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
