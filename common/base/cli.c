/* cli: reads option values strictly, and ends programs. */
#include "common/base/cli.h"
#include "common/base/interrupt.h"
#include "common/base/log.h"
#include "common/base/output.h"
#include "common/base/streams.h"
#include "common/base/text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool parsing;

/* argp exits with 0 even when it could not print --help. */
static void check_printed(void) {
    enum status status = parsing ? streams_flush() : STATUS_OK;
    if (status == STATUS_PIPE)
        interrupt_raise_pipe();
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, status_message());
    _exit(CLI_EXIT_FAILED);
}

void cli_parse(const struct argp *argp, int argc, char *argv[], unsigned flags, void *input) {
    argp_err_exit_status = CLI_EXIT_USAGE;
    atexit(check_printed);
    parsing = true;
    argp_parse(argp, argc, argv, flags, NULL, input);
    parsing = false;
}

void cli_fail(const struct argp_state *state, const char *format, ...) {
    char text[1024], shown[4 * sizeof text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_visible(text, shown, sizeof shown);
    fprintf(stderr, "%s: %s; see %s --help\n", state->name, shown, state->name);
    exit(CLI_EXIT_USAGE);
}

uint64_t cli_whole(const struct argp_state *state, const char *option, const char *text, uint64_t minimum,
                   uint64_t maximum) {
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    bool digits = *text != '\0' && strspn(text, "0123456789") == strlen(text);
    if (!digits || errno != 0 || value < minimum || value > maximum) {
        if (maximum == UINT64_MAX)
            cli_fail(state, "%s=%s: must be a whole number from %llu up", option, text,
                     (unsigned long long)minimum);
        cli_fail(state, "%s=%s: must be a whole number from %llu to %llu", option, text,
                 (unsigned long long)minimum, (unsigned long long)maximum);
    }
    return value;
}

double cli_real(const struct argp_state *state, const char *option, const char *text, double minimum,
                double maximum) {
    char *end = NULL;
    double value = strtod(text, &end);
    bool decimal = strspn(text, "0123456789.+-eE") == strlen(text);
    if (!decimal || end == text || *end != '\0' || !isfinite(value) || value < minimum || value > maximum)
        cli_fail(state, "%s=%s: must be a number from %g to %g", option, text, minimum, maximum);
    return value;
}

size_t cli_nbytes(const struct argp_state *state, const char *option, const char *text) {
    static const char units[] = "KMGT";
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    const char *unit = end != text && *end != '\0' ? strchr(units, *end) : NULL;
    unsigned shift = unit == NULL ? 0 : 10 * (unsigned)(unit - units + 1);
    bool whole = *text >= '0' && *text <= '9' && errno == 0 && *(unit == NULL ? end : end + 1) == '\0';
    if (!whole || value == 0 || value > SIZE_MAX >> shift)
        cli_fail(state, "%s=%s: must be a number of bytes, as 500M or 8G", option, text);
    return (size_t)value << shift;
}

int cli_choice(const struct argp_state *state, const char *option, const char *text,
               const char *const choices[], int count) {
    char list[256] = "";
    for (int i = 0; i < count; i++) {
        if (strcmp(text, choices[i]) == 0)
            return i;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s",
                 i == 0           ? ""
                 : i == count - 1 ? " or "
                                  : ", ",
                 choices[i]);
    }
    cli_fail(state, "%s=%s: must be %s", option, text, list);
}

int cli_exit_status(enum status status) {
    if (status == STATUS_OK)
        status = streams_flush();
    if (status == STATUS_OK)
        return EXIT_SUCCESS;
    if (status == STATUS_PIPE)
        interrupt_raise_pipe();
    log_error("%s", status_message());
    if (status == STATUS_INTERRUPTED)
        return 128 + interrupt_signal();
    return status == STATUS_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_FAILED;
}

bool cli_same_file(const char *a, const char *b) {
    struct stat first, second;
    return a != NULL && b != NULL && stat(a, &first) == 0 && stat(b, &second) == 0 &&
           first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

/* Whether two names of files that do not exist yet mean the same file. */
static bool same_new_file(const char *a, const char *b) {
    const char *a_slash = strrchr(a, '/'), *b_slash = strrchr(b, '/');
    char *a_folder = output_folder(a), *b_folder = output_folder(b);
    bool same = strcmp(a_slash != NULL ? a_slash + 1 : a, b_slash != NULL ? b_slash + 1 : b) == 0 &&
                cli_same_file(a_folder, b_folder);
    free(a_folder);
    free(b_folder);
    return same;
}

bool cli_same_result(const char *a, const char *b) {
    struct stat first, second;
    if (a == NULL || b == NULL)
        return false;
    if (strcmp(a, b) == 0 || streams_same(a, b))
        return true;
    bool there = stat(a, &first) == 0;
    if (there != (stat(b, &second) == 0))
        return false;
    if (there)
        return S_ISREG(first.st_mode) && cli_same_file(a, b);
    char *a_target = NULL, *b_target = NULL;
    bool same = output_target(&a_target, a) == STATUS_OK && output_target(&b_target, b) == STATUS_OK &&
                same_new_file(a_target, b_target);
    free(a_target);
    free(b_target);
    return same;
}
