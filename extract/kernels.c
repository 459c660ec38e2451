/* kernels: fills the table of kernels for an instruction set. */
#include "extract/kernels.h"

#include <assert.h>

void kernels_init(struct kernels *kernels, enum cpu_isa isa) {
    assert(cpu_isa_available(isa));
    kernels_fill__generic(kernels);
#ifdef __x86_64__
    if (isa >= CPU_ISA_AVX2)
        kernels_fill__avx2(kernels);
    if (isa >= CPU_ISA_AVX512)
        kernels_fill__avx512(kernels);
#endif
}
