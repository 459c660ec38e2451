/* test_cache_hostile: caches with wrong contents. Each is a sound cache in which HDF5 itself has replaced one thing.
 * Opening it must refuse it with one line, before a row is read. */
#include "common/base/log.h"
#include "tests/unit/cache_fixture.h"

#include <fcntl.h>

static char path[512], partial[512], whole[512];

static int prepare(void **state) {
    int failed = unit_scratch_make(state);
    snprintf(path, sizeof path, "%s", unit_path("cache.h5"));
    snprintf(partial, sizeof partial, "%s", unit_path("cache.h5.partial"));
    snprintf(whole, sizeof whole, "%s", unit_path("whole.h5"));
    struct cache_info info = fixture_info();
    return failed || fixture_write(whole, &info, -1, false) != STATUS_OK;
}

static void copy(const char *from, const char *to) {
    size_t nbytes;
    unsigned char *bytes = unit_read_file(from, &nbytes);
    unit_write_file(to, bytes, nbytes);
    free(bytes);
}

/* Opens a copy of the sound cache at `path`, for changes. */
static hid_t open_copy(void) {
    copy(whole, path);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

/* Puts another dataset in the place of one. `layout`: c contiguous, k compact, h chunked, x external. */
static void replace(hid_t file, const char *name, hid_t type, int rank, const hsize_t dims[], char layout) {
    assert_true(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
    hid_t space = H5Screate_simple(rank, dims, NULL), creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY);
    if (layout == 'h')
        H5Pset_chunk(creation, rank, dims);
    else if (layout == 'k')
        H5Pset_layout(creation, H5D_COMPACT);
    else if (layout == 'x')
        H5Pset_external(creation, "/etc/passwd", 0, H5F_UNLIMITED);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    assert_true(dataset >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(creation);
}

static void assert_refused(hid_t file, const char *what) {
    struct cache *cache = NULL;
    assert_true(H5Fclose(file) >= 0);
    enum status status = cache_open(&cache, path);
    if (status != STATUS_FORMAT || strchr(status_message(), '\n') || !strstr(status_message(), path))
        fail_msg("%s: %s (%s)", what, status_name(status), status_message());
    assert_null(cache);
}

static void test_datasets(void **state) {
    (void)state;
    static const hsize_t features[] = {FIXTURE_TRAIN, FIXTURE_DIM}, labels[] = {FIXTURE_TRAIN},
                         blocks[] = {3}, one[] = {1};
    static const hsize_t cube[] = {FIXTURE_TRAIN, FIXTURE_DIM, 1}, flat[] = {FIXTURE_TRAIN * FIXTURE_DIM},
                         fewer[] = {FIXTURE_TRAIN - 1, FIXTURE_DIM},
                         wider[] = {FIXTURE_TRAIN, FIXTURE_DIM + 1}, none[] = {0, FIXTURE_DIM},
                         thin[] = {FIXTURE_TRAIN, 0}, two[] = {2}, empty[] = {0},
                         longer[] = {FIXTURE_TRAIN + 1}, four[] = {4};
    const struct {
        const char *name;
        hid_t type;
        int rank;
        const hsize_t *dims;
        char layout;
    } cases[] = {
        {"/train/features", H5T_IEEE_F64LE, 2, features, 'c'},
        {"/train/features", H5T_IEEE_F32BE, 2, features, 'c'},
        {"/train/features", H5T_STD_I32LE, 2, features, 'c'},
        {"/train/features", H5T_IEEE_F32LE, 1, flat, 'c'},
        {"/train/features", H5T_IEEE_F32LE, 3, cube, 'c'},
        {"/train/features", H5T_IEEE_F32LE, 2, features, 'h'},
        {"/train/features", H5T_IEEE_F32LE, 2, features, 'k'},
        {"/train/features", H5T_IEEE_F32LE, 2, fewer, 'c'},
        {"/train/features", H5T_IEEE_F32LE, 2, wider, 'c'},
        {"/train/features", H5T_IEEE_F32LE, 2, none, 'c'},
        {"/train/features", H5T_IEEE_F32LE, 2, thin, 'c'},
        {"/test/features", H5T_IEEE_F32LE, 2, features, 'c'},
        {"/train/features", H5T_IEEE_F32LE, 2, features, 'x'},
        {"/train/labels", H5T_STD_U8LE, 1, labels, 'x'},
        {"/train/labels", H5T_STD_U16LE, 1, labels, 'c'},
        {"/train/labels", H5T_STD_I8LE, 1, labels, 'c'},
        {"/train/labels", H5T_STD_U8LE, 2, features, 'c'},
        {"/train/labels", H5T_STD_U8LE, 1, longer, 'c'},
        {"/train/labels", H5T_STD_U8LE, 1, labels, 'h'},
        {"/train/labels", H5T_STD_U8LE, 1, empty, 'c'},
        {"/test/labels", H5T_STD_U8LE, 1, labels, 'c'},
        {"/train/labels", H5T_C_S1, 1, labels, 'c'},
        {"/train/checksums", H5T_STD_U64LE, 1, blocks, 'c'},
        {"/train/checksums", H5T_STD_U32LE, 1, two, 'c'},
        {"/train/checksums", H5T_STD_U32LE, 1, four, 'c'},
        {"/train/checksums", H5T_STD_U32BE, 1, blocks, 'c'},
        {"/train/progress", H5T_STD_I64LE, 1, one, 'c'},
        {"/train/progress", H5T_STD_U32LE, 1, one, 'c'},
        {"/train/progress", H5T_STD_U64LE, 1, two, 'c'},
        {"/train/progress", H5T_STD_U64LE, 1, one, 'h'},
        {"/test/progress", H5T_STD_U64LE, 1, empty, 'c'},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char what[64];
        snprintf(what, sizeof what, "case %zu, %s", i, cases[i].name);
        hid_t file = open_copy();
        replace(file, cases[i].name, cases[i].type, cases[i].rank, cases[i].dims, cases[i].layout);
        assert_refused(file, what);
    }
}

static void test_missing_objects(void **state) {
    (void)state;
    static const char *const names[] = {
        "/train", "/test", "/train/features", "/test/labels", "/train/checksums", "/test/progress"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        hid_t file = open_copy();
        assert_true(H5Ldelete(file, names[i], H5P_DEFAULT) >= 0);
        assert_refused(file, names[i]);
        file = open_copy(); /* of another kind: group for dataset, dataset for group */
        assert_true(H5Ldelete(file, names[i], H5P_DEFAULT) >= 0);
        if (i < 2) {
            hid_t space = H5Screate(H5S_SCALAR);
            H5Dclose(H5Dcreate2(file, names[i], H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
            H5Sclose(space);
        } else {
            H5Gclose(H5Gcreate2(file, names[i], H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        }
        assert_refused(file, names[i]);
        file = open_copy(); /* links that lead nowhere, in a circle, and out of the file */
        assert_true(H5Ldelete(file, names[i], H5P_DEFAULT) >= 0);
        assert_true(H5Lcreate_soft(i % 2 ? "/nowhere" : names[i], file, names[i], H5P_DEFAULT, H5P_DEFAULT) >=
                    0);
        assert_refused(file, names[i]);
        file = open_copy();
        assert_true(H5Ldelete(file, names[i], H5P_DEFAULT) >= 0);
        assert_true(H5Lcreate_external("/nowhere.h5", "/x", file, names[i], H5P_DEFAULT, H5P_DEFAULT) >= 0);
        assert_refused(file, names[i]);
    }
}

/* Every attribute missing, and of another type. */
static void test_attributes(void **state) {
    (void)state;
    static const struct {
        const char *object, *name;
    } attributes[] = {
        {"/", "format"},
        {"/", "format_version"},
        {"/", "complete"},
        {"/", "created_by"},
        {"/", "backbone"},
        {"/", "layer"},
        {"/", "input_size"},
        {"/", "resize"},
        {"/", "preprocess"},
        {"/", "weights_sha256"},
        {"/", "weights_source"},
        {"/", "engine"},
        {"/", "isa"},
        {"/", "classes"},
        {"/train", "images_sha256"},
        {"/test", "labels_sha256"},
        {"/train", "source"},
        {"/test", "image_height"},
        {"/train", "image_width"},
        {"/test", "block_rows"},
    };
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        const char *name = attributes[i].name;
        for (int kind = 0; kind < 4; kind++) {
            hid_t file = open_copy(), object = H5Oopen(file, attributes[i].object, H5P_DEFAULT);
            assert_true(H5Adelete(object, name) >= 0);
            hsize_t three[] = {3};
            hid_t space = kind == 1   ? H5Screate(H5S_SCALAR)
                          : kind == 2 ? H5Screate_simple(1, three, NULL)
                                      : H5Screate(H5S_NULL);
            if (kind > 0)
                H5Aclose(H5Acreate2(object, name, H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, H5P_DEFAULT));
            H5Sclose(space);
            H5Oclose(object);
            assert_refused(file, name);
        }
    }
}

static void set_whole(hid_t file, const char *object, const char *name, uint64_t value) {
    hid_t at = H5Oopen(file, object, H5P_DEFAULT);
    assert_ok(h5_write_whole(at, name, value));
    H5Oclose(at);
}

static void test_values(void **state) {
    (void)state;
    static const struct {
        const char *object, *name;
        uint64_t value;
    } cases[] = {
        {"/", "format_version", 0},
        {"/", "format_version", 2},
        {"/", "classes", 0},
        {"/", "classes", CACHE_CLASSES_MAX + 1},
        {"/", "classes", 257}, /* labels would be wider */
        {"/train", "block_rows", 0},
        {"/train", "block_rows", 3},
        {"/train", "block_rows", 6},
        {"/train", "block_rows", FIXTURE_TRAIN},
        {"/test", "block_rows", INT64_MAX},
        {"/test", "block_rows", (uint64_t)1 << 62},
        {"/test", "block_rows", CACHE_BLOCK_ROWS_MAX + 1},
        {"/test", "block_rows", (uint64_t)-1},
        {"/", "input_size", (uint64_t)-56},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hid_t file = open_copy();
        set_whole(file, cases[i].object, cases[i].name, cases[i].value);
        assert_refused(file, cases[i].name);
    }
    hid_t file = open_copy();
    assert_ok(h5_write_string(file, "format", "vggcachf"));
    assert_refused(file, "format");
    static const char *const texts[] = {"backbone", "weights_sha256"};
    for (int i = 0; i < 2; i++) {
        file = open_copy();
        char large[100];
        memset(large, 'x', sizeof large);
        large[99] = '\0';
        assert_ok(h5_write_string(file, texts[i], large));
        assert_refused(file, texts[i]);
    }
}

static void set_progress(hid_t file, const char *split, uint64_t value) {
    char name[32];
    snprintf(name, sizeof name, "/%s/progress", split);
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    assert_true(H5Dwrite(dataset, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &value) >= 0);
    H5Dclose(dataset);
}

static void test_progress(void **state) {
    (void)state;
    static const uint64_t bad[] = {FIXTURE_TRAIN + 1, 12, 1, 10, UINT64_MAX, (uint64_t)1 << 63};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (int complete = 0; complete < 2; complete++) {
            hid_t file = open_copy();
            set_whole(file, "/", "complete", (uint64_t)complete);
            set_progress(file, "train", bad[i]);
            assert_refused(file, "progress");
        }
    hid_t file = open_copy(); /* complete, but not all rows are there */
    set_progress(file, "test", 4);
    assert_refused(file, "progress of a complete cache");
    file = open_copy();
    set_whole(file, "/", "complete", 0);
    set_progress(file, "test", 4);
    H5Fclose(file);
    uint64_t rows;
    assert_ok(fixture_check(path, &rows));
    assert_int_equal(rows, FIXTURE_TRAIN + 4);
}

static void test_foreign_files(void **state) {
    (void)state;
    struct cache *cache = NULL;
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_refused(file, "an empty HDF5 file");
    assert_non_null(strstr(status_message(), "not a feature cache"));
    assert_fails(cache_open(&cache, unit_path("missing.h5")), STATUS_IO, "missing.h5");
    assert_fails(cache_open(&cache, unit_folder), STATUS_FORMAT, unit_folder);
    assert_fails(cache_open(&cache, "/dev/null"), STATUS_FORMAT, "/dev/null");
    assert_null(cache);
}

/* A file that is cut short anywhere is refused by every reader, and a partial file that is cut is not continued. */
static void test_truncated(void **state) {
    (void)state;
    size_t nbytes;
    unsigned char *bytes = unit_read_file(whole, &nbytes);
    struct cache_info info = fixture_info();
    struct cache_writer *writer;
    for (size_t cut = 0; cut < nbytes; cut += cut % 64 == 0 || cut + 70 > nbytes ? 1 : 63) {
        struct cache *cache = NULL;
        unit_write_file(path, bytes, cut);
        assert_fails(cache_open(&cache, path), STATUS_FORMAT, path);
        assert_int_equal(rename(path, partial), 0);
        if (cut > 0)
            assert_fails(cache_writer_open(&writer, path, &info, false), STATUS_FORMAT, "--force");
    }
    assert_ok(fixture_write(path, &info, -1, true));
    assert_true(unit_same_files(path, whole));
    unlink(path);
    free(bytes);
}

/* What a hostile partial file could do to the writer: rows wider than those that are appended. */
static void test_hostile_partial(void **state) {
    (void)state;
    struct cache_info info = fixture_info(), wide = fixture_info();
    struct cache_writer *writer;
    wide.dim = 4096;
    unlink(path);
    assert_ok(cache_writer_open(&writer, path, &wide, false));
    float *features = calloc(FIXTURE_BLOCK * wide.dim, sizeof *features);
    uint16_t labels[FIXTURE_BLOCK] = {0};
    assert_non_null(features);
    assert_ok(cache_writer_append(writer, CACHE_TRAIN, FIXTURE_BLOCK, features, labels));
    cache_writer_close(writer);
    free(features);
    assert_fails(cache_writer_open(&writer, path, &info, false), STATUS_MISMATCH,
                 "features per row is 4096, asked for 6");
    unlink(partial);
}

int main(void) {
    log_init("test_cache_hostile", LOG_QUIET);
    h5_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_datasets),   cmocka_unit_test(test_missing_objects),
        cmocka_unit_test(test_attributes), cmocka_unit_test(test_values),
        cmocka_unit_test(test_progress),   cmocka_unit_test(test_foreign_files),
        cmocka_unit_test(test_truncated),  cmocka_unit_test(test_hostile_partial),
    };
    return cmocka_run_group_tests(tests, prepare, unit_scratch_remove);
}
