/* head_kernels: the inner loops of training, one table per instruction set. They know classes, not heads or Keras.
 *
 *   D   features per row, padded with zeros to a multiple of 16
 *   C   classes                     C'  columns: C padded to a multiple of 16
 *   R   rows of a block             a piece: a range of features whose products are summed on their own
 *
 * Weights are kept as [D/16][C][16], what belongs to rows as [R/16][C][16]: products run over features, and
 * softmax over rows, 16 side by side, so that no class is padded; ten classes cost what ten cost. Every sum
 * has a fixed order, which does not depend on the classes or rows beside it. A kernel is single-threaded,
 * allocates nothing and keeps nothing. Names: <op>__<isa>. */
#ifndef TRAIN_HEAD_HEAD_KERNELS_H
#define TRAIN_HEAD_HEAD_KERNELS_H

#include "common/base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HEAD_KERNELS_LANES = 16,
    HEAD_KERNELS_AHEAD = 16, /* rows that `forward` prefetches before it comes to them; even */
};

/* The rows to prefetch: none, as they are in a cache; those of even index; all. */
enum head_kernels_fetch { HEAD_KERNELS_FETCH_NONE, HEAD_KERNELS_FETCH_EVEN, HEAD_KERNELS_FETCH_ALL };

/* Where class c of row (or feature) i is in [I/16][classes][16]. */
static inline size_t head_kernels_index(size_t classes, size_t i, size_t c) {
    return (i / HEAD_KERNELS_LANES * classes + c) * HEAD_KERNELS_LANES + i % HEAD_KERNELS_LANES;
}

/* Scalars of one Adam step (optim.h has the formula). */
struct head_kernels_adam {
    float alpha, one_minus_beta1, one_minus_beta2, epsilon, decay;
};

/* Scalars of one step of gradient descent with momentum. */
struct head_kernels_sgd {
    float rate, momentum, decay;
};

/* All pointers to floats, the rows too, are aligned to 64 bytes; no two arguments overlap; counts of features
 * are multiples of 16. */
struct head_kernels {
    const char *isa; /* "generic", "avx2", "avx512" */

    /* out[r / 16][c][r % 16] = start[c] + sum over d < count of rows[r][first + d] * weights[d / 16][c][d %
     * 16], for c < classes. `start` may be NULL: zeros. `out` has room for row_count rounded up to 16 rows,
     * and the rest of them get anything. With a fetch, rows[] goes on for HEAD_KERNELS_AHEAD rows and one more,
     * and rows[r + HEAD_KERNELS_AHEAD] is prefetched while row r is worked on. */
    void (*forward)(const float *const rows[], enum head_kernels_fetch fetch, size_t row_count, size_t first,
                    size_t count, const float *weights /* [count/16][classes][16] */, size_t classes,
                    const float *start /* [classes] */, float *out /* [R/16][classes][16] */);

    /* gradient[d / 16][c][d % 16] = (add ? itself : 0) + sum over r of rows[r][first + d] * error[r / 16][c]
     * [r % 16], for d < count, c < classes. next[row_count], if not NULL, are the rows that come after these:
     * those of odd index are prefetched, so that memory is busy all the time; `forward` fetches the others.
     */
    void (*gradient)(const float *const rows[], const float *const next[], size_t row_count, size_t first,
                     size_t count, const float *error /* [R/16][classes][16] */, size_t classes,
                     float *gradient /* [count/16][classes][16] */, bool add);

    /* logits = sum over parts p ascending (a single one may be `probabilities` too), then probabilities =
     * softmax of a row's logits, stably (tf.nn.softmax). Both have room for row_count rounded up to 16 rows;
     * what the rest of parts holds does not matter. predicted[r] is the first class whose logit is the
     * largest. Returns the sum over r of weights[r] (NULL: all 1) times the cross entropy -log p[labels[r]],
     * or 0 when labels is NULL. Not a number in gives not a number out. */
    double (*softmax)(const float *parts /* [p * part_stride], [R/16][classes][16] */, size_t part_count,
                      size_t part_stride, size_t row_count, size_t classes, const uint16_t *labels,
                      const float *weights, float *probabilities /* [R/16][classes][16] */,
                      uint16_t *predicted);

    /* error = scale * weights[r] * (probabilities - (c == labels[r])) in place, the slope of the cross
     * entropy by the logits; 0 in rows that fill up the last sixteen. */
    void (*error)(size_t row_count, size_t classes, const uint16_t *labels, const float *weights, float scale,
                  float *probabilities /* [R/16][classes][16] */);

    /* sums[c] = (add ? sums[c] : 0) + sum over r of error[r / 16][c][r % 16], for c < classes; columns behind
     * them get anything. The rows that fill up the last sixteen must hold 0. */
    void (*row_sum)(size_t row_count, size_t classes, const float *error /* [R/16][classes][16] */,
                    float *sums /* [C'] */, bool add);

    /* One optimizer step on `count` (a multiple of 16) weights; the gradient in use is
     * gradient[i] + decay * weights[i]. */
    void (*adam)(const struct head_kernels_adam *step, size_t count, const float *gradient, float *weights,
                 float *first_moment, float *second_moment);
    void (*sgd)(const struct head_kernels_sgd *step, size_t count, const float *gradient, float *weights);
    void (*momentum)(const struct head_kernels_sgd *step, size_t count, const float *gradient, float *weights,
                     float *velocity);
    void (*nesterov)(const struct head_kernels_sgd *step, size_t count, const float *gradient, float *weights,
                     float *velocity);

    /* Sum of squares of `count` (a multiple of 16) weights. */
    double (*square_sum)(size_t count, const float *weights);
};

/* The tables; those of an instruction set that the machine lacks must not be called. */
extern const struct head_kernels head_kernels_table__generic, head_kernels_table__avx2,
    head_kernels_table__avx512;

/* The fastest table that this machine runs, or the one that the environment variable VGGCACHE_ISA names.
 * STATUS_USAGE when that is no name, STATUS_UNSUPPORTED when the machine lacks it. */
enum status head_kernels_select(const struct head_kernels **kernels_ret);

#endif
