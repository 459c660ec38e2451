/* blas: OpenBLAS, loaded when a product is needed, and single-threaded.
 *
 * The library is opened at run time, not when the program starts: its start takes 128 MB of address space for
 * each thread and, where `ulimit -v` leaves less, tries for ever (0.3.21). So jobs without products start
 * anywhere and at once, and those with products can say what is wrong. The parallelism is ours (OpenMP over
 * blocks), so each product runs on the thread that asks for it. Which kernels OpenBLAS chose is recorded,
 * because they decide the last bits of a result. */
#ifndef COMMON_BASE_BLAS_H
#define COMMON_BASE_BLAS_H

#include "common/base/status.h"
#include <cblas.h>

/* Loads OpenBLAS for products on up to `threads` threads at a time, once; later calls do nothing. In all
 * three builds of OpenBLAS (serial, pthread, OpenMP) each product is then single-threaded; with the OpenMP
 * build call products from inside a parallel region, or after omp_set_num_threads(1) (OpenBLAS issue 5806).
 * STATUS_UNSUPPORTED when the library is not there or lacks a function; STATUS_NO_MEMORY when the limit on
 * address space is too small for it. One thread at a time. */
enum status blas_init(int threads);

/* The kernels that OpenBLAS chose for this machine, as "Haswell". After blas_init(). */
const char *blas_core_name(void);

/* cblas_sgemm() for matrices in row-major order: c[m][n] = alpha * a' b' + beta * c, where a' is a[m][k] or,
 * with CblasTrans, the transpose of a[k][m], and b' likewise of k x n; lda, ldb, ldc are the strides of rows.
 * After blas_init(); thread-safe. */
void blas_sgemm(CBLAS_TRANSPOSE transpose_a, CBLAS_TRANSPOSE transpose_b, size_t m, size_t n, size_t k,
                float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
                size_t ldc);

#endif
