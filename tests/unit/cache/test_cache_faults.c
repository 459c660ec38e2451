/* test_cache_faults: every system call by which a cache is written, failing or being the moment of a SIGKILL,
 * one after the other. After each: a clean message, nothing half-made under the final name, an unfinished
 * file that opens and holds right rows only, and the same command finishes it to the bytes of an undisturbed
 * run.
 *
 * faults.h intercepts the calls. */
#include "common/base/log.h"
#include "tests/unit/cache_fixture.h"
#include "tests/unit/faults.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

int posix_fallocate(int fd, off_t offset, off_t nbytes) {
    static int (*real)(int, off_t, off_t);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "posix_fallocate");
    return strikes() ? ENOSPC : real(fd, offset, nbytes);
}

static char path[512], partial[512];

/* A run under a fault. The first part of the work may be done before it, without faults. */
struct run {
    enum fault fault;
    long n;
    int blocks_before;
    bool finished_before; /* a complete cache is there, and is replaced with force */
};

enum { UNDISTURBED = 100, SUCCEEDED = 101 };

static void run(void *argument) {
    const struct run *run = argument;
    struct cache_info info = fixture_info();
    fault = run->fault;
    countdown = run->n;
    calls = 0;
    enum status status = fixture_write(path, &info, -1, run->finished_before);
    bool struck = fault == FAULT_FAIL_FOR_GOOD ? calls >= run->n : countdown == 0;
    fault = FAULT_NONE;
    fprintf(stderr, "%s", status == STATUS_OK ? "" : status_message());
    int code = !struck ? UNDISTURBED : status == STATUS_OK ? SUCCEEDED : (int)status;
    unit_exit(code);
}

static int prepare(void **state) {
    int failed = unit_scratch_make(state);
    snprintf(path, sizeof path, "%s", unit_path("cache.h5"));
    snprintf(partial, sizeof partial, "%s", unit_path("cache.h5.partial"));
    struct cache_info info = fixture_info();
    return failed || fixture_write(unit_path("whole.h5"), &info, -1, false) != STATUS_OK;
}

/* For n = 1, 2, ... until the n-th call is not reached any more. */
static void strike_each(enum fault kind, int blocks_before, bool finished_before) {
    struct cache_info info = fixture_info(), other = fixture_info();
    strcpy(other.preprocess, "caffe");
    char text[2048];
    long n = 1;
    for (;; n++) {
        struct run argument = {kind, n, blocks_before, finished_before};
        unlink(path);
        unlink(partial);
        if (finished_before)
            assert_ok(fixture_write(path, &other, -1, false));
        if (blocks_before > 0)
            assert_ok(fixture_write(path, &info, blocks_before, finished_before));
        int status = unit_child(run, &argument, text, sizeof text);
        if (status == UNDISTURBED)
            break;
        print_message("# fault %d at call %ld: %d %s\n", (int)kind, n, status, text);
        uint64_t progress = 0;
        bool complete = unit_exists(path) && unit_same_files(path, unit_path("whole.h5"));
        if (kind == FAULT_KILL)
            assert_int_equal(status, 128 + SIGKILL);
        else if (status == SUCCEEDED) /* the folder's fsync may fail: the file is there */
            assert_true(complete);
        else
            assert_true(status > STATUS_OK && status < STATUS_COUNT && text[0] != '\0' &&
                        !strchr(text, '\n'));
        if (!complete && finished_before) /* the old one, untouched */
            assert_ok(fixture_check(path, &progress));
        else if (!complete)
            assert_false(unit_exists(path));
        if (unit_exists(partial)) {
            struct stat file;
            assert_int_equal(stat(partial, &file), 0);
            if (file.st_size > 0)
                assert_ok(fixture_check(partial, &progress));
            assert_true(progress >=
                        (blocks_before < 3 ? (uint64_t)blocks_before * FIXTURE_BLOCK : FIXTURE_TRAIN));
        } else if (!complete) {
            assert_int_equal(blocks_before, 0);
        }
        assert_ok(fixture_write(path, &info, -1, finished_before && !complete));
        assert_true(unit_same_files(path, unit_path("whole.h5")));
        assert_false(unit_exists(partial));
        unlink(unit_path("cache.h5.partial.new")); /* a kill may leave it; it is replaced by the next start */
        assert_true(n < 1000);
    }
    assert_true(n > 10); /* the calls really were intercepted */
    print_message("# fault %d, %d blocks before: %ld calls\n", (int)kind, blocks_before, n - 1);
}

static void test_fail(void **state) {
    (void)state;
    strike_each(FAULT_FAIL, 0, false);
}

static void test_fail_for_good(void **state) {
    (void)state;
    strike_each(FAULT_FAIL_FOR_GOOD, 0, false);
}

static void test_fail_resumed(void **state) {
    (void)state;
    strike_each(FAULT_FAIL, 2, false);
    strike_each(FAULT_FAIL_FOR_GOOD, 2, false);
}

static void test_kill(void **state) {
    (void)state;
    strike_each(FAULT_KILL, 0, false);
}

static void test_kill_resumed(void **state) {
    (void)state;
    strike_each(FAULT_KILL, 3, false);
}

static void test_kill_replacing(void **state) {
    (void)state;
    strike_each(FAULT_KILL, 0, true);
}

int main(void) {
    log_init("test_cache_faults", LOG_QUIET);
    h5_init();
    signal(SIGXFSZ, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail),         cmocka_unit_test(test_fail_for_good),
        cmocka_unit_test(test_fail_resumed), cmocka_unit_test(test_kill),
        cmocka_unit_test(test_kill_resumed), cmocka_unit_test(test_kill_replacing),
    };
    return cmocka_run_group_tests(tests, prepare, unit_scratch_remove);
}
