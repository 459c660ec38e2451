/* test_option: rows become a command line: each type's field is set, each wrong line ends with status 2 and one line. */
#include "common/base/option.h"
#include "tests/unit/unit.h"

#include <errno.h>

struct inner {
    uint64_t count;
    double rate;
    bool flag;
    int colour;
};
struct fields {
    const char *text, *file, *argument;
    struct inner inner;
    size_t nbytes;
    int level;
};

static const char *const colours[] = {"red", "green", NULL};

#define INNER(member) .offset = offsetof(struct inner, member), .group = 1
static const struct option_row inner_rows[] = {
    {.name = "count",
     .letter = 'c',
     .value = "N",
     .type = OPTION_WHOLE,
     INNER(count),
     .minimum = 1,
     .maximum = UINT64_MAX,
     .help = "c"},
    {.name = "rate",
     .value = "X",
     .type = OPTION_REAL,
     INNER(rate),
     .maximum = 1,
     .methods = 1 << 1,
     .help = "r"},
    {.name = "flag", .type = OPTION_FLAG, INNER(flag), .jobs = 1 << 0, .help = "f"},
    {.name = "colour",
     .value = "NAME",
     .type = OPTION_CHOICE,
     INNER(colour),
     .choices = colours,
     .help = "c"},
    {0}};

#define OUTER(member) .offset = offsetof(struct fields, member), .group = 2
static const struct option_row rows[] = {
    {.name = "text", .value = "T", .type = OPTION_TEXT, OUTER(text), .help = "t"},
    {.name = "file", .value = "FILE", .type = OPTION_FILE, OUTER(file), .needs = "text", .help = "f"},
    {.name = "memory", .value = "SIZE", .type = OPTION_NBYTES, OUTER(nbytes), .help = "m"},
    {.name = "quiet", .letter = 'q', .type = OPTION_SET, OUTER(level), .minimum = 3, .help = "q"},
    {0}};

static bool take_argument(void *fields, const char *text) {
    struct fields *all = fields;
    bool first = all->argument == NULL;
    all->argument = text;
    return first;
}

/* Green is the job of sleeping. */
static void choose_job(const struct argp_state *state, void *fields, const bool given[], int *job_ret,
                       int *method_ret) {
    (void)state;
    const struct fields *all = fields;
    (void)given;
    *job_ret = all->inner.colour;
    *method_ret = all->level == 3;
}

static const struct option_program program = {
    .tables = {inner_rows, rows},
    .structs = {offsetof(struct fields, inner), 0},
    .groups = (const char *const[]){"One:", "Two:", NULL},
    .argument = "CACHE",
    .arguments = "CACHE",
    .doc = "Does nothing.",
    .take_argument = take_argument,
    .choose_job = choose_job,
    .job_names = (const char *const[]){"working", "sleeping"},
    .method_option = "quiet",
    .method_names = (const char *const[]){"no", "yes", NULL},
};

static void parse(struct fields *fields, const char *line) {
    static char copy[512];
    char *argv[32] = {(char[]){"prog"}};
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    program_invocation_short_name = argv[0];
    option_parse(&program, fields, argc, argv);
}

static void test_fields(void **state) {
    (void)state;
    struct fields fields = {.nbytes = 7};
    parse(&fields, "--count=18446744073709551615 --flag --text=x --file=y --memory=2K f.h5");
    assert_true(fields.inner.count == UINT64_MAX && fields.inner.flag && fields.nbytes == 2048);
    assert_string_equal(fields.text, "x");
    assert_string_equal(fields.file, "y");
    assert_string_equal(fields.argument, "f.h5");
    assert_int_equal(fields.inner.colour, 0);
    fields = (struct fields){.nbytes = 7};
    parse(&fields, "-c 5 f.h5 -q --rate=0.5 --colour=green");
    assert_true(fields.inner.count == 5 && fields.inner.rate == 0.5 && fields.level == 3);
    assert_int_equal(fields.inner.colour, 1);
    assert_int_equal(fields.nbytes, 7); /* what is not given stays */
}

static void parse_line(void *line) {
    struct fields fields = {0};
    parse(&fields, line);
    _exit(99);
}

static void test_wrong_lines(void **state) {
    (void)state;
    static const struct {
        const char *line, *part;
    } cases[] = {
        {"--count=0", "--count=0: must be a whole number from 1"},
        {"-c x", "--count=x: must be a whole number"},
        {"-q --rate=2", "--rate=2: must be a number from 0 to 1"},
        {"--colour=blue", "--colour=blue: must be red or green"},
        {"--text=x --file=", "--file=: the name of a file is missing"},
        {"--memory=1X", "--memory=1X: must be a number of bytes"},
        {"--rate=0.5", "--rate does not go with --quiet=no, but with --quiet=yes"},
        {"--flag --colour=green", "--flag does not go with sleeping"},
        {"--file=x", "--file needs --text"},
        {"a b", "b: one CACHE only"},
        {"--nothing", "unrecognized option"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[64], text[512];
        snprintf(line, sizeof line, "%s", cases[i].line);
        assert_int_equal(unit_child(parse_line, line, text, sizeof text), CLI_EXIT_USAGE);
        if (strstr(text, cases[i].part) == NULL)
            fail_msg("%s: \"%s\" lacks \"%s\"", line, text, cases[i].part);
    }
}

static void test_find(void **state) {
    (void)state;
    size_t i;
    assert_ptr_equal(option_find(&program, "rate", &i), &inner_rows[1]);
    assert_int_equal(i, 1);
    assert_ptr_equal(option_find(&program, "quiet", &i), &rows[3]);
    assert_int_equal(i, 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_wrong_lines),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
