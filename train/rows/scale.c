/* scale: features shifted and stretched, one by one. */
#include "train/rows/scale.h"
#include "common/base/mem.h"

void scale_free(struct scale *scale) {
    mem_free(scale->inverse);
    mem_free(scale->mean);
    *scale = (struct scale){0};
}

void scale_rows(const struct scale *scale, float *features, size_t count, size_t stride, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t r = 0; r < count; r++) {
        float *row = features + r * stride;
        for (size_t d = 0; d < scale->dim; d++)
            row[d] = (float)(((double)row[d] - scale->mean[d]) * scale->inverse[d]);
    }
}
