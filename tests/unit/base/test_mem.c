/* test_mem: alignment, sizes that overflow, injected failure. */
#include "common/base/mem.h"
#include "tests/unit/unit.h"

static void test_alignment(void **state) {
    (void)state;
    static const size_t sizes[] = {
        0, 1, 63, 64, 65, 4095, 4096, 100000, (4 << 20) - 1, 4 << 20, (4 << 20) + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *block = mem_alloc(sizes[i], 1);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % MEM_ALIGNMENT, 0);
        memset(block, 0xa5, sizes[i]);
        mem_free(block);
    }
    float *floats = mem_alloc(7, sizeof *floats);
    assert_non_null(floats);
    floats[6] = 1;
    mem_free(floats);
    mem_free(NULL);
}

static void test_overflow(void **state) {
    (void)state;
    assert_null(mem_alloc(SIZE_MAX, 1));
    assert_null(mem_alloc(SIZE_MAX, 2));
    assert_null(mem_alloc(SIZE_MAX / 4 + 2, 4)); /* 4 bytes, when the product wraps */
    assert_null(mem_alloc(4, SIZE_MAX / 4 + 2));
    assert_null(mem_alloc(SIZE_MAX - 63, 1)); /* 0 bytes, when rounding up wraps */
    assert_null(mem_alloc((size_t)1 << 32, (size_t)1 << 32));
    void *none = mem_alloc(SIZE_MAX, 0);
    assert_non_null(none);
    mem_free(none);
}

static void test_round_up(void **state) {
    (void)state;
    assert_int_equal(mem_round_up(0), 0);
    assert_int_equal(mem_round_up(1), 64);
    assert_int_equal(mem_round_up(64), 64);
    assert_int_equal(mem_round_up(65), 128);
}

static void test_fail_at(void **state) {
    (void)state;
    for (long n = 1; n < 5; n++) {
        mem_test_fail_at(n);
        for (long i = 1; i < 8; i++) {
            void *block = mem_alloc(1, 1);
            assert_true((block == NULL) == (i == n));
            mem_free(block);
        }
    }
    mem_test_fail_at(1);
    mem_test_fail_at(0);
    void *block = mem_alloc(1, 1);
    assert_non_null(block);
    mem_free(block);
}

static void test_peak(void **state) {
    (void)state;
    enum { MORE = 64 << 20 };
    size_t before = mem_peak_rss_nbytes();
    assert_true(before > 100 << 10);
    char *block = mem_alloc(before + MORE, 1);
    assert_non_null(block);
    for (size_t i = 0; i < before + MORE; i += 4096)
        block[i] = 1;
    mem_free(block);
    assert_true(mem_peak_rss_nbytes() > before + MORE / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alignment), cmocka_unit_test(test_overflow), cmocka_unit_test(test_round_up),
        cmocka_unit_test(test_fail_at),   cmocka_unit_test(test_peak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
