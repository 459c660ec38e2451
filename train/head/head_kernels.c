/* head_kernels: the choice among the tables of inner loops. */
#include "train/head/head_kernels.h"
#include "common/base/cpu.h"

static const struct head_kernels *const tables[CPU_ISA_COUNT] = {
    [CPU_ISA_GENERIC] = &head_kernels_table__generic,
#ifdef __x86_64__
    [CPU_ISA_AVX2] = &head_kernels_table__avx2,
    [CPU_ISA_AVX512] = &head_kernels_table__avx512,
#endif
};

enum status head_kernels_select(const struct head_kernels **kernels_ret) {
    enum cpu_isa isa;
    enum status status = cpu_isa_select(&isa);
    if (status == STATUS_OK)
        *kernels_ret = tables[isa];
    return status;
}
