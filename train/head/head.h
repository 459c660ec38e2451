/* head: the classifier, keras.layers.Dense(classes, activation="softmax") on rows of features: its weights
 * and its products. It neither learns nor reads files.
 *
 *   D  stride: dim, the features per row, padded to a multiple of 16     C  classes     P  pieces of D
 *   C' columns: classes, padded to a multiple of 16
 *
 * A logit is (sum over piece 0 + sum over piece 1) + ..., with the bias in the last sum: threads may take
 * different pieces or different rows, and the bits do not depend on who takes what. */
#ifndef TRAIN_HEAD_HEAD_H
#define TRAIN_HEAD_HEAD_H

#include "common/base/status.h"
#include "train/head/head_kernels.h"
#include <stdint.h>

enum {
    HEAD_CLASSES_MAX = 10000,
    HEAD_DIM_MAX = 1 << 24,
    HEAD_PIECES_MAX = 8,  /* at most so many threads share a batch */
    HEAD_PIECE_MIN = 256, /* features: shorter pieces cost more in sums than they gain in threads */
    HEAD_BLOCK_MAX = 256, /* rows that are worked on at a time */
    HEAD_GAP = 4096,      /* zeros behind each piece of a kernel */
    HEAD_CHUNK = 128,     /* of a block: rows whose partial logits are passed on together */
};

struct head {
    const struct head_kernels *kernels;
    size_t dim, stride; /* features per row; D */
    size_t classes, columns;
    size_t piece_count; /* P */
    size_t piece_dim;   /* features of each piece but the last, which may be shorter; a multiple of 16 */
    size_t block_rows;  /* rows worked on at a time: what the second-level cache holds, a multiple of 16 */
    float *kernel;      /* [D/16][C][16], a gap behind each piece; 0 in both and in padding features */
    float *bias;        /* [C']; 0 in padding columns */
};

/* Makes a head of zeros. 1 <= dim <= HEAD_DIM_MAX, 1 <= classes <= HEAD_CLASSES_MAX: else STATUS_UNSUPPORTED;
 * STATUS_NO_MEMORY. Freed with head_free(). */
enum status head_create(struct head *head_ret, const struct head_kernels *kernels, size_t dim,
                        size_t classes);
void head_free(struct head *head); /* all zero is allowed */

/* Keras' initial weights: kernel glorot_uniform, U(-L, L) with L = sqrt(6 / (dim + classes)), drawn in the
 * order [dim][classes] as (float)((2 * rng_uniform() - 1) * L) from stream 0 of `seed`; bias 0. */
void head_initialize(struct head *head, uint64_t seed);

/* The weights in Keras' shapes: kernel[dim][classes], bias[classes]. */
void head_get(const struct head *head, float *kernel, float *bias);
/* Like head_get(), but kernel[classes][dim], as torch.nn.Linear has it. */
void head_get_transposed(const struct head *head, float *kernel, float *bias);
void head_set(struct head *head, const float *kernel, const float *bias);

/* First feature of a piece (and the end of the one before). */
static inline size_t head_piece_first(const struct head *head, size_t piece) {
    size_t first = piece * head->piece_dim;
    return first < head->stride ? first : head->stride;
}

/* Floats of the kernel, or of a gradient of it. A piece of it is one range, from head_piece_offset(). The
 * gaps keep a core that fetches what seems to come next away from lines that another core is writing: worth 6
 * % of an epoch where they share no cache. */
static inline size_t head_weights(const struct head *head) {
    return head->stride * head->classes + head->piece_count * HEAD_GAP;
}
static inline size_t head_piece_offset(const struct head *head, size_t piece) {
    return head_piece_first(head, piece) * head->classes + piece * HEAD_GAP;
}

static inline size_t head_piece_weights(const struct head *head, size_t piece) {
    return (head_piece_first(head, piece + 1) - head_piece_first(head, piece)) * head->classes;
}

/* Floats of partial logits: parts[P][block_rows/16][C][16]. */
static inline size_t head_parts(const struct head *head) {
    return head->piece_count * head->block_rows * head->classes;
}

/* part[row_count/16][C][16] = the products of one piece (and the bias, in the last piece). */
void head_forward_piece(const struct head *head, size_t piece, const float *const rows[],
                        enum head_kernels_fetch fetch, size_t row_count, float *part);

/* gradient[D/16][C][16], one piece of it: like kernels->gradient, with error[row_count/16][C][16]. */
void head_gradient_piece(const struct head *head, size_t piece, const float *const rows[],
                         const float *const next[], size_t row_count, const float *error, float *gradient,
                         bool add);

/* Sum of the squares of one piece of the kernel, and of all of it, summed in the same order. */
double head_square_sum_piece(const struct head *head, size_t piece);
double head_square_sum(const struct head *head);

#endif
