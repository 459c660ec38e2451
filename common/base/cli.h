/* cli: option values, read strictly. Option tables and --help are glibc argp's business. */
#ifndef COMMON_BASE_CLI_H
#define COMMON_BASE_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLI_EXIT_FAILED = 1, CLI_EXIT_USAGE = 2 };

/* argp_parse() with `input`, which exits with CLI_EXIT_USAGE on a wrong command line. When what it prints
 * itself, --help and --version, cannot be written, that is told, and the exit status is CLI_EXIT_FAILED. */
void cli_parse(const struct argp *argp, int argc, char *argv[], unsigned flags, void *input);

/* One line "PROGRAM: message; see PROGRAM --help" on standard error, then exit with CLI_EXIT_USAGE. */
void cli_fail(const struct argp_state *state, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* The value of an option as a whole number of minimum..maximum (decimal digits only), or as a finite real
 * number of minimum..maximum; anything else is a cli_fail() that names the option and its range. */
uint64_t cli_whole(const struct argp_state *state, const char *option, const char *text, uint64_t minimum,
                   uint64_t maximum);
double cli_real(const struct argp_state *state, const char *option, const char *text, double minimum,
                double maximum);

/* The value of an option as a number of bytes, at least 1: a whole number, alone or with K, M, G or T behind
 * it for powers of 1024. Anything else is a cli_fail(). */
size_t cli_nbytes(const struct argp_state *state, const char *option, const char *text);

/* The index of `text` in choices[count]; anything else is a cli_fail() that lists the choices. */
int cli_choice(const struct argp_state *state, const char *option, const char *text,
               const char *const choices[], int count);

/* Whether two names, either of which may be NULL, lead to one file that is there. */
bool cli_same_file(const char *a, const char *b);

/* Whether two results, either of which may be NULL, have one name, however it is written, or one regular
 * file, or are standard output both: as head.h5 and ./head.h5, which need not be there yet. Devices may take
 * several. */
bool cli_same_result(const char *a, const char *b);

#endif
