/* cpu: what the processor can do, and which instruction set the kernels use. It refuses an instruction set that is
 * asked for by name and that the processor lacks. It knows no kernel. */
#ifndef COMMON_BASE_CPU_H
#define COMMON_BASE_CPU_H

#include "common/base/status.h"
#include <stdbool.h>
#include <stddef.h>

/* From the narrowest to the widest. A processor that has one has all before it. */
enum cpu_isa {
    CPU_ISA_GENERIC, /* what the compiler assumes, 16-byte vectors */
    CPU_ISA_AVX2,    /* x86-64 with AVX2 and FMA, 32-byte vectors */
    CPU_ISA_AVX512,  /* x86-64 with AVX-512 F, BW, DQ, VL, 64-byte vectors */
    CPU_ISA_COUNT
};

/* "generic", "avx2", "avx512"; never NULL. */
const char *cpu_isa_name(enum cpu_isa isa);

/* Whether this program has code for `isa`, and this processor and operating system can run it. */
bool cpu_isa_available(enum cpu_isa isa);

/* The instruction set to use: the one in the environment variable VGGCACHE_ISA, or the widest one available
 * when the variable is not set or empty. STATUS_USAGE when the name is unknown; STATUS_UNSUPPORTED when the
 * processor lacks it. *isa_ret is set on success only. Each call reads the environment; it is thread-safe while
 * nobody changes that. */
enum status cpu_isa_select(enum cpu_isa *isa_ret);

/* cpu_flush_begin() makes the calling thread treat numbers below 1.2e-38 as zero, as TensorFlow does;
 * cpu_flush_end() undoes this. (On some processors such numbers cost up to a hundred times as much, and Adam's
 * squares are full of them.) */
unsigned cpu_flush_begin(void);
void cpu_flush_end(unsigned before);

/* The bytes of a core's data cache of this level (1, 2 or 3), or a usual size where the system does not say. */
size_t cpu_cache_nbytes(int level);

#endif
