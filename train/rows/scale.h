/* scale: features shifted and stretched, one by one; what standardize.h measures and data.h applies to the rows that
 * it reads.
 *
 *   z[d] = (x[d] - mean[d]) * inverse[d]      inverse[d] = 1 / deviation[d], or 0 for a constant feature */
#ifndef TRAIN_ROWS_SCALE_H
#define TRAIN_ROWS_SCALE_H

#include <stddef.h>

/* All zero: none. */
struct scale {
    size_t dim, constant_count;
    double *mean, *inverse; /* [dim], from mem_alloc() */
};

void scale_free(struct scale *scale); /* all zero is allowed */

/* Scales features[count][stride] in place. The result does not depend on `threads`. */
void scale_rows(const struct scale *scale, float *features, size_t count, size_t stride, int threads);

#endif
