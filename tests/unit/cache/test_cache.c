/* test_cache: what the cache promises: round trip, resume from anywhere to the same bytes, refusal to mix,
 * one writer at a time, damage found and repaired. */
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/cache/cache_file.h"
#include "tests/unit/cache_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

static char path[512], partial[512];

static int prepare(void **state) {
    int failed = unit_scratch_make(state);
    snprintf(path, sizeof path, "%s", unit_path("cache.h5"));
    snprintf(partial, sizeof partial, "%s", unit_path("cache.h5.partial"));
    struct cache_info info = fixture_info();
    return failed || fixture_write(unit_path("whole.h5"), &info, -1, false) != STATUS_OK;
}

static int clear(void **state) {
    (void)state;
    unlink(path);
    unlink(partial);
    return 0;
}

static void assert_only_final(void) {
    assert_true(unit_exists(path));
    assert_false(unit_exists(partial));
    assert_false(unit_exists(unit_path("cache.h5.partial.new")));
}

static void test_round_trip(void **state) {
    (void)state;
    uint64_t progress;
    struct cache_info info = fixture_info();
    assert_ok(fixture_write(path, &info, -1, false));
    assert_only_final();
    assert_ok(fixture_check(path, &progress));
    assert_int_equal(progress, FIXTURE_TRAIN + FIXTURE_TEST);
    struct cache *cache;
    assert_ok(cache_open(&cache, path));
    const struct cache_info *got = cache_info(cache);
    assert_true(got->complete && got->dim == FIXTURE_DIM);
    char a[CACHE_SOURCE], b[CACHE_SOURCE];
    for (size_t i = 0; i < cache_root_field_count; i++)
        assert_string_equal(cache_field_text(&cache_root_fields[i], got, a),
                            cache_field_text(&cache_root_fields[i], &info, b));
    for (int s = 0; s < CACHE_SPLITS; s++)
        for (size_t i = 0; i < cache_split_field_count; i++)
            assert_string_equal(cache_field_text(&cache_split_fields[i], &got->splits[s], a),
                                cache_field_text(&cache_split_fields[i], &info.splits[s], b));
    /* Every range of whole blocks. */
    for (uint64_t first = 0; first < FIXTURE_TRAIN; first += FIXTURE_BLOCK)
        for (uint64_t end = first; end <= 12; end += FIXTURE_BLOCK) {
            uint64_t count = (end > FIXTURE_TRAIN ? FIXTURE_TRAIN : end) - first;
            float features[FIXTURE_TRAIN * FIXTURE_DIM];
            uint16_t labels[FIXTURE_TRAIN];
            assert_ok(cache_read(cache, CACHE_TRAIN, first, count, features, labels));
            for (uint64_t i = 0; i < count; i++) {
                assert_int_equal(labels[i], fixture_label(&info, CACHE_TRAIN, first + i));
                assert_true(features[i * FIXTURE_DIM + 1] == fixture_feature(CACHE_TRAIN, first + i, 1));
            }
        }
    cache_close(cache);
    cache_close(NULL);
    cache_writer_close(NULL);
}

static void test_provenance(void **state) {
    (void)state;
    struct cache_info info = fixture_info();
    char value[CACHE_SOURCE];
    static const char *const names[] = {"backbone", "layer",      "input_size",
                                        "resize",   "preprocess", "weights_sha256"};
    assert_int_equal(cache_provenance_count(), 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(cache_provenance(&info, i, value), names[i]);
    assert_string_equal(cache_provenance(&info, 2, value), "input_size");
    assert_string_equal(value, "56");
    cache_provenance(&info, 5, value);
    assert_string_equal(value, info.weights_sha256);
}

static void test_wide_labels(void **state) {
    (void)state;
    uint64_t progress;
    static const uint64_t classes[] = {1, 256, 257, 65536};
    for (int i = 0; i < 4; i++) {
        struct cache_info info = fixture_info();
        info.classes = classes[i];
        assert_ok(fixture_write(path, &info, -1, false));
        assert_ok(fixture_check(path, &progress));
        size_t offset, nbytes;
        fixture_place(path, "/train/labels", &offset, &nbytes);
        assert_int_equal(nbytes, FIXTURE_TRAIN * (classes[i] > 256 ? 2 : 1));
        unlink(path);
    }
}

static void test_nothing_to_do(void **state) {
    (void)state;
    struct cache_info info = fixture_info();
    assert_ok(fixture_write(path, &info, -1, false));
    struct stat before, after;
    assert_int_equal(stat(path, &before), 0);
    struct cache_writer *writer = (struct cache_writer *)&before;
    snprintf(info.created_by, CACHE_TEXT, "another version"); /* notes are not compared */
    snprintf(info.weights_source, CACHE_TEXT, "another name");
    snprintf(info.splits[0].source, CACHE_TEXT, "another folder");
    assert_ok(cache_writer_open(&writer, path, &info, false));
    assert_null(writer);
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
    assert_only_final();
}

/* A writer that stops after each number of blocks, once, and after each block: the same bytes as without a stop. */
static void test_resume(void **state) {
    (void)state;
    struct cache_info info = fixture_info();
    static const uint64_t rows[] = {0, 4, 8, 11, 15, 16};
    uint64_t progress;
    for (int stop = 0; stop <= FIXTURE_BLOCKS; stop++) {
        clear(state);
        if (stop < FIXTURE_BLOCKS)
            assert_ok(fixture_write(path, &info, stop, false));
        assert_false(unit_exists(path));
        assert_true(unit_exists(partial) == (stop > 0 && stop < FIXTURE_BLOCKS)); /* no row, no file */
        if (unit_exists(partial)) {
            assert_ok(fixture_check(partial, &progress));
            assert_int_equal(progress, rows[stop]);
        }
        assert_ok(fixture_write(path, &info, -1, false));
        assert_only_final();
        assert_true(unit_same_files(path, unit_path("whole.h5")));
    }
    clear(state);
    for (int i = 0; i < FIXTURE_BLOCKS - 1; i++)
        assert_ok(fixture_write(path, &info, 1, false));
    struct cache_writer *writer; /* all rows, but not finished */
    assert_ok(cache_writer_open(&writer, path, &info, false));
    assert_ok(fixture_append(writer, &info, CACHE_TEST));
    cache_writer_close(writer);
    assert_ok(fixture_check(partial, &progress));
    assert_int_equal(progress, FIXTURE_TRAIN + FIXTURE_TEST);
    assert_ok(fixture_write(path, &info, 0, false));
    assert_only_final();
    assert_true(unit_same_files(path, unit_path("whole.h5")));
}

/* The test rows first, then both in turn: the order of appends between splits does not change the file. */
static void test_order_of_splits(void **state) {
    (void)state;
    struct cache_info info = fixture_info();
    struct cache_writer *writer;
    assert_ok(cache_writer_open(&writer, path, &info, false));
    static const int order[FIXTURE_BLOCKS] = {1, 0, 1, 0, 0};
    for (int i = 0; i < FIXTURE_BLOCKS; i++)
        assert_ok(fixture_append(writer, &info, order[i]));
    assert_ok(cache_writer_finish(writer));
    assert_true(unit_same_files(path, unit_path("whole.h5")));
}

/* What differs, as a function that changes it. */
static void change(struct cache_info *info, int which) {
    struct cache_split_info *split = &info->splits[which % 2];
    switch (which) {
    case 0:
        strcpy(info->backbone, "vgg19");
        break;
    case 1:
        strcpy(info->layer, "block4_pool");
        break;
    case 2:
        info->input_size = 64;
        break;
    case 3:
        strcpy(info->resize, "nearest");
        break;
    case 4:
        strcpy(info->preprocess, "caffe");
        break;
    case 5:
        info->weights_sha256[63] = 'f';
        break;
    case 6:
        strcpy(info->engine, "winograd");
        break;
    case 7:
        strcpy(info->isa, "SkylakeX");
        break;
    case 8:
        info->classes = 11;
        break;
    case 9:
        info->dim = FIXTURE_DIM + 1;
        break;
    case 10:
    case 11:
        split->images_sha256[0] = '0';
        break;
    case 12:
    case 13:
        split->labels_sha256[0] = '0';
        break;
    case 14:
    case 15:
        split->image_height = 32;
        break;
    case 16:
    case 17:
        split->image_width = 32;
        break;
    case 18:
    case 19:
        split->block_rows = 2;
        break;
    default:
        split->rows += 1;
        break;
    }
}

enum { CHANGES = 22 };
static const char *const change_texts[CHANGES] = {
    "backbone is vgg16, asked for vgg19",
    "layer is block5_pool, asked for block4_pool",
    "input_size is 56, asked for 64",
    "resize is cv2 INTER_LINEAR, asked for nearest",
    "preprocess is rescale, asked for caffe",
    "weights_sha256 is aaa",
    "engine is gemm, asked for winograd",
    "isa is Haswell, asked for SkylakeX",
    "classes is 10, asked for 11",
    "features per row is 6, asked for 7",
    "train images_sha256 is bbb",
    "test images_sha256 is ccc",
    "train labels_sha256 is ddd",
    "test labels_sha256 is eee",
    "train image_height is 28, asked for 32",
    "test image_height is 28, asked for 32",
    "train image_width is 27, asked for 32",
    "test image_width is 27, asked for 32",
    "train block_rows is 4, asked for 2",
    "test block_rows is 4, asked for 2",
    "train rows is 11, asked for 12",
    "test rows is 5, asked for 6",
};

static void test_mismatch(void **state) {
    (void)state;
    struct cache_writer *writer;
    for (int unfinished = 0; unfinished < 2; unfinished++) {
        struct cache_info info = fixture_info();
        clear(state);
        assert_ok(fixture_write(path, &info, unfinished ? 2 : -1, false));
        const char *there = unfinished ? partial : path;
        size_t nbytes, after_nbytes;
        unsigned char *before = unit_read_file(there, &nbytes);
        for (int i = 0; i < CHANGES; i++) {
            info = fixture_info();
            change(&info, i);
            assert_fails(cache_writer_open(&writer, path, &info, false), STATUS_MISMATCH, change_texts[i]);
            assert_null(writer);
            assert_non_null(strstr(status_message(), there));
            assert_non_null(strstr(status_message(), "--force"));
        }
        info = fixture_info(); /* two at once: both are named */
        change(&info, 2);
        change(&info, 15);
        assert_fails(cache_writer_open(&writer, path, &info, false), STATUS_MISMATCH, change_texts[2]);
        assert_non_null(strstr(status_message(), change_texts[15]));
        unsigned char *after = unit_read_file(there, &after_nbytes);
        assert_int_equal(nbytes, after_nbytes);
        assert_memory_equal(before, after, nbytes);
        free(before);
        free(after);
    }
}

static void test_force(void **state) {
    (void)state;
    struct cache_info info = fixture_info(), other = fixture_info();
    uint64_t progress;
    change(&other, 4);
    assert_ok(fixture_write(path, &other, -1, false));
    assert_ok(fixture_write(path, &info, 2, true)); /* the old one stays until the new one is complete */
    assert_true(unit_exists(path) && unit_exists(partial));
    assert_ok(fixture_write(path, &info, -1, true)); /* goes on, not from the start */
    assert_only_final();
    assert_true(unit_same_files(path, unit_path("whole.h5")));
    clear(state);
    assert_ok(fixture_write(path, &other, 2, false)); /* a partial one of another kind is discarded */
    assert_ok(fixture_write(path, &info, 1, true));
    assert_ok(fixture_check(partial, &progress));
    assert_int_equal(progress, FIXTURE_BLOCK);
    assert_ok(fixture_write(path, &info, -1, false));
    assert_true(unit_same_files(path, unit_path("whole.h5")));
    assert_ok(fixture_write(path, &info, -1, true)); /* a complete one is made anew */
    assert_true(unit_same_files(path, unit_path("whole.h5")));
    unit_write_file(partial, "rubbish", 7);
    unlink(path);
    assert_fails(fixture_write(path, &info, -1, false), STATUS_FORMAT, "--force");
    assert_ok(fixture_write(path, &info, -1, true));
    assert_true(unit_same_files(path, unit_path("whole.h5")));
}

static void try_write(void *argument) {
    struct cache_info info = fixture_info();
    enum status status = fixture_write(path, &info, -1, *(bool *)argument);
    fprintf(stderr, "%s", status_message());
    _exit((int)status);
}

static void test_busy(void **state) {
    (void)state;
    struct cache_info info = fixture_info();
    struct cache_writer *writer, *second;
    char text[1024];
    assert_ok(cache_writer_open(&writer, path, &info, false));
    for (int appended = 0; appended < 2; appended++)
        for (int force = 0; force < 2; force++) {
            bool forced = force == 1;
            assert_int_equal(unit_child(try_write, &forced, text, sizeof text), STATUS_BUSY);
            assert_non_null(strstr(text, "another extract is writing this cache"));
            assert_fails(cache_writer_open(&second, path, &info, forced), STATUS_BUSY, path);
            assert_null(second);
            if (appended == 0 && force == 1)
                assert_ok(fixture_append(writer, &info, 0));
        }
    uint64_t progress;
    assert_ok(fixture_check(partial, &progress)); /* readers are welcome */
    assert_int_equal(progress, FIXTURE_BLOCK);
    cache_writer_close(writer);
    bool forced = false;
    assert_int_equal(unit_child(try_write, &forced, text, sizeof text), STATUS_OK);
    assert_true(unit_same_files(path, unit_path("whole.h5")));
}

static void flip(const char *file, size_t at, int bit) {
    size_t nbytes;
    unsigned char *bytes = unit_read_file(file, &nbytes);
    assert_true(at < nbytes);
    bytes[at] ^= (unsigned char)(1 << bit);
    unit_write_file(file, bytes, nbytes);
    free(bytes);
}

/* A flipped bit anywhere in features, labels or checksums is found, in the block where it is. */
static void test_damage_is_found(void **state) {
    (void)state;
    static const char *const datasets[] = {"/train/features", "/train/labels", "/train/checksums",
                                           "/test/features",  "/test/labels",  "/test/checksums"};
    static const size_t row_nbytes[] = {FIXTURE_DIM * 4, 1, 1};
    struct cache_info info = fixture_info();
    uint64_t progress;
    assert_ok(fixture_write(path, &info, -1, false));
    for (int d = 0; d < 6; d++) {
        size_t offset, nbytes;
        fixture_place(path, datasets[d], &offset, &nbytes);
        for (size_t at = 0; at < nbytes; at++) {
            int bit = (int)(at * 5 % 8);
            flip(path, offset + at, bit);
            size_t block = d % 3 == 2 ? at / 4 : at / row_nbytes[d % 3] / FIXTURE_BLOCK;
            size_t rows = d < 3 ? FIXTURE_TRAIN : FIXTURE_TEST, last = (block + 1) * FIXTURE_BLOCK;
            char says[64];
            snprintf(says, sizeof says, "rows %zu to %zu of %s are damaged", block * FIXTURE_BLOCK,
                     (last < rows ? last : rows) - 1, d < 3 ? "train" : "test");
            assert_fails(fixture_check(path, &progress), STATUS_CORRUPT, says);
            flip(path, offset + at, bit);
        }
    }
    assert_ok(fixture_check(path, &progress));
    assert_true(unit_same_files(path, unit_path("whole.h5")));
}

/* An unfinished cache is repaired: rows from the first damaged block on are made again. */
static void test_damage_is_repaired(void **state) {
    (void)state;
    static const struct {
        const char *dataset;
        size_t at;
        uint64_t left; /* training rows that are kept */
    } cases[] = {{"/train/features", 0, 0}, {"/train/features", 23, 0}, {"/train/features", 4 * 24, 4},
                 {"/train/labels", 7, 4},   {"/train/labels", 8, 8},    {"/train/checksums", 8, 8},
                 {"/train/checksums", 0, 0}};
    struct cache_info info = fixture_info();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clear(state);
        assert_ok(fixture_write(path, &info, 4, false)); /* all training rows, and a block of test rows */
        size_t offset, nbytes;
        fixture_place(partial, cases[i].dataset, &offset, &nbytes);
        flip(partial, offset + cases[i].at, 3);
        struct cache_writer *writer;
        assert_ok(cache_writer_open(&writer, path, &info, false));
        assert_int_equal(cache_writer_progress(writer, CACHE_TRAIN), cases[i].left);
        assert_int_equal(cache_writer_progress(writer, CACHE_TEST), FIXTURE_BLOCK);
        cache_writer_close(writer);
        assert_ok(fixture_write(path, &info, -1, false));
        assert_true(unit_same_files(path, unit_path("whole.h5")));
    }
}

/* Sound by its checksum, but a label that no class has. */
static void test_label_out_of_range(void **state) {
    (void)state;
    struct cache_info info = fixture_info();
    struct cache_writer *writer;
    float features[FIXTURE_BLOCK * FIXTURE_DIM] = {0};
    uint16_t labels[FIXTURE_BLOCK] = {0, 9, 10, 0};
    uint64_t progress;
    assert_ok(cache_writer_open(&writer, path, &info, false));
    assert_ok(cache_writer_append(writer, CACHE_TEST, FIXTURE_BLOCK, features, labels));
    cache_writer_close(writer);
    assert_fails(fixture_check(partial, &progress), STATUS_FORMAT, "label 10 in row 2 of test");
}

static void test_what_stands_there(void **state) {
    (void)state;
    struct cache_info info = fixture_info();
    struct cache_writer *writer;
    unit_write_file(path, "a text", 6);
    assert_fails(cache_writer_open(&writer, path, &info, false), STATUS_FORMAT, "--force");
    assert_ok(fixture_write(path, &info, -1, true));
    assert_true(unit_same_files(path, unit_path("whole.h5")));
    clear(state);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_fails(cache_writer_open(&writer, path, &info, true), STATUS_IO, "not a regular file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_fails(cache_writer_open(&writer, path, &info, true), STATUS_IO, "not a regular file");
    clear(state);
    assert_int_equal(mkdir(partial, 0777), 0);
    assert_fails(cache_writer_open(&writer, path, &info, false), STATUS_IO, partial);
    assert_int_equal(rmdir(partial), 0);
    assert_fails(cache_writer_open(&writer, unit_path("missing/cache.h5"), &info, false), STATUS_IO,
                 "missing/cache.h5");
    assert_ok(fixture_write(path, &info, 2, false)); /* an unfinished cache under the final name */
    assert_int_equal(rename(partial, path), 0);
    assert_fails(cache_writer_open(&writer, path, &info, false), STATUS_FORMAT, "unfinished");
    assert_non_null(strstr(status_message(), partial));
    assert_int_equal(rename(path, partial), 0);
    assert_ok(fixture_write(path, &info, -1, false));
    clear(state);
    unit_write_file(partial, "", 0); /* a writer killed between its first two steps */
    assert_ok(fixture_write(path, &info, -1, false));
    assert_true(unit_same_files(path, unit_path("whole.h5")));
}

static void test_no_memory(void **state) {
    (void)state;
    struct cache_info info = fixture_info();
    bool succeeded = false;
    for (long n = 1; !succeeded; n++) {
        clear(state);
        assert_ok(fixture_write(path, &info, 4, false));
        mem_test_fail_at(n);
        enum status status = fixture_write(path, &info, -1, false);
        mem_test_fail_at(0);
        succeeded = status == STATUS_OK;
        if (!succeeded) {
            assert_int_equal(status, STATUS_NO_MEMORY);
            assert_false(unit_exists(path));
            assert_ok(fixture_write(path, &info, -1, false)); /* nothing was lost */
        }
        assert_true(n < 100);
        assert_true(n > 1 || !succeeded);
        assert_true(unit_same_files(path, unit_path("whole.h5")));
    }
}

int main(void) {
    log_init("test_cache", LOG_QUIET);
    h5_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_round_trip, clear),
        cmocka_unit_test_setup(test_provenance, clear),
        cmocka_unit_test_setup(test_wide_labels, clear),
        cmocka_unit_test_setup(test_nothing_to_do, clear),
        cmocka_unit_test_setup(test_resume, clear),
        cmocka_unit_test_setup(test_order_of_splits, clear),
        cmocka_unit_test_setup(test_mismatch, clear),
        cmocka_unit_test_setup(test_force, clear),
        cmocka_unit_test_setup(test_busy, clear),
        cmocka_unit_test_setup(test_damage_is_found, clear),
        cmocka_unit_test_setup(test_damage_is_repaired, clear),
        cmocka_unit_test_setup(test_label_out_of_range, clear),
        cmocka_unit_test_setup(test_what_stands_there, clear),
        cmocka_unit_test_setup(test_no_memory, clear),
    };
    return cmocka_run_group_tests(tests, prepare, unit_scratch_remove);
}
