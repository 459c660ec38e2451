/* blas: OpenBLAS, tamed. The parallelism is ours (OpenMP over blocks), so each product runs on the thread
 * that asks for it; which kernels OpenBLAS chose is recorded, because they decide the last bits of a result.
 */
#ifndef COMMON_BLAS_H
#define COMMON_BLAS_H

#include <cblas.h>

/* Makes each product single-threaded, in all three builds of OpenBLAS (serial, pthread, OpenMP). Call once
 * at start; with the OpenMP build call products from inside a parallel region only (OpenBLAS issue 5806). */
void blas_init(void);

/* The kernels that OpenBLAS chose for this machine, as "Haswell". */
const char *blas_core_name(void);

#endif
