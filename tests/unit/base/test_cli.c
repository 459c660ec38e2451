/* test_cli: option values, good and bad ones; a bad one ends the process with status 2 and one line. */
#include "common/base/cli.h"
#include "tests/unit/unit.h"

#include <sys/stat.h>

static struct argp_state prog(void) {
    static char name[] = "prog";
    return (struct argp_state){.name = name};
}

static void test_init(void **state) {
    (void)state;
    static const struct argp nothing = {0};
    char name[] = "prog", *argv[] = {name, NULL};
    cli_parse(&nothing, 1, argv, 0, NULL);
    assert_int_equal(argp_err_exit_status, CLI_EXIT_USAGE);
}

static void test_whole(void **state) {
    (void)state;
    struct argp_state argp = prog();
    assert_int_equal(cli_whole(&argp, "--n", "0", 0, 5), 0);
    assert_int_equal(cli_whole(&argp, "--n", "5", 0, 5), 5);
    assert_int_equal(cli_whole(&argp, "--n", "007", 0, 10), 7);
    assert_true(cli_whole(&argp, "--n", "18446744073709551615", 0, UINT64_MAX) == UINT64_MAX);
}

static void test_real(void **state) {
    (void)state;
    struct argp_state argp = prog();
    assert_true(cli_real(&argp, "--x", "0.25", 0, 1) == 0.25);
    assert_true(cli_real(&argp, "--x", "1e-3", 0, 1) == 1e-3);
    assert_true(cli_real(&argp, "--x", "-2", -2, 1) == -2);
    assert_true(cli_real(&argp, "--x", ".5", 0, 1) == 0.5);
}

static void test_nbytes(void **state) {
    (void)state;
    struct argp_state argp = prog();
    assert_int_equal(cli_nbytes(&argp, "--memory", "1"), 1);
    assert_int_equal(cli_nbytes(&argp, "--memory", "0500"), 500);
    assert_int_equal(cli_nbytes(&argp, "--memory", "3K"), 3 * 1024);
    assert_int_equal(cli_nbytes(&argp, "--memory", "500M"), (size_t)500 << 20);
    assert_true(cli_nbytes(&argp, "--memory", "8G") == (size_t)8 << 30);
    assert_true(cli_nbytes(&argp, "--memory", "2T") == (size_t)2 << 40);
    assert_true(cli_nbytes(&argp, "--memory", "18446744073709551615") == SIZE_MAX);
    assert_true(cli_nbytes(&argp, "--memory", "16777215T") == (size_t)16777215 << 40);
}

static void test_choice(void **state) {
    (void)state;
    static const char *const choices[] = {"adam", "sgd", "lbfgs"};
    struct argp_state argp = prog();
    for (int i = 0; i < 3; i++)
        assert_int_equal(cli_choice(&argp, "--optimizer", choices[i], choices, 3), i);
}

static void test_same_result(void **state) {
    (void)state;
    char here[512], again[512], other[512];
    assert_int_equal(chdir(unit_folder), 0);
    assert_int_equal(mkdir("sub", 0777), 0);
    assert_int_equal(symlink("sub", "link"), 0);
    for (int there = 0; there < 2; there++) {
        assert_true(cli_same_result("a", "a") && cli_same_result("a", "./a") &&
                    cli_same_result("./a", ".//a"));
        assert_true(cli_same_result("a", "sub/../a") && cli_same_result("sub/a", "link/a"));
        snprintf(here, sizeof here, "%s", unit_path("a"));
        snprintf(again, sizeof again, "%s/sub/../a", unit_folder);
        snprintf(other, sizeof other, "%s", unit_path("sub/a"));
        assert_true(cli_same_result("a", here) && cli_same_result(again, here));
        assert_false(cli_same_result(other, here) || cli_same_result("a", "b") ||
                     cli_same_result("a", "sub/a"));
        assert_false(cli_same_result("none/a", "a") || cli_same_result("none/a", "also/a"));
        assert_false(cli_same_result(NULL, "a") || cli_same_result("a", NULL) || cli_same_result(NULL, NULL));
        unit_write_file("a", "x", 1);
        unit_write_file("sub/a", "x", 1);
    }
    assert_true(cli_same_result("-", "-"));
    assert_int_equal(link("a", "b"), 0);
    assert_true(cli_same_result("a", "b"));
    assert_int_equal(symlink("sub/new", "new") | symlink("new", "sub/newer"),
                     0); /* links to what is not there */
    assert_int_equal(symlink("../new", "sub/link") | symlink("ring", "ring"), 0);
    assert_true(cli_same_result("new", "sub/new") && cli_same_result("sub/link", "link/new"));
    assert_true(cli_same_result("new", "sub/newer"));
    assert_false(cli_same_result("new", "sub/none") || cli_same_result("ring", "new"));
    assert_int_equal(symlink("/dev/null", "null"), 0); /* a device takes several */
    assert_false(cli_same_result("/dev/null", "null"));
    assert_int_equal(chdir("/"), 0);
}

/* One bad value: which reader, and what the line must say. */
struct bad {
    char kind;
    const char *text, *says;
};

static void read_bad(void *argument) {
    static const char *const choices[] = {"adam", "sgd", "lbfgs"};
    const struct bad *bad = argument;
    struct argp_state argp = prog();
    if (bad->kind == 'w')
        cli_whole(&argp, "--n", bad->text, 3, 90);
    else if (bad->kind == 'u')
        cli_whole(&argp, "--n", bad->text, 1, UINT64_MAX);
    else if (bad->kind == 'r')
        cli_real(&argp, "--x", bad->text, 0, 0.5);
    else if (bad->kind == 'n')
        cli_nbytes(&argp, "--memory", bad->text);
    else if (bad->kind == 'c')
        cli_choice(&argp, "--optimizer", bad->text, choices, 3);
    else
        cli_fail(&argp, "one %s too many", bad->text);
}

static void test_bad(void **state) {
    (void)state;
    struct bad cases[] = {
        {'w', "", "--n=: must be a whole number from 3 to 90"},
        {'w', "2", "--n=2: must be a whole number from 3 to 90"},
        {'w', "91", "from 3 to 90"},
        {'w', "-4", "--n=-4"},
        {'w', "+4", "--n=+4"},
        {'w', " 4", "--n= 4"},
        {'w', "4 ", "--n=4 "},
        {'w', "4.0", "--n=4.0"},
        {'w', "4e1", "--n=4e1"},
        {'w', "0x10", "--n=0x10"},
        {'w', "1O", "--n=1O"},
        {'w', "18446744073709551620", "from 3 to 90"}, /* 2^64 + 4 */
        {'u', "0", "must be a whole number from 1 up"},
        {'u', "18446744073709551616", "from 1 up"},
        {'r', "", "--x=: must be a number from 0 to 0.5"},
        {'r', "0.6", "--x=0.6: must be a number from 0 to 0.5"},
        {'r', "-0.1", "--x=-0.1"},
        {'r', "nan", "--x=nan"},
        {'r', "inf", "--x=inf"},
        {'r', "0,2", "--x=0,2"},
        {'r', "0.2x", "--x=0.2x"},
        {'r', " 0.2", "--x= 0.2"},
        {'r', "0x0.2", "--x=0x0.2"},
        {'r', "1e999", "--x=1e999"},
        {'n', "", "--memory=: must be a number of bytes, as 500M or 8G"},
        {'n', "0", "--memory=0: must be a number of bytes, as 500M or 8G"},
        {'n', "0G", "--memory=0G: must be"},
        {'n', "-1", "--memory=-1: must be"},
        {'n', "+1", "--memory=+1: must be"},
        {'n', " 1", "--memory= 1: must be"},
        {'n', "1 ", "--memory=1 : must be"},
        {'n', "1.5G", "--memory=1.5G: must be"},
        {'n', "1k", "--memory=1k: must be"},
        {'n', "1KB", "--memory=1KB: must be"},
        {'n', "1KK", "--memory=1KK: must be"},
        {'n', "1B", "--memory=1B: must be"},
        {'n', "K", "--memory=K: must be"},
        {'n', "G1", "--memory=G1: must be"},
        {'n', "0x10", "--memory=0x10: must be"},
        {'n', "1e3", "--memory=1e3: must be"},
        {'n', "16777216T", "--memory=16777216T: must be"},
        {'n', "18446744073709551616", "--memory=18446744073709551616: must be"},
        {'n', "18014398509481984K", "--memory=18014398509481984K: must be"},
        {'n', "all", "--memory=all: must be"},
        {'c', "Adam", "--optimizer=Adam: must be adam, sgd or lbfgs"},
        {'c', "", "--optimizer=: must be adam, sgd or lbfgs"},
        {'f', "option", "prog: one option too many; see prog --help"},
    };
    char text[1024];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = unit_child(read_bad, &cases[i], text, sizeof text);
        if (status != CLI_EXIT_USAGE || strstr(text, cases[i].says) == NULL ||
            strchr(text, '\n') != text + strlen(text) - 1 || strncmp(text, "prog: ", 6) != 0)
            fail_msg("%c \"%s\": status %d, \"%s\"", cases[i].kind, cases[i].text, status, text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init),   cmocka_unit_test(test_whole),  cmocka_unit_test(test_real),
        cmocka_unit_test(test_nbytes), cmocka_unit_test(test_choice), cmocka_unit_test(test_same_result),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, unit_scratch_make, unit_scratch_remove);
}
