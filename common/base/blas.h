/* blas: OpenBLAS, loaded when the first product is needed, and single-threaded.
 *
 * It is loaded at run time, because at its start the library takes 128 MB of address space for each thread, and if
 * `ulimit -v` leaves less, it tries for ever (0.3.21). So jobs without products start anywhere and at once, and jobs
 * with products can report what is wrong.
 *
 * Each product runs on the thread that calls it; the parallelism is our own (OpenMP over blocks). The name of the
 * kernels that OpenBLAS chose is recorded, because they decide the last bits of a result. */
#ifndef COMMON_BASE_BLAS_H
#define COMMON_BASE_BLAS_H

#include "common/base/status.h"
#include <cblas.h>

/* Loads OpenBLAS for products on up to `threads` threads at a time; later calls do nothing. In all three builds of
 * OpenBLAS (serial, pthread, OpenMP) each product is then single-threaded. With the OpenMP build, call products from
 * inside a parallel region, or after omp_set_num_threads(1) (OpenBLAS issue 5806). STATUS_UNSUPPORTED when the
 * library is missing or lacks a function; STATUS_NO_MEMORY when the limit on address space is too small for it. One
 * thread at a time. */
enum status blas_init(int threads);

/* The name of the kernels that OpenBLAS chose for this machine, as "Haswell". Call blas_init() first. */
const char *blas_core_name(void);

/* cblas_sgemm() for matrices in row-major order: c[m][n] = alpha * a' b' + beta * c. a' is a[m][k] or, with
 * CblasTrans, the transpose of a[k][m]; b' likewise for k x n. lda, ldb, ldc are the strides of rows. Call
 * blas_init() first. Thread-safe. */
void blas_sgemm(CBLAS_TRANSPOSE transpose_a, CBLAS_TRANSPOSE transpose_b, size_t m, size_t n, size_t k,
                float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
                size_t ldc);

#endif
