/* winograd_kernels: the kernels for AVX-512; compile with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma. */
#ifdef __x86_64__
#define WINOGRAD_KERNELS_ISA CPU_ISA_AVX512
#define KERNEL(name) name##__avx512
#define VECTOR_NBYTES 64
#define ROWS_MAX 14
#include "common/network/winograd/winograd_kernels_template.h"
#else
typedef int kernels_not_x86; /* an empty file is no C */
#endif
