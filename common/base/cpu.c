/* cpu: detection of instruction sets and cache sizes. The only file that asks the processor. */
#include "common/base/cpu.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

static const char *const isa_names[] = {
    [CPU_ISA_GENERIC] = "generic",
    [CPU_ISA_AVX2] = "avx2",
    [CPU_ISA_AVX512] = "avx512",
};
_Static_assert(sizeof isa_names / sizeof isa_names[0] == CPU_ISA_COUNT, "a name for each");

const char *cpu_isa_name(enum cpu_isa isa) {
    return (unsigned)isa < CPU_ISA_COUNT ? isa_names[isa] : "unknown";
}

bool cpu_isa_available(enum cpu_isa isa) {
    switch (isa) {
    case CPU_ISA_GENERIC:
        return true;
#ifdef __x86_64__ /* __builtin_cpu_supports() also checks that the system saves the registers */
    case CPU_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case CPU_ISA_AVX512:
        return cpu_isa_available(CPU_ISA_AVX2) && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
#endif
    default:
        return false;
    }
}

enum status cpu_isa_select(enum cpu_isa *isa_ret) {
    const char *wish = getenv("VGGCACHE_ISA");
    if (wish != NULL && wish[0] == '\0')
        wish = NULL; /* people write VGGCACHE_ISA= before a command to unset it */
    for (int isa = CPU_ISA_COUNT - 1; isa >= 0; isa--) {
        if (wish != NULL && strcmp(wish, isa_names[isa]) != 0)
            continue;
        if (cpu_isa_available((enum cpu_isa)isa)) {
            *isa_ret = (enum cpu_isa)isa;
            return STATUS_OK;
        }
        if (wish != NULL)
            return status_set(STATUS_UNSUPPORTED,
                              "VGGCACHE_ISA=%s: this processor lacks it; "
                              "unset the variable to use the best one that it has",
                              wish);
    }
    return status_set(STATUS_USAGE,
                      "VGGCACHE_ISA=%s is unknown; it may be generic, avx2 or avx512, or not set", wish);
}

unsigned cpu_flush_begin(void) {
#ifdef __x86_64__
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* flush to zero, denormals are zero */
    return before;
#else
    return 0;
#endif
}

void cpu_flush_end(unsigned before) {
#ifdef __x86_64__
    _mm_setcsr(before);
#else
    (void)before;
#endif
}

size_t cpu_cache_nbytes(int level) {
    static const size_t usual[] = {32 << 10, 512 << 10, 8 << 20};
    long nbytes = -1;
#ifdef _SC_LEVEL1_DCACHE_SIZE
    static const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    if (level >= 1 && level <= 3)
        nbytes = sysconf(names[level - 1]);
#endif
    if (nbytes > 0)
        return (size_t)nbytes;
    return usual[level < 1 ? 0 : level > 3 ? 2 : level - 1];
}
