/* winograd_kernels: the kernels for AVX2 and FMA; compile with -mavx2 -mfma. */
#ifdef __x86_64__
#define WINOGRAD_KERNELS_ISA CPU_ISA_AVX2
#define KERNEL(name) name##__avx2
#define VECTOR_NBYTES 32
#define ROWS_MAX 6
#include "common/network/winograd/winograd_kernels_template.h"
#else
typedef int kernels_not_x86; /* an empty file is no C */
#endif
