/* test_output: files appear whole or not at all, whatever goes wrong, and devices are never replaced by
 * files. */
#include "common/base/output.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void assert_content(const char *path, const char *text) {
    size_t nbytes;
    unsigned char *bytes = unit_read_file(path, &nbytes);
    assert_int_equal(nbytes, strlen(text));
    assert_memory_equal(bytes, text, nbytes);
    free(bytes);
}

static void test_commit(void **state) {
    (void)state;
    const char *path = unit_path("a.txt"), *partial = unit_path("a.txt.partial");
    struct output output;
    for (int round = 0; round < 2; round++) { /* the second one replaces the first */
        assert_ok(output_open(&output, path));
        fprintf(output.stream, "round %d\n", round);
        assert_true(unit_exists(partial));
        if (round == 0)
            assert_false(unit_exists(path));
        else
            assert_content(path, "round 0\n");
        assert_ok(output_commit(&output));
        assert_false(unit_exists(partial));
        assert_content(path, round == 0 ? "round 0\n" : "round 1\n");
    }
    output_abort(&output); /* harmless */
    assert_content(path, "round 1\n");
}

static void test_abort(void **state) {
    (void)state;
    const char *path = unit_path("b.txt"), *partial = unit_path("b.txt.partial");
    struct output output;
    assert_ok(output_open(&output, path));
    fputs("text", output.stream);
    output_abort(&output);
    output_abort(&output);
    assert_false(unit_exists(path));
    assert_false(unit_exists(partial));
    unit_write_file(path, "old", 3);
    assert_ok(output_open(&output, path));
    output_abort(&output);
    assert_content(path, "old");
    struct output none = {0};
    output_abort(&none);
}

static void test_cannot_create(void **state) {
    (void)state;
    struct output output;
    const char *path = unit_path("missing/c.txt");
    assert_fails(output_open(&output, path), STATUS_IO, path);
    assert_non_null(strstr(status_message(), "No such file"));
    assert_int_equal(mkdir(unit_path("folder"), 0777), 0);
    assert_fails(output_open(&output, unit_path("folder")), STATUS_IO, "folder");
    assert_false(unit_exists(unit_path("folder.partial")));
}

static void test_full_device(void **state) {
    (void)state;
    struct output output;
    struct stat before, after;
    assert_int_equal(stat("/dev/full", &before), 0);
    assert_ok(output_open(&output, "/dev/full"));
    fputs("text", output.stream);
    assert_fails(output_commit(&output), STATUS_IO, "/dev/full");
    assert_non_null(strstr(status_message(), strerror(ENOSPC)));
    assert_ok(output_open(&output, "/dev/null"));
    fputs("text", output.stream);
    assert_ok(output_commit(&output));
    assert_int_equal(stat("/dev/full", &after), 0);
    assert_true(S_ISCHR(after.st_mode) && before.st_ino == after.st_ino);
    assert_int_equal(stat("/dev/null", &after), 0);
    assert_true(S_ISCHR(after.st_mode));
    assert_false(unit_exists("/dev/full.partial"));
    assert_false(unit_exists("/dev/null.partial"));
}

/* As on a disk that is full after 5000 bytes. */
static void write_past_limit(void *argument) {
    struct output output;
    struct rlimit limit = {5000, 5000};
    signal(SIGXFSZ, SIG_IGN);
    if (output_open(&output, argument) != STATUS_OK || setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(9);
    for (int i = 0; i < 10000; i++)
        fputs("line\n", output.stream);
    enum status status = output_commit(&output);
    fprintf(stderr, "%s", status_message());
    _exit((int)status);
}

static void test_full_disk(void **state) {
    (void)state;
    char path[512], text[1024];
    snprintf(path, sizeof path, "%s", unit_path("d.txt"));
    assert_int_equal(unit_child(write_past_limit, path, text, sizeof text), STATUS_IO);
    assert_non_null(strstr(text, path));
    assert_false(unit_exists(path));
    assert_false(unit_exists(unit_path("d.txt.partial")));
}

static void test_publish(void **state) {
    (void)state;
    const char *path = unit_path("e.bin");
    char *partial = output_partial_path(path);
    assert_non_null(partial);
    assert_string_equal(partial + strlen(path), ".partial");
    assert_fails(output_publish(partial, path), STATUS_IO, partial);
    unit_write_file(partial, "bytes", 5);
    assert_fails(output_publish(partial, "/dev/null"), STATUS_IO, "/dev/null");
    assert_ok(output_publish(partial, path));
    assert_content(path, "bytes");
    assert_false(unit_exists(partial));
    free(partial);
}

static void write_standard(void *argument) {
    struct output output;
    dup2(STDERR_FILENO, STDOUT_FILENO);
    if (output_open(&output, "-") != STATUS_OK)
        _exit(9);
    fprintf(output.stream, "%s", (char *)argument);
    _exit(output_commit(&output) == STATUS_OK && !output.standard ? 0 : 1);
}

static void write_standard_full(void *argument) {
    struct output output;
    (void)argument;
    if (freopen("/dev/full", "w", stdout) == NULL || output_open(&output, "-") != STATUS_OK)
        _exit(9);
    fprintf(output.stream, "text");
    enum status status = output_commit(&output);
    fprintf(stderr, "%s", status_message());
    _exit((int)status);
}

static void test_standard(void **state) {
    (void)state;
    char text[256], hello[] = "hello";
    assert_int_equal(unit_child(write_standard, hello, text, sizeof text), 0);
    assert_string_equal(text, "hello");
    assert_int_equal(unit_child(write_standard_full, NULL, text, sizeof text), STATUS_IO);
    assert_non_null(strstr(text, "standard output"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit),        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_cannot_create), cmocka_unit_test(test_full_device),
        cmocka_unit_test(test_full_disk),     cmocka_unit_test(test_publish),
        cmocka_unit_test(test_standard),
    };
    return cmocka_run_group_tests(tests, unit_scratch_make, unit_scratch_remove);
}
