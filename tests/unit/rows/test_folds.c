/* test_folds: every row is held back once, each fold has its share of every class, and no row is lost or changed. */
#include "tests/unit/rows_fixture.h"
#include "train/rows/folds.h"

static void check(size_t count, size_t classes, size_t folds) {
    struct data_split before = rows_make(count, 20, classes, 5);
    size_t *held = calloc(count, sizeof *held);
    assert_non_null(held);
    for (size_t fold = 0; fold < folds; fold++) {
        struct data_split data = rows_make(count, 20, classes, 5);
        size_t fit_count = 0, last_fitted = 0, last_held = 0;
        assert_ok(folds_arrange(&data, classes, fold, folds, &fit_count));
        assert_true(count - fit_count == count / folds || count - fit_count == count / folds + 1);
        for (size_t r = 0; r < count; r++) {
            size_t row = rows_number(data.features + r * data.stride);
            assert_int_equal(data.labels[r], before.labels[row]);
            assert_memory_equal(data.features + r * data.stride, before.features + row * before.stride,
                                before.stride * sizeof(float));
            size_t *last =
                r < fit_count ? &last_fitted : &last_held; /* the order of rows stays in both parts */
            assert_true(row >= *last);
            *last = row;
            held[row] += r >= fit_count;
        }
        for (size_t c = 0; c < classes; c++) { /* of a class, as many rows as of any other fold, but one */
            size_t all = 0, here = 0;
            for (size_t r = 0; r < count; r++) {
                all += data.labels[r] == c;
                here += r >= fit_count && data.labels[r] == c;
            }
            assert_true(here == all / folds || here == all / folds + 1);
        }
        data_unload(&data);
    }
    for (size_t r = 0; r < count; r++)
        assert_int_equal(held[r], 1);
    free(held);
    data_unload(&before);
}

static void test_folds(void **state) {
    (void)state;
    check(100, 10, 5);
    check(101, 3, 7);
    check(7, 2, 7);
    check(50, 1, 2);
}

static void test_no_memory(void **state) {
    (void)state;
    struct data_split data = rows_make(30, 20, 3, 5);
    size_t fit_count;
    for (long n = 1; n <= 3; n++) {
        mem_test_fail_at(n);
        assert_int_equal(folds_arrange(&data, 3, 0, 3, &fit_count), STATUS_NO_MEMORY);
    }
    mem_test_fail_at(0);
    data_unload(&data);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_folds), cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
