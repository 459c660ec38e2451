/* head: the classifier, keras.layers.Dense(classes, activation="softmax") on rows of features: its weights
 * and its products. It neither learns nor reads files.
 *
 *   D  stride: dim, the features per row, padded to a multiple of 16     C  classes     P  pieces of D
 *   C' columns: classes, padded to a multiple of 16
 *
 * A logit is ((bias + sum over piece 0) + sum over piece 1) + ...: threads may take different pieces or
 * different rows, and the bits do not depend on who takes what. */
#ifndef TRAIN_HEAD_H
#define TRAIN_HEAD_H

#include "common/status.h"
#include "train/data.h"
#include "train/kernels.h"
#include <stdint.h>

enum {
    HEAD_CLASSES_MAX = 10000,
    HEAD_DIM_MAX = 1 << 24,
    HEAD_PIECES_MAX = 8,  /* at most so many threads share a batch */
    HEAD_PIECE_MIN = 256, /* features: shorter pieces cost more in sums than they gain in threads */
    HEAD_BLOCK_MAX = 256, /* rows that are worked on at a time */
};

struct head {
    const struct kernels *kernels;
    size_t dim, stride; /* features per row; D */
    size_t classes, columns;
    size_t piece_count; /* P */
    size_t piece_dim;   /* features of each piece but the last, which may be shorter; a multiple of 16 */
    size_t block_rows;  /* rows worked on at a time: what the second-level cache holds, a multiple of 8 */
    float *kernel;      /* [D/16][C][16]; 0 in padding features */
    float *bias;        /* [C']; KERNELS_NEVER in padding columns */
};

/* Makes a head of zeros. 1 <= dim <= HEAD_DIM_MAX, 1 <= classes <= HEAD_CLASSES_MAX: else STATUS_UNSUPPORTED;
 * STATUS_NO_MEMORY. Freed with head_free(). */
enum status head_create(struct head *head_ret, const struct kernels *kernels, size_t dim, size_t classes);
void head_free(struct head *head); /* all zero is allowed */

/* Keras' initial weights: kernel glorot_uniform, U(-L, L) with L = sqrt(6 / (dim + classes)), drawn in the
 * order [dim][classes] as (float)((2 * rng_uniform() - 1) * L) from stream 0 of `seed`; bias 0. */
void head_initialize(struct head *head, uint64_t seed);

/* The weights in Keras' shapes: kernel[dim][classes], bias[classes]. */
void head_get(const struct head *head, float *kernel, float *bias);
void head_set(struct head *head, const float *kernel, const float *bias);

/* First feature of a piece (and the end of the one before). */
static inline size_t head_piece_first(const struct head *head, size_t piece) {
    size_t first = piece * head->piece_dim;
    return first < head->stride ? first : head->stride;
}

/* Floats of the kernel, or of a gradient of it. A piece of it is one range, from head_piece_offset(). */
static inline size_t head_weights(const struct head *head) {
    return head->stride * head->classes;
}
static inline size_t head_piece_offset(const struct head *head, size_t piece) {
    return head_piece_first(head, piece) * head->classes;
}

/* Partial logits: parts[P][block_rows][C'], of which head_forward_piece() never writes the padding columns.
 */
static inline size_t head_parts(const struct head *head) {
    return head->piece_count * head->block_rows * head->columns;
}
void head_clear_parts(const struct head *head, float *parts);

/* part[row_count][C'] = the products of one piece (and the bias, in piece 0). */
void head_forward_piece(const struct head *head, size_t piece, const float *const rows[],
                        const float *const next[], size_t row_count, float *part);

/* gradient[D/16][C][16], one piece of it: like kernels->gradient, with error[row_count][C']. */
void head_gradient_piece(const struct head *head, size_t piece, const float *const rows[],
                         const float *const next[], size_t row_count, const float *error, float *gradient,
                         bool add);

/* Sum of the squares of one piece of the kernel, and of all of it, summed in the same order. */
double head_square_sum_piece(const struct head *head, size_t piece);
double head_square_sum(const struct head *head);

#endif
