/* cpu: what the processor can do, and which instruction set the kernels use. It detects and chooses, and refuses
 * to use one by name that the processor lacks; it knows no kernel. */
#ifndef COMMON_BASE_CPU_H
#define COMMON_BASE_CPU_H

#include "common/base/status.h"
#include <stdbool.h>
#include <stddef.h>

/* From the narrowest to the widest: a processor that has one has all before it. */
enum cpu_isa {
    CPU_ISA_GENERIC, /* whatever the compiler takes as granted, 16-byte vectors */
    CPU_ISA_AVX2,    /* x86-64 with AVX2 and FMA, 32-byte vectors */
    CPU_ISA_AVX512,  /* x86-64 with AVX-512 F, BW, DQ, VL, 64-byte vectors */
    CPU_ISA_COUNT
};

/* "generic", "avx2", "avx512"; never NULL. */
const char *cpu_isa_name(enum cpu_isa isa);

/* Whether this processor, under this operating system, can run code for `isa`, and this program has it. */
bool cpu_isa_available(enum cpu_isa isa);

/* The instruction set to use: the one that the environment variable VGGCACHE_ISA names, else the widest
 * one available. STATUS_USAGE when the variable names none that is known, STATUS_UNSUPPORTED when it
 * names one that the processor lacks; *isa_ret is set on success only. An empty variable counts as unset. The
 * environment is read at every call; thread-safe as long as nobody changes it. */
enum status cpu_isa_select(enum cpu_isa *isa_ret);

/* Makes the calling thread treat numbers below 1.2e-38 as zero, as TensorFlow does (they cost up to a hundred
 * times as much on some processors, and Adam's squares are full of them), and undoes that. */
unsigned cpu_flush_begin(void);
void cpu_flush_end(unsigned before);

/* Bytes of the data cache of this level (1, 2 or 3) that a core sees, or a usual size where the system
 * does not say. */
size_t cpu_cache_nbytes(int level);

#endif
