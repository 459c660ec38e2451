/* test_streams: standard streams that are closed at the start, recognised behind every kind of name, and checked at
 * the end. Each case is a process of its own and reports by its exit status. */
#include "common/base/interrupt.h"
#include "common/base/output.h"
#include "common/base/streams.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Standard output becomes the file, opened as given. */
static void redirect(int to, const char *path, int flags) {
    int fd = open(path, flags, 0666);
    if (fd < 0 || dup2(fd, to) != to || close(fd) != 0)
        _exit(99);
}

static void check(bool right, int line) {
    if (!right) {
        fprintf(stderr, "line %d", line);
        _exit(98);
    }
}
#define CHECK(condition) check((condition), __LINE__)

/* Runs a body that must come to its end. */
static void assert_child(void (*body)(void *), void *argument) {
    char text[256];
    int status = unit_child(body, argument, text, sizeof text);
    if (status != 0)
        fail_msg("status %d: %s", status, text);
}

static void close_some(void *argument) {
    int which = *(int *)argument;
    for (int fd = 0; fd < 3; fd++)
        if (which & 1 << fd)
            close(fd);
    streams_init();
    char byte = 'x';
    for (int fd = 0; fd < 3; fd++)
        if (which & 1 << fd) {
            ssize_t got = fd == 0 ? read(fd, &byte, 1) : write(fd, &byte, 1);
            CHECK(got == -1 && errno == EBADF);
        }
    int next = open("/dev/null", O_RDONLY);
    CHECK(next > 2);
    close(next);
    CHECK(streams_of("/dev/null") == STREAMS_NONE);
    if (which & 1 << 1) { /* writing to it fails and does not vanish */
        struct output output;
        CHECK(streams_of("/proc/self/fd/1") == STREAMS_OUTPUT);
        CHECK(output_open(&output, "/dev/stdout") == STATUS_OK);
        fputs("text", output.stream);
        CHECK(output_commit(&output) == STATUS_IO && strstr(status_message(), "standard output"));
    }
}

static void test_closed(void **state) {
    (void)state;
    for (int which = 0; which < 8; which++)
        assert_child(close_some, &which);
}

static void find_file(void *argument) {
    const char *path = argument, *soft = unit_path("soft"), *hard = unit_path("hard"),
               *far = unit_path("far");
    redirect(STDOUT_FILENO, path, O_WRONLY | O_CREAT | O_TRUNC);
    streams_init();
    CHECK(symlink(path, soft) == 0 && symlink(soft, far) == 0 && link(path, hard) == 0);
    const char *const names[] = {
        "-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/proc/thread-self/fd/1", path, soft, hard, far};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        CHECK(streams_of(names[i]) == STREAMS_OUTPUT);
        CHECK(streams_same(names[i], path));
    }
    const char *const others[] = {NULL, "", "/dev/null", "/dev/full", unit_path("none"), unit_folder};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        CHECK(streams_of(others[i]) == STREAMS_NONE && !streams_same(others[i], others[i]));
    redirect(STDERR_FILENO, unit_path("errors"), O_WRONLY | O_CREAT | O_TRUNC);
    CHECK(streams_of(unit_path("errors")) == STREAMS_ERROR && streams_of("/dev/stderr") == STREAMS_ERROR);
    CHECK(!streams_same("/dev/stderr", "-") && streams_same("/dev/fd/2", "/dev/stderr"));
}

/* Output is appended to what is in the file, by any name, and the file stays the same one. */
static void write_behind(void *argument) {
    const char *path = argument;
    struct output output;
    redirect(STDOUT_FILENO, path, O_WRONLY | O_CREAT | O_TRUNC);
    redirect(STDERR_FILENO, unit_path("errors"), O_WRONLY | O_CREAT | O_TRUNC);
    streams_init();
    fputs("before\n", stdout);
    fputs("an error\n", stderr);
    CHECK(output_open(&output, path) == STATUS_OK && output.standard);
    fputs("result\n", output.stream);
    CHECK(output_commit(&output) == STATUS_OK);
    CHECK(output_open(&output, "/dev/stderr") == STATUS_OK && !output.standard);
    fputs("result\n", output.stream);
    CHECK(output_commit(&output) == STATUS_OK);
    fputs("after\n", stdout);
    fputs("more\n", stderr);
}

static void test_files(void **state) {
    (void)state;
    char path[512], errors[512];
    size_t nbytes;
    snprintf(path, sizeof path, "%s", unit_path("out"));
    snprintf(errors, sizeof errors, "%s", unit_path("errors"));
    assert_child(find_file, path);
    assert_child(write_behind, path);
    char *text = (char *)unit_read_file(path, &nbytes);
    assert_int_equal(nbytes, 20);
    assert_memory_equal(text, "before\nresult\nafter\n", nbytes);
    free(text);
    text = (char *)unit_read_file(errors, &nbytes);
    assert_int_equal(nbytes, 21);
    assert_memory_equal(text, "an error\nresult\nmore\n", nbytes);
    free(text);
}

static void find_device(void *argument) {
    (void)argument;
    redirect(STDOUT_FILENO, "/dev/null", O_WRONLY);
    streams_init();
    CHECK(streams_of("/dev/null") == STREAMS_NONE && streams_of("-") == STREAMS_OUTPUT);
    int ends[2];
    CHECK(pipe(ends) == 0 && dup2(ends[1], STDOUT_FILENO) == STDOUT_FILENO);
    CHECK(streams_of("/dev/stdout") == STREAMS_OUTPUT && streams_of("/dev/null") == STREAMS_NONE);
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0)
        return;
    redirect(STDOUT_FILENO, ptsname(terminal), O_RDWR | O_NOCTTY);
    CHECK(streams_of("/dev/stdout") == STREAMS_OUTPUT && streams_of(ptsname(terminal)) == STREAMS_OUTPUT);
}

static void test_devices(void **state) {
    (void)state;
    assert_child(find_device, NULL);
}

static void lose_reader(void) {
    int ends[2];
    if (pipe(ends) != 0 || dup2(ends[1], STDOUT_FILENO) != STDOUT_FILENO)
        _exit(97);
    close(ends[0]);
    close(ends[1]);
}

static void write_unread(void *argument) {
    bool often = *(bool *)argument;
    interrupt_init();
    CHECK(streams_flush() == STATUS_OK);
    lose_reader();
    CHECK(streams_flush() == STATUS_OK); /* nothing was written yet */
    fputs("text", stdout);
    if (often) {
        fflush(stdout);
        errno = ENOSPC; /* of something else */
    }
    struct output output;
    CHECK(output_open(&output, "-") == STATUS_OK);
    CHECK(output_check(&output) == STATUS_PIPE && streams_flush() == STATUS_PIPE);
    CHECK(output_commit(&output) == STATUS_PIPE);
    CHECK(strstr(status_message(), "standard output: cannot write: Broken pipe") != NULL);
    interrupt_raise_pipe();
    CHECK(false);
}

static void write_unread_ignoring(void *argument) {
    (void)argument;
    signal(SIGPIPE, SIG_IGN);
    interrupt_init();
    lose_reader();
    fputs("text", stdout);
    CHECK(streams_flush() == STATUS_PIPE);
    interrupt_raise_pipe();
    _exit(42);
}

static void test_closed_pipe(void **state) {
    (void)state;
    char text[256];
    for (int often = 0; often < 2; often++) {
        bool argument = often != 0;
        assert_int_equal(unit_child(write_unread, &argument, text, sizeof text), 128 + SIGPIPE);
        assert_string_equal(text, "");
    }
    assert_int_equal(unit_child(write_unread_ignoring, NULL, text, sizeof text), 42);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_closed_pipe),
    };
    return cmocka_run_group_tests(tests, unit_scratch_make, unit_scratch_remove);
}
