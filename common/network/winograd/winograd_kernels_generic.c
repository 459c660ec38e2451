/* winograd_kernels: the kernels in 16-byte vectors, for any processor. */
#define WINOGRAD_KERNELS_ISA CPU_ISA_GENERIC
#define KERNEL(name) name##__generic
#define VECTOR_NBYTES 16
#define ROWS_MAX 4
#include "common/network/winograd/winograd_kernels_template.h"
