/* kernels: the choice among the tables of inner loops. */
#include "train/kernels.h"
#include "common/cpu.h"

static const struct kernels *const tables[CPU_ISA_COUNT] = {
    [CPU_ISA_GENERIC] = &kernels_table__generic,
#ifdef __x86_64__
    [CPU_ISA_AVX2] = &kernels_table__avx2,
    [CPU_ISA_AVX512] = &kernels_table__avx512,
#endif
};

enum status kernels_select(const struct kernels **kernels_ret) {
    enum cpu_isa isa;
    enum status status = cpu_isa_select(&isa);
    if (status == STATUS_OK)
        *kernels_ret = tables[isa];
    return status;
}
