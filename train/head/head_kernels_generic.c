/* head_kernels: the kernels in 16-byte vectors, for any processor. */
#define KERNEL(name) name##__generic
#define ISA "generic"
#define VECTOR_NBYTES 16
#define HEAD_KERNELS_BLOCK 6
#include "train/head/head_kernels_template.h"
