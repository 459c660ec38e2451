/* test_split: train/split: the arithmetic of Keras' validation_split. */
#include "tests/unit/unit.h"

#include "train/rows/split.h"

static void expect(size_t rows, double fraction, size_t fit_count) {
    size_t got = 12345;
    assert_int_equal(split_rows(rows, fraction, &got), STATUS_OK);
    assert_int_equal(got, fit_count);
}

static void test_known(void **state) {
    (void)state;
    expect(60000, 0.2, 48000);
    expect(70000, 0.2, 56000);
    expect(60000, 0.25, 45000);
    expect(10, 0.1, 9);
    expect(5, 0.2, 4);
    expect(3, 0.5, 1); /* floor(1.5) */
}

static void test_double_arithmetic(void **state) {
    (void)state;
    expect(10, 0.7, 3);  /* 10 * (1 - 0.7) = 3.0000000000000004 */
    expect(100, 0.9, 9); /* 100 * (1 - 0.9) = 9.999999999999998: Python says int(floor()) = 9, too */
    expect(1000, 0.3, 700);
}

static void test_none(void **state) {
    (void)state;
    expect(60000, 0, 60000);
    expect(1, 0, 1);
}

static void test_empty_part(void **state) {
    (void)state;
    size_t got;
    assert_int_equal(split_rows(1, 0.2, &got), STATUS_MISMATCH); /* floor(0.8) = 0 to fit */
    assert_non_null(strstr(status_message(), "--validation-split=0.2"));
    assert_int_equal(split_rows(100, 1e-18, &got), STATUS_MISMATCH); /* 1 - 1e-18 is 1: none to validate */
    assert_non_null(strstr(status_message(), "validate"));
    assert_int_equal(split_rows(0, 0, &got), STATUS_MISMATCH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_double_arithmetic),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_empty_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
