/* option: a command line as a table, one row per option. */
#include "common/base/option.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { KEY_FIRST = 256 }; /* keys of options without a letter; argp's keys below are letters */

/* What the parser passes to parse_key(). */
struct parse {
    const struct option_program *program;
    void *fields;
    bool given[OPTION_ROWS_MAX];
};

/* Row i of both tables; NULL after the last. *struct_ret: where in the fields its struct begins. */
static const struct option_row *locate(const struct option_program *program, size_t i, size_t *struct_ret) {
    for (size_t t = 0; t < 2 && program->tables[t] != NULL; t++)
        for (const struct option_row *row = program->tables[t]; row->name != NULL; row++)
            if (i-- == 0) {
                *struct_ret = program->structs[t];
                return row;
            }
    return NULL;
}

static const struct option_row *row_at(const struct option_program *program, size_t i) {
    size_t ignored;
    return locate(program, i, &ignored);
}

const struct option_row *option_find(const struct option_program *program, const char *name,
                                     size_t *index_ret) {
    const struct option_row *row = NULL;
    for (*index_ret = 0; (row = row_at(program, *index_ret)) != NULL; ++*index_ret)
        if (strcmp(row->name, name) == 0)
            break;
    assert(row != NULL);
    return row;
}

static int key_of(const struct option_row *row, size_t i) {
    return row->letter != 0 ? row->letter : KEY_FIRST + (int)i;
}

static int choice_count(const struct option_row *row) {
    int count = 0;
    while (row->choices[count] != NULL)
        count++;
    return count;
}

/* Reads the value of one option into its field. */
static void set_field(const struct argp_state *state, const struct option_row *row, const char *value,
                      void *field) {
    char name[64];
    snprintf(name, sizeof name, "--%s", row->name);
    switch (row->type) {
    case OPTION_FLAG:
        *(bool *)field = true;
        break;
    case OPTION_SET:
        *(int *)field = (int)row->minimum;
        break;
    case OPTION_WHOLE:
        *(uint64_t *)field = cli_whole(state, name, value, (uint64_t)row->minimum, (uint64_t)row->maximum);
        break;
    case OPTION_REAL:
        *(double *)field = cli_real(state, name, value, (double)row->minimum, (double)row->maximum);
        break;
    case OPTION_NBYTES:
        *(size_t *)field = cli_nbytes(state, name, value);
        break;
    case OPTION_CHOICE:
        *(int *)field = cli_choice(state, name, value, row->choices, choice_count(row));
        break;
    case OPTION_FILE:
        if (*value == '\0')
            cli_fail(state, "%s=: the name of a %s is missing", name,
                     strcmp(row->value, "DIR") == 0 ? "folder" : "file");
        *(const char **)field = value;
        break;
    case OPTION_TEXT:
        *(const char **)field = value;
        break;
    }
}

/* Lists the methods that a row goes with, as "adam or sgd". */
static const char *list_methods(const struct option_program *program, unsigned methods, char text[128]) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; program->method_names[i] != NULL; i++)
        if (methods & 1u << i)
            used += (size_t)snprintf(text + used, 128 - used, "%s%s", used > 0 ? " or " : "",
                                     program->method_names[i]);
    return text;
}

/* Refuses options that would do nothing. */
static void check_rows(const struct argp_state *state, struct parse *parse) {
    const struct option_program *program = parse->program;
    int job = 0, method = 0;
    char list[128];
    if (program->choose_job != NULL)
        program->choose_job(state, parse->fields, parse->given, &job, &method);
    const struct option_row *row;
    for (size_t i = 0; (row = row_at(program, i)) != NULL; i++) {
        size_t needed;
        if (!parse->given[i])
            continue;
        if (row->jobs != 0 && (row->jobs & 1u << job) == 0)
            cli_fail(state, "--%s does not go with %s", row->name, program->job_names[job]);
        if (row->methods != 0 && (row->methods & 1u << method) == 0)
            cli_fail(state, "--%s does not go with --%s=%s, but with --%s=%s", row->name,
                     program->method_option, program->method_names[method], program->method_option,
                     list_methods(program, row->methods, list));
        if (row->needs != NULL) {
            option_find(program, row->needs, &needed);
            if (!parse->given[needed])
                cli_fail(state, "--%s needs --%s", row->name, row->needs);
        }
    }
}

static error_t parse_key(int key, char *value, struct argp_state *state) {
    struct parse *parse = state->input;
    const struct option_program *program = parse->program;
    if (key == ARGP_KEY_ARG) {
        if (program->take_argument == NULL || !program->take_argument(parse->fields, value))
            cli_fail(state, "%s: one %s only", value, program->argument);
        return 0;
    }
    if (key == ARGP_KEY_END) {
        check_rows(state, parse);
        if (program->check != NULL)
            program->check(state, parse->fields, parse->given);
        return 0;
    }
    const struct option_row *row;
    size_t begin = 0;
    for (size_t i = 0; (row = locate(program, i, &begin)) != NULL; i++)
        if (key == key_of(row, i)) {
            set_field(state, row, value, (char *)parse->fields + begin + row->offset);
            parse->given[i] = true;
            return 0;
        }
    return ARGP_ERR_UNKNOWN;
}

/* Makes argp's rows: each group has a title, and then its options. */
static void make_argp_options(const struct option_program *program, struct argp_option *options) {
    const struct option_row *row;
    for (size_t group = 1; program->groups[group - 1] != NULL; group++) {
        *options++ = (struct argp_option){.doc = program->groups[group - 1], .group = (int)group};
        for (size_t i = 0; (row = row_at(program, i)) != NULL; i++)
            if (row->group == group)
                *options++ = (struct argp_option){.name = row->name,
                                                  .key = key_of(row, i),
                                                  .arg = row->value,
                                                  .doc = row->help,
                                                  .group = (int)group};
    }
    *options = (struct argp_option){0};
}

void option_parse(const struct option_program *program, void *fields, int argc, char *argv[]) {
    static struct argp_option options[OPTION_ROWS_MAX + 16]; /* argp keeps pointers to it */
    assert(row_at(program, OPTION_ROWS_MAX) == NULL);
    make_argp_options(program, options);
    const struct argp argp = {
        .options = options, .parser = parse_key, .args_doc = program->arguments, .doc = program->doc};
    struct parse parse = {.program = program, .fields = fields};
    char *name = argv[0];
    argv[0] = program_invocation_short_name;             /* getopt's own messages begin with it */
    cli_parse(&argp, argc, argv, ARGP_IN_ORDER, &parse); /* keeps the order of argv */
    argv[0] = name;
}
