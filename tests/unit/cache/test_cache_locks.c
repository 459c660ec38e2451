/* test_cache_locks: caches whose names are links, so that two names are one cache; writers that meet, at the worst
 * moment; file systems that know only one kind of lock, or none. Locks fail and wait here at will: fcntl() and
 * flock() are functions of this program. */
#include "common/base/log.h"
#include "tests/unit/cache_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int record_error, flock_error; /* 0: the call works */
static long flocks;                   /* calls that worked */
static void (*before_lock)(void);     /* is done once, before a lock is asked for */

int fcntl(int fd, int command, ...) {
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    if (command == F_OFD_SETLK) {
        void (*work)(void) = before_lock;
        before_lock = NULL;
        if (work != NULL)
            work();
        if (record_error != 0) {
            errno = record_error;
            return -1;
        }
    }
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

int flock(int fd, int operation) {
    if (flock_error != 0) {
        errno = flock_error;
        return -1;
    }
    flocks++;
    return (int)syscall(SYS_flock, fd, operation);
}

static char path[512], partial[512], name[512];

static int prepare(void **state) {
    int failed = unit_scratch_make(state);
    struct cache_info info = fixture_info();
    return failed || mkdir(unit_path("disk"), 0777) != 0 || mkdir(unit_path("names"), 0777) != 0 ||
           fixture_write(unit_path("whole.h5"), &info, -1, false) != STATUS_OK;
}

/* names/cache.h5 -> link.h5 -> ../disk/cache.h5, which is not there. */
static int set_up(void **state) {
    (void)state;
    record_error = flock_error = 0;
    before_lock = NULL;
    unsetenv("VGGCACHE_LOCKS");
    snprintf(path, sizeof path, "%s", unit_path("disk/cache.h5"));
    snprintf(partial, sizeof partial, "%s", unit_path("disk/cache.h5.partial"));
    snprintf(name, sizeof name, "%s", unit_path("names/cache.h5"));
    unlink(path);
    unlink(partial);
    unlink(name);
    unlink(unit_path("names/link.h5"));
    return symlink("../disk/cache.h5", unit_path("names/link.h5")) != 0 || symlink("link.h5", name) != 0;
}

static void assert_whole(void) {
    struct stat found;
    assert_true(unit_same_files(path, unit_path("whole.h5")));
    assert_false(unit_exists(partial));
    assert_int_equal(lstat(name, &found), 0);
    assert_true(S_ISLNK(found.st_mode));
}

static void test_links(void **state) {
    (void)state;
    struct cache_info info = fixture_info(), other = fixture_info();
    struct cache_writer *writer, *second;
    assert_ok(cache_writer_open(&writer, name, &info, false)); /* the link dangles */
    assert_true(unit_exists(partial));
    char *found = cache_partial_path(name), resolved[512];
    assert_non_null(realpath(found, resolved));
    assert_string_equal(resolved, partial);
    free(found);
    for (int force = 0; force < 2; force++) { /* one cache, whatever it is called */
        assert_fails(cache_writer_open(&second, path, &info, force), STATUS_BUSY, "another extract");
        assert_fails(cache_writer_open(&second, unit_path("names/link.h5"), &info, force), STATUS_BUSY,
                     "another");
    }
    cache_writer_close(writer);
    assert_false(unit_exists(partial));
    assert_ok(fixture_write(name, &info, 2, false));
    assert_ok(fixture_write(path, &info, 1, false)); /* goes on there, by the other name */
    assert_ok(fixture_write(name, &info, -1, false));
    assert_whole();
    assert_ok(cache_writer_open(&writer, name, &info, false));
    assert_null(writer); /* nothing to do */
    strcpy(other.preprocess, "caffe");
    assert_fails(cache_writer_open(&writer, name, &other, false), STATUS_MISMATCH, "caffe");
    assert_ok(fixture_write(name, &other, -1, true));
    assert_false(unit_same_files(path, unit_path("whole.h5")));
    assert_ok(fixture_write(name, &info, -1, true));
    assert_whole();
}

static void test_circles(void **state) {
    (void)state;
    struct cache_info info = fixture_info();
    struct cache_writer *writer;
    unlink(name);
    assert_int_equal(symlink("cache.h5", name), 0);
    assert_fails(cache_writer_open(&writer, name, &info, false), STATUS_IO,
                 "Too many levels of symbolic links");
    assert_null(cache_partial_path(name));
    unlink(name);
    assert_int_equal(symlink("none/cache.h5", name), 0);
    assert_fails(cache_writer_open(&writer, name, &info, false), STATUS_IO, "none/cache.h5");
}

static void finish_other(void) {
    struct cache_info info = fixture_info();
    assert_ok(fixture_write(path, &info, -1, false));
}

/* Another writer finishes between the look at the final name and the lock: there is nothing to do then. */
static void test_finished_meanwhile(void **state) {
    (void)state;
    struct cache_info info = fixture_info(), other = fixture_info();
    struct cache_writer *writer;
    before_lock = finish_other;
    assert_ok(cache_writer_open(&writer, path, &info, false));
    assert_null(writer);
    assert_whole();
    unlink(path);
    strcpy(other.preprocess, "caffe");
    before_lock = finish_other;
    assert_fails(cache_writer_open(&writer, path, &other, false), STATUS_MISMATCH, "caffe");
    assert_whole();
}

/* Errors that say that there are no locks at all: refused with advice, and nothing stays behind. */
static void test_no_locks(void **state) {
    (void)state;
    static const struct {
        int record, flock;
        const char *says;
    } cases[] = {{ENOLCK, 0, "No locks available"},
                 {ENOSYS, ENOSYS, "Function not implemented"},
                 {EOPNOTSUPP, EOPNOTSUPP, "Operation not supported"},
                 {EINVAL, ENOLCK, "No locks available"}};
    struct cache_info info = fixture_info();
    struct cache_writer *writer;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        record_error = cases[i].record;
        flock_error = cases[i].flock;
        assert_fails(cache_writer_open(&writer, path, &info, false), STATUS_IO, "VGGCACHE_LOCKS=optional");
        assert_non_null(strstr(status_message(), cases[i].says));
        assert_false(unit_exists(partial) || unit_exists(path));
        setenv("VGGCACHE_LOCKS", "some", 1);
        assert_fails(cache_writer_open(&writer, path, &info, false), STATUS_USAGE, "VGGCACHE_LOCKS=some");
        assert_false(unit_exists(partial));
        setenv("VGGCACHE_LOCKS", "required", 1);
        assert_fails(cache_writer_open(&writer, path, &info, false), STATUS_IO, "VGGCACHE_LOCKS=optional");
        setenv("VGGCACHE_LOCKS", "", 1);
        assert_fails(cache_writer_open(&writer, path, &info, false), STATUS_IO, "VGGCACHE_LOCKS=optional");
        record_error = flock_error = 0; /* rows of before stay */
        assert_ok(fixture_write(path, &info, 2, false));
        record_error = cases[i].record;
        flock_error = cases[i].flock;
        assert_fails(cache_writer_open(&writer, path, &info, false), STATUS_IO, "VGGCACHE_LOCKS=optional");
        assert_true(unit_exists(partial));
        setenv("VGGCACHE_LOCKS", "optional", 1);
        assert_ok(fixture_write(path, &info, 1, false));
        assert_ok(fixture_write(path, &info, -1, false));
        assert_whole();
        unlink(path);
        assert_ok(fixture_write(path, &info, -1, false));
        assert_whole();
        unlink(path);
        unsetenv("VGGCACHE_LOCKS");
    }
}

/* One kind of lock is missing, and the other is used; it excludes others, also for who would do without. */
static void test_flock(void **state) {
    (void)state;
    static const int errors[] = {EINVAL, ENOSYS, EOPNOTSUPP};
    struct cache_info info = fixture_info();
    struct cache_writer *writer, *second;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        record_error = errors[i];
        flocks = 0;
        assert_ok(cache_writer_open(&writer, path, &info, false));
        assert_true(flocks >= 2);
        assert_fails(cache_writer_open(&second, path, &info, false), STATUS_BUSY, "another extract");
        setenv("VGGCACHE_LOCKS", "optional", 1);
        assert_fails(cache_writer_open(&second, path, &info, true), STATUS_BUSY, "another extract");
        unsetenv("VGGCACHE_LOCKS");
        assert_true(unit_exists(partial));
        cache_writer_close(writer);
        assert_ok(fixture_write(path, &info, -1, false));
        assert_whole();
        unlink(path);
    }
}

int main(void) {
    log_init("test_cache_locks", LOG_QUIET);
    h5_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_links, set_up),
        cmocka_unit_test_setup(test_circles, set_up),
        cmocka_unit_test_setup(test_finished_meanwhile, set_up),
        cmocka_unit_test_setup(test_no_locks, set_up),
        cmocka_unit_test_setup(test_flock, set_up),
    };
    return cmocka_run_group_tests(tests, prepare, unit_scratch_remove);
}
