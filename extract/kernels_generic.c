/* kernels: the kernels in 16-byte vectors, for any processor. */
#define KERNELS_ISA CPU_ISA_GENERIC
#define KERNEL(name) name##__generic
#define VECTOR_NBYTES 16
#define ROWS_MAX 4
#include "extract/kernels_template.h"
