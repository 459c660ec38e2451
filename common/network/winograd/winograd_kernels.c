/* winograd_kernels: fills the table of kernels for an instruction set. */
#include "common/network/winograd/winograd_kernels.h"

#include <assert.h>

void winograd_kernels_init(struct winograd_kernels *kernels, enum cpu_isa isa) {
    assert(cpu_isa_available(isa));
    winograd_kernels_fill__generic(kernels);
#ifdef __x86_64__
    if (isa >= CPU_ISA_AVX2)
        winograd_kernels_fill__avx2(kernels);
    if (isa >= CPU_ISA_AVX512)
        winograd_kernels_fill__avx512(kernels);
#endif
}
