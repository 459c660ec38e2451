/* kernels: the inner loops of training, one table per instruction set. They know classes, not heads or Keras.
 *
 *   D   features per row, padded with zeros to a multiple of 16
 *   C   classes                     C'  columns: C padded to a multiple of 16
 *   R   rows of a block             a piece: a range of features whose products are summed on their own
 *
 * Weights are kept as [D/16][C][16]. Products run over features, 16 side by side, so that no class is padded:
 * ten classes cost what ten cost, and classes of several heads may stand side by side. Every sum has a fixed
 * order, which does not depend on the classes or rows beside it. A kernel is single-threaded, allocates
 * nothing and keeps nothing. Names: <op>__<isa>. */
#ifndef TRAIN_KERNELS_H
#define TRAIN_KERNELS_H

#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KERNELS_LANES = 16 };

/* Scalars of one Adam step (optim.h has the formula). */
struct kernels_adam {
    float alpha, one_minus_beta1, one_minus_beta2, epsilon, decay;
};

/* Scalars of one step of gradient descent with momentum. */
struct kernels_sgd {
    float rate, momentum, decay;
};

/* All pointers to floats, the rows too, are aligned to 64 bytes; no two arguments overlap; counts of features
 * are multiples of 16. */
struct kernels {
    const char *isa; /* "generic", "avx2", "avx512" */

    /* out[r * stride + c] = start[c] + sum over d < count of rows[r][first + d] * weights[d / 16][c][d % 16],
     * for c < classes. `start` may be NULL: zeros. next[row_count], if not NULL, are the rows that come after
     * these: those of even index are prefetched, so that memory is busy all the time, and `gradient` fetches
     * the others. */
    void (*forward)(const float *const rows[], const float *const next[], size_t row_count, size_t first,
                    size_t count, const float *weights /* [count/16][classes][16] */, size_t classes,
                    const float *start /* [classes] */, float *out, size_t stride);

    /* gradient[d / 16][c][d % 16] = (add ? itself : 0) + sum over r of rows[r][first + d] * error[r * stride
     * + c], for d < count, c < classes. `next` as for forward: those of odd index are prefetched. */
    void (*gradient)(const float *const rows[], const float *const next[], size_t row_count, size_t first,
                     size_t count, const float *error, size_t stride, size_t classes,
                     float *gradient /* [count/16][classes][16] */, bool add);

    /* sums[c] = (add ? sums[c] : 0) + sum over r of error[r * columns + c], for c < columns. */
    void (*column_sum)(size_t row_count, size_t columns, const float *error, float *sums, bool add);

    /* logits[r][c] = sum of parts[p][r][c] over p ascending, then p[r][c] = softmax over c < columns, stably
     * (tf.nn.softmax); probabilities[r][c] = scale * p[r][c]. Padding columns must hold a logit of
     * KERNELS_NEVER, and get 0. predicted[r] is the first c whose logit is the largest. Returns the sum over
     * r of the cross entropy -log p[r][labels[r]], or 0 when labels is NULL. Not a number in gives not a
     * number out. */
    double (*softmax)(const float *parts, size_t part_count, size_t part_stride, size_t row_count,
                      size_t columns, const uint16_t *labels, float scale, float *probabilities,
                      uint16_t *predicted);

    /* One optimizer step on `count` (a multiple of 16) weights; the gradient in use is
     * gradient[i] + decay * weights[i]. */
    void (*adam)(const struct kernels_adam *step, size_t count, const float *gradient, float *weights,
                 float *first_moment, float *second_moment);
    void (*sgd)(const struct kernels_sgd *step, size_t count, const float *gradient, float *weights);
    void (*momentum)(const struct kernels_sgd *step, size_t count, const float *gradient, float *weights,
                     float *velocity);
    void (*nesterov)(const struct kernels_sgd *step, size_t count, const float *gradient, float *weights,
                     float *velocity);

    /* Sum of squares of `count` (a multiple of 16) weights. */
    double (*square_sum)(size_t count, const float *weights);
};

/* The bias, and so the logit, of a padding column. */
#define KERNELS_NEVER (-1e38f)

/* The tables; those of an instruction set that the machine lacks must not be called. */
extern const struct kernels kernels_table__generic, kernels_table__avx2, kernels_table__avx512;

/* The fastest table that this machine runs, or the one that the environment variable VGGCACHE_ISA names.
 * STATUS_USAGE when that is no name, STATUS_UNSUPPORTED when the machine lacks it. */
enum status kernels_select(const struct kernels **kernels_ret);

/* Makes the calling thread treat numbers below 1.2e-38 as zero, as TensorFlow does (they cost up to a hundred
 * times as much on some processors, and Adam's squares are full of them), and undoes that. */
unsigned kernels_flush_begin(void);
void kernels_flush_end(unsigned before);

#endif
