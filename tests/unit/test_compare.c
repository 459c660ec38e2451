/* test_compare: the comparison helper and the guarded memory themselves, because all other tests rest on them. */
#include "tests/unit/compare.h"
#include "tests/unit/guard.h"
#include "tests/unit/unit.h"

enum { COUNT = 100 };

static float want[COUNT], got[COUNT];

static int fill(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; i++)
        want[i] = got[i] = (float)(i - 37) / 8;
    return 0;
}

static bool equal(void) {
    return compare_floats("compare_floats", got, want, COUNT, 1e-5, 1e-6);
}

static bool near(void) {
    return compare_norm("compare_norm", got, want, COUNT, 1e-5);
}

static void test_same(void **state) {
    (void)state;
    assert_true(equal());
    assert_true(near());
    assert_true(compare_floats("exact", got, want, COUNT, 0, 0));
}

static void test_nan(void **state) {
    for (int i = 0; i < COUNT; i += COUNT - 1) {
        fill(state);
        got[i] = NAN;
        assert_false(equal());
        assert_false(near());
        want[i] = NAN; /* a NaN that was wanted is still a NaN */
        assert_false(equal());
        assert_false(near());
        got[i] = 0;
        assert_false(equal());
        assert_false(near());
    }
    fill(state);
    got[COUNT / 2] = NAN;
    got[0] = 100; /* neither hides the other */
    assert_false(equal());
}

static void test_infinity(void **state) {
    (void)state;
    got[5] = want[5] = INFINITY;
    assert_false(equal());
    assert_false(near());
    got[5] = -INFINITY;
    assert_false(equal());
    got[5] = 0;
    assert_false(equal());
    assert_false(near());
}

static void test_off_by_one(void **state) {
    (void)state;
    memmove(got + 1, got, (COUNT - 1) * sizeof *got);
    assert_false(equal());
    assert_false(near());
}

static void test_one_element(void **state) {
    for (int i = 0; i < COUNT; i++) {
        fill(state);
        got[i] += 1e-3f;
        assert_false(equal());
        assert_false(near());
    }
}

static void test_all_zero(void **state) {
    (void)state;
    memset(got, 0, sizeof got);
    assert_false(equal());
    assert_false(near());
    memset(want, 0, sizeof want);
    assert_true(equal());
    assert_true(near());
    got[3] = 1e-3f;
    assert_false(equal());
    assert_false(near());
}

static void test_meaningless(void **state) {
    (void)state;
    assert_false(compare_floats("none", got, want, 0, 1e-5, 1e-5));
    assert_false(compare_norm("none", got, want, 0, 1e-5));
    assert_false(compare_floats("100 %", got, want, COUNT, 1, 0));
    assert_false(compare_floats("absolute", got, want, COUNT, 0, 100));
    assert_false(compare_floats("NaN", got, want, COUNT, (double)NAN, 0));
    assert_false(compare_norm("100 %", got, want, COUNT, 1));
    assert_false(compare_norm("NaN", got, want, COUNT, (double)NAN));
}

static void test_tolerance(void **state) {
    (void)state;
    want[0] = got[0] = 1;
    got[0] = nextafterf(1, 2);
    assert_true(compare_floats("one ulp", got, want, 1, (double)FLT_EPSILON, 0));
    assert_false(compare_floats("one ulp", got, want, 1, (double)FLT_EPSILON / 2, 0));
    assert_true(compare_floats("one ulp", got, want, 1, 0, (double)FLT_EPSILON));
    assert_true(compare_sum_tolerance(1) < compare_sum_tolerance(4608));
    assert_true(compare_sum_tolerance(4608) < 1e-4);
}

static void test_largest(void **state) {
    (void)state;
    assert_true(compare_largest(want, COUNT) == (double)(COUNT - 38) / 8);
    got[7] = NAN;
    assert_true(isnan(compare_largest(got, 8)));
}

static void overrun(void *argument) {
    struct guard guard = guard_make(4096, 0);
    guard.block[*(long *)argument] = 1;
}

static void test_guard(void **state) {
    (void)state;
    char text[4096];
    long inside = 4095, behind = 4096, before = -1;
    assert_int_equal(unit_child(overrun, &inside, text, sizeof text), 0);
    assert_int_not_equal(unit_child(overrun, &behind, text, sizeof text), 0);
    assert_int_not_equal(unit_child(overrun, &before, text, sizeof text), 0);
    for (size_t nbytes = 1; nbytes < 200; nbytes++) {
        struct guard guard = guard_make(nbytes, 0xa5);
        assert_int_equal((uintptr_t)guard.block % GUARD_ALIGNMENT, 0);
        assert_int_equal(guard.block[nbytes - 1], 0xa5);
        memset(guard.block, 0, nbytes);
        assert_true(guard_free(&guard));
        if (nbytes % GUARD_ALIGNMENT != 0) {
            guard = guard_make(nbytes, 0);
            guard.block[nbytes] = 0;
            assert_false(guard_free(&guard));
        }
        guard = guard_make(nbytes, 0);
        guard.block[-1] = 0;
        assert_false(guard_free(&guard));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_same, fill),        cmocka_unit_test_setup(test_nan, fill),
        cmocka_unit_test_setup(test_infinity, fill),    cmocka_unit_test_setup(test_off_by_one, fill),
        cmocka_unit_test_setup(test_one_element, fill), cmocka_unit_test_setup(test_all_zero, fill),
        cmocka_unit_test_setup(test_meaningless, fill), cmocka_unit_test_setup(test_tolerance, fill),
        cmocka_unit_test_setup(test_largest, fill),     cmocka_unit_test(test_guard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
