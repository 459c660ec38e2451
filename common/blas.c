/* blas: OpenBLAS, tamed. */
#include "common/blas.h"

void blas_init(void) {
    openblas_set_num_threads(1);
}

const char *blas_core_name(void) {
    return openblas_get_corename();
}
