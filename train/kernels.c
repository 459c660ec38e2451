/* kernels: the choice among the tables of inner loops. */
#include "train/kernels.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Fastest first. */
static const struct kernels *const tables[] = {
#ifdef __x86_64__
    &kernels_table__avx512,
    &kernels_table__avx2,
#endif
    &kernels_table__generic,
};

static bool machine_has(const struct kernels *table) {
#ifdef __x86_64__ /* __builtin_cpu_supports() also checks that the system saves the registers */
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (table == &kernels_table__avx2)
        return avx2;
    if (table == &kernels_table__avx512)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
    return table == &kernels_table__generic;
}

enum status kernels_select(const struct kernels **kernels_ret) {
    const char *wish = getenv("VGGCACHE_ISA");
    if (wish != NULL && strcmp(wish, "generic") != 0 && strcmp(wish, "avx2") != 0 &&
        strcmp(wish, "avx512") != 0)
        return status_set(STATUS_USAGE,
                          "VGGCACHE_ISA=%s is unknown; it may be generic, avx2 or avx512, or not set", wish);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        if ((wish == NULL || strcmp(wish, tables[i]->isa) == 0) && machine_has(tables[i])) {
            *kernels_ret = tables[i];
            return STATUS_OK;
        }
    }
    return status_set(STATUS_UNSUPPORTED,
                      "VGGCACHE_ISA=%s: this processor lacks it; unset the variable to use the best one that "
                      "it has",
                      wish);
}

unsigned kernels_flush_begin(void) {
#ifdef __x86_64__
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* flush to zero, denormals are zero */
    return before;
#else
    return 0;
#endif
}

void kernels_flush_end(unsigned before) {
#ifdef __x86_64__
    _mm_setcsr(before);
#else
    (void)before;
#endif
}
