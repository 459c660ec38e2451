/* test_cpu: the choice of an instruction set by the environment, and the table of kernels for each. */
#include "common/network/winograd/winograd_kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_select(void **state) {
    (void)state;
    enum cpu_isa isa, widest = CPU_ISA_GENERIC;
    for (int i = 0; i < CPU_ISA_COUNT; i++) {
        setenv("VGGCACHE_ISA", cpu_isa_name((enum cpu_isa)i), 1);
        if (cpu_isa_available((enum cpu_isa)i)) {
            assert_int_equal(cpu_isa_select(&isa), STATUS_OK);
            assert_int_equal(isa, i);
            widest = (enum cpu_isa)i;
        } else {
            print_message("SKIP: this processor has no %s\n", cpu_isa_name((enum cpu_isa)i));
            assert_int_equal(cpu_isa_select(&isa), STATUS_UNSUPPORTED);
            assert_non_null(strstr(status_message(), cpu_isa_name((enum cpu_isa)i)));
        }
    }
    unsetenv("VGGCACHE_ISA");
    assert_int_equal(cpu_isa_select(&isa), STATUS_OK);
    assert_int_equal(isa, widest);
}

static void test_select_unknown(void **state) {
    (void)state;
    static const char *const bad[] = {"avx", "AVX2", "avx512f", "generic "};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        enum cpu_isa isa = CPU_ISA_COUNT;
        setenv("VGGCACHE_ISA", bad[i], 1);
        assert_int_equal(cpu_isa_select(&isa), STATUS_USAGE);
        assert_int_equal(isa, CPU_ISA_COUNT);
        assert_non_null(strstr(status_message(), "generic, avx2 or avx512"));
    }
    unsetenv("VGGCACHE_ISA");
}

/* People write VGGCACHE_ISA= before a command to unset it. */
static void test_select_empty(void **state) {
    (void)state;
    enum cpu_isa best = CPU_ISA_COUNT, isa = CPU_ISA_COUNT;
    unsetenv("VGGCACHE_ISA");
    assert_int_equal(cpu_isa_select(&best), STATUS_OK);
    setenv("VGGCACHE_ISA", "", 1);
    assert_int_equal(cpu_isa_select(&isa), STATUS_OK);
    assert_int_equal(isa, best);
    unsetenv("VGGCACHE_ISA");
}

static void test_tables(void **state) {
    (void)state;
    for (int i = 0; i < CPU_ISA_COUNT; i++) {
        if (!cpu_isa_available((enum cpu_isa)i))
            continue;
        struct winograd_kernels kernels;
        winograd_kernels_init(&kernels, (enum cpu_isa)i);
        assert_int_equal(kernels.isa, i);
        assert_true(kernels.lanes <= WINOGRAD_KERNELS_LANES_MAX &&
                    kernels.rows_max <= WINOGRAD_KERNELS_ROWS_MAX);
        for (size_t rows = 1; rows <= kernels.rows_max; rows++)
            assert_non_null(kernels.gemm[rows]);
    }
}

static void test_caches(void **state) {
    (void)state;
    for (int level = 0; level <= 4; level++)
        assert_true(cpu_cache_nbytes(level) >= 4096);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_select),       cmocka_unit_test(test_select_unknown),
        cmocka_unit_test(test_select_empty), cmocka_unit_test(test_tables),
        cmocka_unit_test(test_caches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
