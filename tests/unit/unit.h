/* unit: what every unit test needs: cmocka with its headers, statuses checked with their messages shown,
 * seeds that are printed, a scratch folder, and what a child process said and how it ended. */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include "common/base/rng.h"
#include "common/base/status.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The call must return STATUS_OK. */
#define assert_ok(call) unit_assert_status((call), STATUS_OK, "", #call, __FILE__, __LINE__)

/* The call must return `status` with a message of one line that contains `part`. */
#define assert_fails(call, status, part)                                                                     \
    unit_assert_status((call), (status), (part), #call, __FILE__, __LINE__)

static inline void unit_assert_status(enum status got, enum status want, const char *part, const char *call,
                                      const char *file, int line) {
    const char *message = status_message();
    if (got != want) {
        print_error("%s: %s (\"%s\"), but wanted %s\n", call, status_name(got), message, status_name(want));
        _fail(file, line);
    }
    if (want != STATUS_OK && (strstr(message, part) == NULL || message[0] == '\0' || strchr(message, '\n'))) {
        print_error("%s: the message \"%s\" must be one line with \"%s\"\n", call, message, part);
        _fail(file, line);
    }
}

/* A generator whose seed is printed; UNIT_SEED=N repeats another one. */
static inline void unit_rng(struct rng *rng, const char *test) {
    const char *text = getenv("UNIT_SEED");
    unsigned long long seed = text != NULL ? strtoull(text, NULL, 10) : 20260101;
    print_message("# %s: seed %llu (UNIT_SEED=N for another)\n", test, seed);
    rng_init(rng, seed, 0);
}

/* A folder of this process's own, and paths in it. unit_path() has room for four paths at a time. */
static char unit_folder[64];

static inline int unit_scratch_make(void **state) {
    (void)state;
    snprintf(unit_folder, sizeof unit_folder, "/tmp/vggcache-unit-XXXXXX");
    return mkdtemp(unit_folder) == NULL;
}

static inline int unit_scratch_remove(void **state) {
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", unit_folder);
    return system(command);
}

static inline const char *unit_path(const char *name) {
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", unit_folder, name);
    return path;
}

static inline bool unit_exists(const char *path) {
    return access(path, F_OK) == 0;
}

/* Removes the temporary files in the scratch folder (output.h) and returns how many there were. */
static inline size_t unit_remove_partials(void) {
    size_t count = 0;
    DIR *folder = opendir(unit_folder);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (strstr(entry->d_name, ".partial") != NULL) {
            unlink(unit_path(entry->d_name));
            count++;
        }
    closedir(folder);
    return count;
}

/* All bytes of a file, from malloc(). */
static inline unsigned char *unit_read_file(const char *path, size_t *nbytes_ret) {
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    fseek(stream, 0, SEEK_END);
    size_t nbytes = (size_t)ftell(stream);
    rewind(stream);
    unsigned char *bytes = malloc(nbytes + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, nbytes, stream), nbytes);
    fclose(stream);
    *nbytes_ret = nbytes;
    return bytes;
}

static inline void unit_write_file(const char *path, const void *bytes, size_t nbytes) {
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, nbytes, stream), nbytes);
    assert_int_equal(fclose(stream), 0);
}

/* Whether two files hold the same bytes. */
static inline bool unit_same_files(const char *a, const char *b) {
    size_t a_nbytes, b_nbytes;
    unsigned char *a_bytes = unit_read_file(a, &a_nbytes), *b_bytes = unit_read_file(b, &b_nbytes);
    bool same = a_nbytes == b_nbytes && memcmp(a_bytes, b_bytes, a_nbytes) == 0;
    free(a_bytes);
    free(b_bytes);
    return same;
}

#if defined(__has_feature)
#define UNIT_HAS_TSAN __has_feature(thread_sanitizer)
#elif defined(__SANITIZE_THREAD__)
#define UNIT_HAS_TSAN 1
#else
#define UNIT_HAS_TSAN 0
#endif

/* Runs body(argument) in a child process with standard error in text[size]. Returns its exit status, or 128 + signal.
 * A body that returns exits with 0. It reports failure by _exit(), never by an assertion, which would jump back into
 * the parent's list of tests. */
static inline int unit_child(void (*body)(void *), void *argument, char *text, size_t size) {
    if (UNIT_HAS_TSAN) {
        printf("SKIP: behind a fork, ThreadSanitizer and LLVM's OpenMP hang or crash\n");
        skip();
    }
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static const int caught_by_cmocka[] = {SIGSEGV, SIGFPE, SIGILL, SIGBUS, SIGSYS};
        for (size_t i = 0; i < sizeof caught_by_cmocka / sizeof caught_by_cmocka[0]; i++)
            signal(caught_by_cmocka[i], SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        body(argument);
        fflush(NULL);
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    for (;;) {
        char spill[256];
        ssize_t got = used + 1 < size ? read(ends[0], text + used, size - 1 - used)
                                      : read(ends[0], spill, sizeof spill);
        if (got <= 0)
            break;
        used += used + 1 < size ? (size_t)got : 0;
    }
    if (size > 0)
        text[used] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Ends a child as a program ends, because HDF5 must survive this even after a failed write. But it ends at once under
 * AddressSanitizer, which would find HDF5's own leaks. */
static inline void unit_exit(int code) {
#ifdef __SANITIZE_ADDRESS__
    _exit(code);
#else
    exit(code);
#endif
}

/* Whether AddressSanitizer reports HDF5's own fault: HDF5's code is one of the two innermost frames. */
static inline bool unit_blames_hdf5(const char *text) {
    const char *frame = strstr(text, "    #0 ");
    const char *end = frame != NULL ? strstr(frame, "    #2 ") : NULL;
    const char *library = frame != NULL ? strstr(frame, "libhdf5") : NULL;
    return library != NULL && (end == NULL || library < end);
}

#endif
