/* option: a command line as a table, one row per option: its name, its range or choices, the jobs it goes with, its
 * help, and the field that it sets. It knows no program: each program has its own tables. glibc's argp reads the line
 * and prints --help.
 *
 * The options of a program are one struct, filled with defaults. Each row names a field of it by its offset. */
#ifndef COMMON_BASE_OPTION_H
#define COMMON_BASE_OPTION_H

#include "common/base/cli.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the value of an option must be, and the type of its field. */
enum option_type {
    OPTION_FLAG,   /* no value; bool, set to true */
    OPTION_SET,    /* no value; int (an enum), set to minimum */
    OPTION_WHOLE,  /* a whole number of minimum..maximum; uint64_t */
    OPTION_REAL,   /* a real number of minimum..maximum; double */
    OPTION_NBYTES, /* a number of bytes, as 500M; size_t */
    OPTION_CHOICE, /* one of choices[]; int (an enum): its index */
    OPTION_TEXT,   /* anything; const char * */
    OPTION_FILE    /* a name, not empty; const char * */
};

/* One option. What a row leaves out is 0. */
struct option_row {
    const char *name;  /* without its dashes */
    char letter;       /* of the short form; 0: none */
    const char *value; /* as --help calls it; NULL: takes none */
    size_t group;      /* of --help, from 1 */
    enum option_type type;
    size_t offset; /* of its field */
    long double minimum, maximum;
    const char *const *choices; /* ends with NULL */
    unsigned jobs;              /* bits of the jobs that it goes with; 0: all */
    unsigned methods;           /* bits of the methods (of a job) that it goes with; 0: all */
    const char *needs;          /* the option without which it has no meaning */
    const char *attribute;      /* the name of its field in files; NULL: it is not kept */
    bool optional;              /* it is kept only where it is not 0 */
    const char *label;          /* its name in a report; NULL: not there */
    int rank;                   /* its place there, from 1 */
    const char *help;
};

enum { OPTION_ROWS_MAX = 96 };

/* A program's command line. */
struct option_program {
    const struct option_row *tables[2]; /* each ends with a row without a name; the second may be NULL */
    size_t structs[2]; /* for each table: where in the program's struct the struct of its offsets begins */
    const char *const *groups; /* titles of --help, from group 1 */
    const char *argument;      /* what an argument is called, as "DATASET" */
    const char *arguments;     /* what stands behind the options, for --help */
    const char *doc;           /* what the program does; behind "\v" what stands at the end of --help */
    /* Takes an argument that is no option. False: there are too many. */
    bool (*take_argument)(void *fields, const char *text);
    /* choose_job: the job of the command line, and its method, as indices of the names below. check: what one option
     * demands of another; it calls cli_fail(). Either may be NULL. */
    void (*choose_job)(const struct argp_state *state, void *fields, const bool given[], int *job_ret,
                       int *method_ret);
    void (*check)(const struct argp_state *state, void *fields, const bool given[]);
    const char *const *job_names;    /* as "--evaluate", for messages */
    const char *method_option;       /* as "optimizer" */
    const char *const *method_names; /* ends with NULL */
};

/* Reads a command line into `fields`, or exits: with 0 after --help and --version, with CLI_EXIT_USAGE when it is
 * wrong. given[i] of `check`: row i, counted through both tables, was on the line. */
void option_parse(const struct option_program *program, void *fields, int argc, char *argv[]);

/* The row of a name, and its index in given[]. A name that no row has is a bug. */
const struct option_row *option_find(const struct option_program *program, const char *name,
                                     size_t *index_ret);

#endif
