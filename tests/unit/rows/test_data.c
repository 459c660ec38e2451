/* test_data: rows in memory and rows in the cache are the same rows, whatever the window, scaled or not. */
#include "tests/unit/rows_fixture.h"
#include "train/rows/scale.h"

#include <math.h>

enum { COUNT = 700, DIM = 21, BLOCK = 32 };

static struct cache *cache;

static int make_cache(void **state) {
    struct data_split data = rows_make(COUNT, DIM, ROWS_CLASSES, 3);
    if (unit_scratch_make(state) != 0)
        return 1;
    rows_write_cache(unit_path("c.h5"), &data, BLOCK);
    data_unload(&data);
    return cache_open(&cache, unit_path("c.h5")) != STATUS_OK;
}

static int remove_cache(void **state) {
    cache_close(cache);
    return unit_scratch_remove(state);
}

/* All rows through windows are those of `want`. */
static void expect_rows(const struct data_split *data, const struct data_split *want, size_t most) {
    struct data_rows rows = data_slice(data, 5, COUNT - 9), window;
    for (size_t at = 0; at < rows.count; at += window.count) {
        assert_ok(data_window(rows, at, most, &window));
        assert_true(window.count > 0 && window.count <= most);
        assert_memory_equal(window.features, want->features + (5 + at) * want->stride,
                            window.count * want->stride * sizeof(float));
        assert_memory_equal(window.labels, want->labels + 5 + at, window.count * sizeof(uint16_t));
    }
}

static void test_windows(void **state) {
    (void)state;
    struct data_split memory, file;
    assert_ok(data_load(cache, CACHE_TRAIN, &memory));
    assert_int_equal(memory.stride, 32);
    for (size_t r = 0; r < COUNT; r++)
        for (size_t d = DIM; d < memory.stride; d++) /* padding is zero */
            assert_true(memory.features[r * memory.stride + d] == 0);
    for (size_t nbytes = 1; nbytes < 200000; nbytes *= 30) {
        assert_ok(data_open(cache, CACHE_TRAIN, nbytes, &file));
        assert_int_equal(file.file->window_rows, data_window_rows(cache_info(cache), CACHE_TRAIN, nbytes));
        assert_true(file.file->window_rows >= DATA_WINDOW_MIN && file.file->window_rows % BLOCK == 0);
        expect_rows(&file, &memory, SIZE_MAX);
        expect_rows(&file, &memory, 10);
        data_unload(&file);
    }
    expect_rows(&memory, &memory, SIZE_MAX);
    data_unload(&memory);
}

/* A window of a small split is no larger than the split. */
static void test_small_split(void **state) {
    (void)state;
    assert_int_equal(data_window_rows(cache_info(cache), CACHE_TEST, (size_t)1 << 30), BLOCK);
    assert_int_equal(data_row_nbytes(cache_info(cache)), 32 * sizeof(float));
    assert_int_equal(data_nbytes(cache_info(cache), CACHE_TRAIN), COUNT * 32 * sizeof(float));
}

static void test_scale(void **state) {
    (void)state;
    double mean[DIM], inverse[DIM];
    for (size_t d = 0; d < DIM; d++) {
        mean[d] = 0.25 * (double)d;
        inverse[d] = d == 3 ? 0 : 1.5;
    }
    const struct scale scale = {.dim = DIM, .mean = mean, .inverse = inverse};
    struct data_split memory, file;
    assert_ok(data_load(cache, CACHE_TRAIN, &memory));
    assert_ok(data_open(cache, CACHE_TRAIN, 1, &file));
    float before = memory.features[7];
    data_scale(&memory, &scale, 2);
    data_scale(&file, &scale, 2);
    assert_true(memory.features[7] == (float)(((double)before - mean[7]) * 1.5) && memory.features[3] == 0);
    expect_rows(&file, &memory, SIZE_MAX);
    data_unload(&file);
    data_unload(&memory);
}

static void test_not_finite(void **state) {
    (void)state;
    struct data_split memory;
    assert_ok(data_load(cache, CACHE_TRAIN, &memory));
    struct data_rows rows = data_slice(&memory, 0, COUNT);
    assert_int_equal(data_find_not_finite(rows), COUNT);
    assert_ok(data_check_finite(rows, 0));
    memory.features[123 * memory.stride + 4] = NAN;
    assert_int_equal(data_find_not_finite(rows), 123);
    assert_fails(data_check_finite(rows, 1000), STATUS_NOT_FINITE, "row 1123");
    data_unload(&memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_small_split),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, make_cache, remove_cache);
}
