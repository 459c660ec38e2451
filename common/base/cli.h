/* cli: reads option values strictly, and ends programs. glibc's argp has the option tables and --help. */
#ifndef COMMON_BASE_CLI_H
#define COMMON_BASE_CLI_H

#include "common/base/status.h"
#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLI_EXIT_FAILED = 1, CLI_EXIT_USAGE = 2 };

/* Runs argp_parse() with `input`. It exits with CLI_EXIT_USAGE on a wrong command line. If --help or --version cannot
 * be written, it reports this and exits with CLI_EXIT_FAILED. */
void cli_parse(const struct argp *argp, int argc, char *argv[], unsigned flags, void *input);

/* Prints one line "PROGRAM: message; see PROGRAM --help" on standard error and exits with CLI_EXIT_USAGE. */
void cli_fail(const struct argp_state *state, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* Return the value of an option as a whole number of minimum..maximum (decimal digits only), or as a finite real
 * number of minimum..maximum. Anything else is a cli_fail() that names the option and its range. */
uint64_t cli_whole(const struct argp_state *state, const char *option, const char *text, uint64_t minimum,
                   uint64_t maximum);
double cli_real(const struct argp_state *state, const char *option, const char *text, double minimum,
                double maximum);

/* Returns the value of an option as a number of bytes, at least 1: a whole number, alone or followed by K, M, G or T
 * for powers of 1024. Anything else is a cli_fail(). */
size_t cli_nbytes(const struct argp_state *state, const char *option, const char *text);

/* Returns the index of `text` in choices[count]. Anything else is a cli_fail() that lists the choices. */
int cli_choice(const struct argp_state *state, const char *option, const char *text,
               const char *const choices[], int count);

/* Ends a program: flushes standard output, prints the message of a failure, and returns the exit status. If the
 * reader of standard output is gone, it ends the process like SIGPIPE. */
int cli_exit_status(enum status status);

/* Whether two names lead to one file that exists. Either may be NULL. */
bool cli_same_file(const char *a, const char *b);

/* Whether two results would be one file: they have one name, however it is written (head.h5 and ./head.h5, which
 * need not exist yet), or are one regular file, or are both standard output. Either may be NULL. Two results may go
 * to one device. */
bool cli_same_result(const char *a, const char *b);

#endif
