/* head_kernels: the kernels for AVX2 and FMA; compile with -mavx2 -mfma. */
#ifdef __x86_64__
#define KERNEL(name) name##__avx2
#define ISA "avx2"
#define VECTOR_NBYTES 32
#define HEAD_KERNELS_BLOCK 6
#include "train/head/head_kernels_template.h"
#else
typedef int kernels_not_x86; /* an empty file is no C */
#endif
