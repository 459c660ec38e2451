/* head_kernels: the kernels for AVX-512; compile with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma. */
#ifdef __x86_64__
#define KERNEL(name) name##__avx512
#define ISA "avx512"
#define VECTOR_NBYTES 64
#define HEAD_KERNELS_BLOCK 14
#include "train/head/head_kernels_template.h"
#else
typedef int kernels_not_x86; /* an empty file is no C */
#endif
