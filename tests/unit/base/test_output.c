/* test_output: files appear whole or not at all, whatever goes wrong and whoever else writes them; links are
 * written through, permissions stay, and devices are never replaced by files. */
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
    const char *path = unit_path("a.txt");
    struct output output;
    for (int round = 0; round < 2; round++) { /* the second one replaces the first */
        assert_ok(output_open(&output, path));
        fprintf(output.stream, "round %d\n", round);
        assert_true(unit_exists(output.partial));
        if (round == 0)
            assert_false(unit_exists(path));
        else
            assert_content(path, "round 0\n");
        assert_ok(output_commit(&output));
        assert_int_equal(unit_remove_partials(), 0);
        assert_content(path, round == 0 ? "round 0\n" : "round 1\n");
    }
    output_abort(&output); /* harmless */
    assert_content(path, "round 1\n");
}

static void test_abort(void **state) {
    (void)state;
    const char *path = unit_path("b.txt");
    struct output output;
    assert_ok(output_open(&output, path));
    fputs("text", output.stream);
    output_abort(&output);
    output_abort(&output);
    assert_false(unit_exists(path));
    assert_int_equal(unit_remove_partials(), 0);
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
    assert_fails(output_open(&output, ""), STATUS_IO, ": cannot create the file: No such file");
    assert_fails(output_open(&output, unit_path("missing/")), STATUS_IO, "missing/: cannot create the file");
    assert_int_equal(mkdir(unit_path("folder"), 0777), 0);
    assert_fails(output_open(&output, unit_path("folder")), STATUS_IO, "folder");
    assert_int_equal(unit_remove_partials(), 0);
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
    assert_int_equal(unit_remove_partials(), 0);
}

/* Two that write one name, in turn: neither sees the other, and the last one to finish wins whole. */
static void test_two_at_once(void **state) {
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", unit_path("e.txt"));
    struct output first, second, third;
    assert_ok(output_open(&first, path));
    assert_ok(output_open(&second, path));
    assert_ok(output_reserve(&third, path));
    assert_string_not_equal(first.partial, second.partial);
    assert_string_not_equal(first.partial, third.partial);
    for (int i = 0; i < 3000; i++) {
        fputs("first\n", first.stream);
        fputs("second\n", second.stream);
    }
    unit_write_file(third.partial, "third", 5);
    assert_ok(output_commit(&second));
    size_t nbytes;
    free(unit_read_file(path, &nbytes));
    assert_int_equal(nbytes, 3000 * strlen("second\n"));
    assert_ok(output_commit(&first));
    free(unit_read_file(path, &nbytes));
    assert_int_equal(nbytes, 3000 * strlen("first\n"));
    assert_ok(output_open(&second, path));
    assert_ok(output_commit(&third));
    output_abort(&second);
    assert_content(path, "third");
    assert_int_equal(unit_remove_partials(), 0);
}

enum { WRITERS = 8, ROUNDS = 50, LINES = 500 };

/* Writes lines of its own number again and again. */
static void write_often(const char *path, int number) {
    for (int round = 0; round < ROUNDS; round++) {
        struct output output;
        if (output_open(&output, path) != STATUS_OK)
            _exit(1);
        for (int i = 0; i < LINES; i++)
            fprintf(output.stream, "%d\n", number);
        if (output_commit(&output) != STATUS_OK)
            _exit(2);
    }
    _exit(0);
}

/* Many processes on one name, while it is read: it is there, whole and of one of them, at any time. */
static void test_many_at_once(void **state) {
    (void)state;
    char path[512];
    if (UNIT_HAS_TSAN) {
        printf("SKIP: ThreadSanitizer does not follow forks\n");
        skip();
    }
    snprintf(path, sizeof path, "%s", unit_path("many.txt"));
    fflush(NULL);
    for (int w = 0; w < WRITERS; w++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            write_often(path, w);
    }
    for (int ended = 0; ended < WRITERS;) {
        int status = 0;
        size_t nbytes = 0;
        if (waitpid(-1, &status, WNOHANG) > 0) {
            assert_int_equal(status, 0);
            ended++;
        }
        if (ended == 0 && !unit_exists(path))
            continue;
        unsigned char *bytes = unit_read_file(path, &nbytes);
        assert_int_equal(nbytes, 2 * LINES);
        for (size_t i = 2; i < nbytes; i++)
            assert_int_equal(bytes[i], bytes[i - 2]);
        free(bytes);
    }
    assert_int_equal(unit_remove_partials(), 0);
}

static void test_reserve(void **state) {
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", unit_path("r.bin"));
    struct output output;
    assert_ok(output_reserve(&output, path));
    assert_null(output.stream);
    assert_true(unit_exists(output.partial) && !unit_exists(path));
    assert_int_equal(strncmp(output.partial, path, strlen(path)), 0);
    assert_string_equal(output.partial + strlen(path) + strlen(".123456"), ".partial");
    unit_write_file(output.partial, "bytes", 5);
    assert_ok(output_commit(&output));
    assert_content(path, "bytes");
    assert_ok(output_reserve(&output, path));
    unlink(output.partial);
    assert_fails(output_commit(&output), STATUS_IO, "r.bin");
    assert_content(path, "bytes");
    assert_fails(output_reserve(&output, unit_path("none/r.bin")), STATUS_IO, "none/r.bin: cannot create");
    assert_ok(output_reserve(&output, path));
    assert_fails(output_publish(output.partial, "/dev/null"), STATUS_IO, "/dev/null");
    struct output more[40]; /* more than are remembered */
    for (int i = 0; i < 40; i++)
        assert_ok(output_reserve(&more[i], path));
    output_abort(&more[0]);
    output_remove_temporaries();
    assert_int_equal(unit_remove_partials(), 1 + 40 - 32);
    for (int i = 0; i < 40; i++)
        output_abort(&more[i]);
    output_abort(&output);
    assert_ok(output_open(&output, path)); /* nothing is remembered that is gone */
    output_remove_temporaries();
    assert_int_equal(unit_remove_partials(), 0);
    output_abort(&output);
    assert_content(path, "bytes");
}

static void write_text(const char *path, const char *text) {
    struct output output;
    assert_ok(output_open(&output, path));
    fputs(text, output.stream);
    assert_ok(output_commit(&output));
}

static bool is_link(const char *path) {
    struct stat found;
    return lstat(path, &found) == 0 && S_ISLNK(found.st_mode);
}

/* A chain of links, absolute and relative, over folders: what it ends in is written, there or not. */
static void test_links(void **state) {
    (void)state;
    char target[512], near[512], far[512];
    struct output output;
    assert_int_equal(mkdir(unit_path("disk"), 0777), 0);
    assert_int_equal(mkdir(unit_path("links"), 0777), 0);
    snprintf(target, sizeof target, "%s", unit_path("disk/t"));
    snprintf(near, sizeof near, "%s", unit_path("links/near"));
    snprintf(far, sizeof far, "%s", unit_path("far"));
    assert_int_equal(symlink("../disk/t", near), 0);
    assert_int_equal(symlink(near, far), 0);
    for (int round = 0; round < 2; round++) { /* dangling, then not */
        const char *text = round == 0 ? "first" : "second";
        assert_ok(output_open(&output, far));
        assert_int_equal(
            strncmp(output.partial, unit_path("links/../disk/t."), strlen(unit_path("links/../disk/t."))), 0);
        output_abort(&output);
        assert_int_equal(unit_exists(target), round > 0);
        write_text(far, text);
        assert_true(is_link(far) && is_link(near) && !is_link(target));
        assert_content(target, text);
    }
    char *found = NULL;
    assert_ok(output_target(&found, far));
    assert_string_equal(found, unit_path("links/../disk/t"));
    free(found);
    assert_ok(output_target(&found, unit_path("nothing")));
    assert_string_equal(found, unit_path("nothing"));
    free(found);
    output_remove(far);
    assert_true(is_link(far) && !unit_exists(target));
    assert_int_equal(
        unlink(near) | symlink("far", unit_path("links/far")) | symlink("links/far", unit_path("ring")), 0);
    assert_int_equal(unlink(far) | symlink("ring", far) | unlink(unit_path("links/far")) |
                         symlink("../far", unit_path("links/far")),
                     0);
    assert_fails(output_open(&output, far), STATUS_IO,
                 "far: cannot be written: Too many levels of symbolic links");
    assert_fails(output_reserve(&output, far), STATUS_IO, "Too many levels of symbolic links");
    assert_int_equal(symlink("none/t", unit_path("lost")), 0);
    assert_fails(output_open(&output, unit_path("lost")), STATUS_IO,
                 "none/t: cannot create the file: No such file");
    assert_int_equal(symlink("disk", unit_path("dir")), 0);
    assert_fails(output_open(&output, unit_path("dir")), STATUS_IO, "dir");
    assert_int_equal(symlink("/dev/null", unit_path("null")), 0);
    write_text(unit_path("null"), "text");
    assert_true(is_link(unit_path("null")));
    assert_int_equal(unit_remove_partials(), 0);
}

/* A descriptor that the caller opened is written, whatever it leads to; nothing is renamed over it. */
static void test_descriptors(void **state) {
    (void)state;
    char path[64], name[512];
    struct stat before, after;
    snprintf(name, sizeof name, "%s", unit_path("opened"));
    FILE *opened = fopen(name, "w");
    assert_non_null(opened);
    snprintf(path, sizeof path, "/dev/fd/%d", fileno(opened));
    assert_int_equal(fstat(fileno(opened), &before), 0);
    write_text(path, "text");
    assert_int_equal(symlink(path, unit_path("to-opened")), 0);
    write_text(unit_path("to-opened"), "again");
    assert_int_equal(stat(name, &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_content(name, "again");
    fclose(opened);
}

static mode_t mode_of(const char *path) {
    struct stat found;
    assert_int_equal(stat(path, &found), 0);
    return found.st_mode & 07777;
}

/* A new file has what the umask leaves, one that is replaced what it had, and nobody may read it meanwhile who
 * could not before. */
static void test_permissions(void **state) {
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", unit_path("mode"));
    static const mode_t masks[] = {022, 027, 077, 002, 0}, modes[] = {0600, 0640, 0664, 0444, 0755, 0200};
    struct output output;
    for (size_t m = 0; m < sizeof masks / sizeof masks[0]; m++) {
        mode_t before = umask(masks[m]);
        unlink(path);
        write_text(path, "new");
        assert_int_equal(mode_of(path), 0666 & ~masks[m]);
        for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
            assert_int_equal(chmod(path, modes[i]), 0);
            assert_ok(output_open(&output, path));
            assert_int_equal(mode_of(output.partial) & ~(modes[i] | 0600), 0);
            assert_ok(output_commit(&output));
            assert_int_equal(mode_of(path), modes[i]);
        }
        umask(before);
    }
    struct stat found;
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 1234, 2345), 0);
        write_text(path, "theirs");
        assert_int_equal(stat(path, &found), 0);
        assert_true(found.st_uid == 1234 && found.st_gid == 2345);
    }
}

/* Names as long as the file system allows; what must be cut for the temporary name is cut between characters. */
static void test_long_names(void **state) {
    (void)state;
    char name[256], path[512];
    for (size_t length = 230; length <= 255; length++)
        for (int wide = 0; wide < 2; wide++) {
            struct output output;
            memset(name, 'n', sizeof name);
            for (size_t i = 0; wide && i + 2 < length; i += 2)
                memcpy(name + i + length % 2, "\xc3\xaf", 2);
            name[length] = '\0';
            snprintf(path, sizeof path, "%s", unit_path(name));
            assert_ok(output_open(&output, path));
            const char *dot = strstr(output.partial + strlen(unit_folder) + 1, ".");
            assert_true(strlen(strrchr(output.partial, '/') + 1) <= 255);
            assert_true((dot[-1] & 0xC0) != 0xC0);
            output_abort(&output);
            write_text(path, "text");
            assert_content(path, "text");
            assert_int_equal(unlink(path), 0);
        }
    memset(name, 'n', 255);
    snprintf(path, sizeof path, "%s/%sx", unit_folder, name);
    struct output output;
    assert_fails(output_open(&output, path), STATUS_IO, "File name too long");
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
        cmocka_unit_test(test_full_disk),     cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_many_at_once),  cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_links),         cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_permissions),   cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_standard),
    };
    return cmocka_run_group_tests(tests, unit_scratch_make, unit_scratch_remove);
}
