/* blas: OpenBLAS, loaded when the first product is needed, and single-threaded. */
#include "common/base/blas.h"
#include "common/base/mem.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#ifndef BLAS_LIBRARY
#define BLAS_LIBRARY "libopenblas.so.0"
#endif

/* Address space that the library takes: a buffer for each thread that multiplies, and its own code. */
enum { BUFFER_MB = 128, LIBRARY_MB = 64 };

/* The functions of the library that we use. Each member has the function's own type, so the prototypes of
 * its headers hold. */
static struct {
    void *library;
    __typeof__(&cblas_sgemm) sgemm;
    __typeof__(&openblas_set_num_threads) set_num_threads;
    __typeof__(&openblas_get_corename) get_corename;
} blas;

/* dlsym() gives an object pointer. POSIX prescribes to copy it into a function pointer like this. */
static enum status find(const char *name, void *function_ret) {
    void *found = dlsym(blas.library, name);
    if (found == NULL)
        return status_set(STATUS_UNSUPPORTED, "%s: it lacks %s; install OpenBLAS with its CBLAS interface",
                          BLAS_LIBRARY, name);
    *(void **)function_ret = found;
    return STATUS_OK;
}

static enum status check_address_space(int threads) {
    size_t needed = ((size_t)threads * BUFFER_MB + LIBRARY_MB) << 20, left = mem_address_space_nbytes();
    if (left >= needed)
        return STATUS_OK;
    return status_set(
        STATUS_NO_MEMORY,
        "OpenBLAS needs %zu MB of address space for %d thread%s, and the limit (ulimit -v) leaves %zu MB; "
        "raise the limit, or use fewer --threads",
        needed >> 20, threads, threads == 1 ? "" : "s", left >> 20);
}

enum status blas_init(int threads) {
    if (blas.library != NULL)
        return STATUS_OK;
    enum status status = check_address_space(threads);
    if (status != STATUS_OK)
        return status;
    setenv("OPENBLAS_NUM_THREADS", "1", 1); /* it makes no threads and buffers of its own at its start */
    blas.library = dlopen(BLAS_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (blas.library == NULL)
        return status_set(STATUS_UNSUPPORTED,
                          "OpenBLAS cannot be loaded (%s); install libopenblas0, "
                          "or do without: --engine=winograd, --optimizer=adam",
                          dlerror());
    status = find("cblas_sgemm", &blas.sgemm);
    if (status == STATUS_OK)
        status = find("openblas_set_num_threads", &blas.set_num_threads);
    if (status == STATUS_OK)
        status = find("openblas_get_corename", &blas.get_corename);
    if (status == STATUS_OK) {
        blas.set_num_threads(1);
        return STATUS_OK;
    }
    dlclose(blas.library);
    blas.library = NULL;
    return status;
}

const char *blas_core_name(void) {
    return blas.get_corename();
}

void blas_sgemm(CBLAS_TRANSPOSE transpose_a, CBLAS_TRANSPOSE transpose_b, size_t m, size_t n, size_t k,
                float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
                size_t ldc) {
    blas.sgemm(CblasRowMajor, transpose_a, transpose_b, (blasint)m, (blasint)n, (blasint)k, alpha, a,
               (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
}
