/* test_pace: train/pace: when one thread takes over, and when the others come back. */
#include "tests/unit/unit.h"

#include "train/fit/pace.h"

/* Notes epochs of a second, of which the threads had `share` of the processors. */
static void note(struct pace *pace, double share, size_t epochs) {
    for (size_t i = 0; i < epochs; i++)
        pace_note(pace, 1, share * pace_threads(pace));
}

static void test_quiet(void **state) {
    (void)state;
    struct pace pace = {.most = 2};
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(pace_threads(&pace), 2);
        note(&pace, i % 3 == 0 ? 1 : 0.4, 1); /* now and then somebody is in the way */
    }
}

static void test_crowded(void **state) {
    (void)state;
    struct pace pace = {.most = 4};
    note(&pace, 0.5, PACE_CROWDED - 1);
    assert_int_equal(pace_threads(&pace), 4);
    note(&pace, 0.5, 1);
    for (size_t round = 0; round < 3; round++) { /* one try between */
        for (size_t i = 0; i < PACE_ALONE; i++) {
            assert_int_equal(pace_threads(&pace), 1);
            note(&pace, 0.5, 1);
        }
        assert_int_equal(pace_threads(&pace), 4);
        note(&pace, 0.5, 1);
    }
    note(&pace, 1, PACE_ALONE); /* of one thread: tells nothing of four */
    assert_int_equal(pace_threads(&pace), 4);
    note(&pace, 0.9, 1); /* they are gone, and begin to count anew */
    note(&pace, 0.5, PACE_CROWDED - 1);
    assert_int_equal(pace_threads(&pace), 4);
}

static void test_one_thread(void **state) {
    (void)state;
    struct pace pace = {.most = 1};
    note(&pace, 0.1, 20);
    assert_int_equal(pace_threads(&pace), 1);
    assert_int_equal(pace.alone, 0);
}

static void test_clock(void **state) {
    (void)state;
    double begin = pace_cpu_clock(), now = begin;
    while (now < begin + 0.01)
        now = pace_cpu_clock();
    assert_true(now < begin + 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_quiet), cmocka_unit_test(test_crowded),
                                       cmocka_unit_test(test_one_thread), cmocka_unit_test(test_clock)};
    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
