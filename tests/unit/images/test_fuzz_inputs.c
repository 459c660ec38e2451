/* test_fuzz_inputs: IDX files and caches with random damage: bytes changed, cut, doubled, moved. Whatever comes in,
 * opening and reading must end with a status and, unless that is STATUS_OK, one line. FUZZ_CASES=N sets the number of
 * cases of each kind.
 *
 * Caches are opened in a child process per case, because HDF5 itself does not survive all damage. Where it crashes,
 * h5_open() has seen to it that the process says so in one line and exits with 1: no case may end by a signal. Such
 * endings are counted and must stay rare; what the sanitizers find in our code fails the test. */
#include "common/base/log.h"
#include "common/images/idx.h"
#include "tests/unit/cache_fixture.h"

#include <sys/resource.h>
#include <zlib.h>

static size_t case_count(size_t usual) {
    const char *text = getenv("FUZZ_CASES");
    return text != NULL ? strtoul(text, NULL, 10) : usual;
}

/* Damages bytes[*nbytes_io], which has room for twice as many. */
static void damage(struct rng *rng, unsigned char *bytes, size_t *nbytes_io) {
    static const unsigned char special[] = {0, 1, 2, 0x7f, 0x80, 0xfe, 0xff};
    size_t nbytes = *nbytes_io;
    for (uint64_t i = 1 + rng_below(rng, 4); i > 0 && nbytes > 0; i--) {
        size_t at = rng_below(rng, nbytes), length = 1 + rng_below(rng, nbytes - at < 16 ? nbytes - at : 16);
        switch (rng_below(rng, 8)) {
        case 0:
            nbytes = at;
            break;
        case 1:
            memmove(bytes + at, bytes + at + length, nbytes - at - length);
            nbytes -= length;
            break;
        case 2:
            if (nbytes + length < 2 * *nbytes_io) {
                memmove(bytes + at + length, bytes + at, nbytes - at);
                nbytes += length;
            }
            break;
        case 3:
            memmove(bytes + rng_below(rng, nbytes - length + 1), bytes + at, length);
            break;
        case 4:
            memset(bytes + at, special[rng_below(rng, sizeof special)], length);
            break;
        case 5:
            bytes[at] = (unsigned char)rng_next(rng);
            break;
        default:
            bytes[at] ^= (unsigned char)(1 << rng_below(rng, 8));
            break;
        }
    }
    *nbytes_io = nbytes;
}

static void assert_told(enum status status, size_t number) {
    if (status == STATUS_OK)
        return;
    if (status >= STATUS_COUNT || status_message()[0] == '\0' || strchr(status_message(), '\n'))
        fail_msg("case %zu: %s, \"%s\"", number, status_name(status), status_message());
}

static void fuzz_idx(bool zipped) {
    enum { COUNT = 9, PIXELS = COUNT * 5 * 6 };
    static unsigned char file[16 + PIXELS] = {0, 0, 8, 3, 0, 0, 0, COUNT, 0, 0, 0, 5, 0, 0, 0, 6};
    struct rng rng;
    unit_rng(&rng, zipped ? "fuzz_idx, gzip" : "fuzz_idx");
    for (int i = 0; i < PIXELS; i++)
        file[16 + i] = (unsigned char)rng_below(&rng, 8);
    unsigned char sound[2 * sizeof file], bytes[4 * sizeof file];
    size_t sound_nbytes = sizeof file, cases = case_count(2000), accepted = 0;
    memcpy(sound, file, sizeof file);
    const char *path = unit_path(zipped ? "f.gz" : "f");
    if (zipped) {
        gzFile stream = gzopen(path, "wb");
        assert_true(stream != NULL && gzwrite(stream, file, sizeof file) == (int)sizeof file);
        gzclose(stream);
        unsigned char *read = unit_read_file(path, &sound_nbytes);
        assert_true(sound_nbytes <= sizeof sound);
        memcpy(sound, read, sound_nbytes);
        free(read);
    }
    for (size_t i = 0; i < cases; i++) {
        struct idx *idx = NULL;
        char sha256[DIGEST_HEX_SIZE];
        uint8_t largest;
        size_t nbytes = sound_nbytes;
        memcpy(bytes, sound, sound_nbytes);
        damage(&rng, bytes, &nbytes);
        unit_write_file(path, bytes, nbytes);
        enum status status = idx_open(&idx, path, i % 8 == 0 ? IDX_LABELS : IDX_IMAGES);
        assert_told(status, i);
        assert_true((status == STATUS_OK) == (idx != NULL));
        if (status == STATUS_OK)
            assert_told(status = idx_scan(idx, 1 + i % idx_count(idx), sha256, &largest), i);
        if (status == STATUS_OK) {
            size_t count = idx_count(idx), item = idx_height(idx) * idx_width(idx);
            unsigned char *items = malloc(count * item);
            assert_non_null(items);
            assert_ok(idx_read(idx, count, items)); /* a scan without an error has read all of it */
            free(items);
            accepted++;
        }
        idx_close(idx);
    }
    unlink(path);
    assert_true(accepted > 0 && accepted < cases); /* pixels changed; headers changed */
    print_message("# %zu of %zu cases accepted\n", accepted, cases);
}

static void test_idx(void **state) {
    (void)state;
    fuzz_idx(false);
    fuzz_idx(true);
}

/* Opens and reads a cache, and then tries to continue it as a writer would. */
static void use_cache(void *argument) {
    const char *path = argument;
    struct cache_info info = fixture_info();
    struct cache *cache = NULL;
    struct cache_writer *writer = NULL;
    struct rlimit memory = {(rlim_t)4 << 30, (rlim_t)4 << 30};
#ifndef __SANITIZE_ADDRESS__
    setrlimit(RLIMIT_AS, &memory);
#endif
    (void)memory;
    enum status status = cache_open(&cache, path);
    if (status == STATUS_OK) {
        status = fixture_read(cache);
        if (status == STATUS_MISMATCH) { /* damage that no checksum found: it was in what made the checksum */
            fprintf(stderr, "a wrong row was read as a good one: %s", status_message());
            _exit(100);
        }
        cache_close(cache);
    }
    if (status != STATUS_OK && (status_message()[0] == '\0' || strchr(status_message(), '\n')))
        _exit(101);
    char partial[600];
    snprintf(partial, sizeof partial, "%s.partial", path);
    if (rename(path, partial) != 0)
        _exit(102);
    status = cache_writer_open(&writer, path, &info, false);
    if (status != STATUS_OK && (status_message()[0] == '\0' || strchr(status_message(), '\n')))
        _exit(103);
    cache_writer_close(writer);
    _exit(status == STATUS_OK ? 0 : 1);
}

static void test_cache(void **state) {
    (void)state;
    struct rng rng;
    unit_rng(&rng, "test_cache");
    struct cache_info info = fixture_info();
    char path[512], partial[512], text[8192];
    snprintf(path, sizeof path, "%s", unit_path("c.h5"));
    snprintf(partial, sizeof partial, "%s", unit_path("c.h5.partial"));
    assert_ok(fixture_write(path, &info, -1, false));
    size_t sound_nbytes, cases = case_count(150), crashes = 0, accepted = 0;
    unsigned char *sound = unit_read_file(path, &sound_nbytes), *bytes = malloc(2 * sound_nbytes);
    assert_non_null(bytes);
    for (size_t i = 0; i < cases; i++) {
        size_t nbytes = sound_nbytes;
        memcpy(bytes, sound, sound_nbytes);
        damage(&rng, bytes, &nbytes);
        unlink(partial);
        unit_write_file(path, bytes, nbytes);
        int status = unit_child(use_cache, path, text, sizeof text);
        bool crashed = strstr(text, ": damaged: HDF5 crashes or hangs on it") != NULL ||
                       (status == 99 && unit_blames_hdf5(text));
        if (status >= 99 && !crashed)
            fail_msg("case %zu: status %d, %s", i, status, text);
        if (crashed) {
            crashes++;
            text[strcspn(text, "\n")] = '\0';
            print_message("# case %zu: HDF5 ended its process, status %d %s\n", i, status, text);
        }
        accepted += status == 0;
    }
    free(sound);
    free(bytes);
    print_message("# %zu of %zu cases accepted, %zu beyond HDF5\n", accepted, cases, crashes);
    assert_true(accepted > 0 && accepted < cases);
    assert_true(crashes * 20 <= cases);
}

int main(void) {
    log_init("test_fuzz_inputs", LOG_QUIET);
    h5_init();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_idx), cmocka_unit_test(test_cache)};
    return cmocka_run_group_tests(tests, unit_scratch_make, unit_scratch_remove);
}
