/* head: a dense softmax layer, its weights and its products. */
#include "train/head/head.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static size_t round_up(size_t n, size_t unit) {
    return (n + unit - 1) / unit * unit;
}

enum status head_create(struct head *head_ret, const struct head_kernels *kernels, size_t dim,
                        size_t classes) {
    if (dim < 1 || dim > HEAD_DIM_MAX || classes < 1 || classes > HEAD_CLASSES_MAX)
        return status_set(STATUS_UNSUPPORTED,
                          "a head of %zu features and %zu classes: at most %d features and %d classes are "
                          "supported",
                          dim, classes, HEAD_DIM_MAX, HEAD_CLASSES_MAX);
    struct head head = {.kernels = kernels, .dim = dim, .classes = classes};
    head.stride = round_up(dim, HEAD_KERNELS_LANES);
    head.columns = round_up(classes, HEAD_KERNELS_LANES);
    head.piece_dim = round_up((dim + HEAD_PIECES_MAX - 1) / HEAD_PIECES_MAX, HEAD_KERNELS_LANES);
    if (head.piece_dim < HEAD_PIECE_MIN)
        head.piece_dim = HEAD_PIECE_MIN;
    head.piece_count = (head.stride + head.piece_dim - 1) / head.piece_dim;
    size_t fitting = ((size_t)1 << 20) / (dim * sizeof(float)) / 16 * 16;
    head.block_rows = fitting < 16 ? 16 : fitting > HEAD_BLOCK_MAX ? HEAD_BLOCK_MAX : fitting;
    head.kernel = mem_alloc(head_weights(&head), sizeof(float));
    head.bias = mem_alloc(head.columns, sizeof(float));
    if (head.kernel == NULL || head.bias == NULL) {
        head_free(&head);
        return status_set_no_memory(head_weights(&head) * sizeof(float), "the head's weights");
    }
    memset(head.kernel, 0, head_weights(&head) * sizeof(float));
    memset(head.bias, 0, head.columns * sizeof(float));
    *head_ret = head;
    return STATUS_OK;
}

void head_free(struct head *head) {
    mem_free(head->kernel);
    mem_free(head->bias);
    *head = (struct head){0};
}

/* Where weight [d][c] of Keras' kernel stands in ours. */
static size_t kernel_index(const struct head *head, size_t d, size_t c) {
    return head_kernels_index(head->classes, d, c) + d / head->piece_dim * HEAD_GAP;
}

void head_initialize(struct head *head, uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed, 0);
    double limit = sqrt(6.0 / (double)(head->dim + head->classes));
    for (size_t d = 0; d < head->dim; d++)
        for (size_t c = 0; c < head->classes; c++)
            head->kernel[kernel_index(head, d, c)] = (float)((2 * rng_uniform(&rng) - 1) * limit);
    for (size_t c = 0; c < head->classes; c++)
        head->bias[c] = 0;
}

void head_get(const struct head *head, float *kernel, float *bias) {
    for (size_t d = 0; d < head->dim; d++)
        for (size_t c = 0; c < head->classes; c++)
            kernel[d * head->classes + c] = head->kernel[kernel_index(head, d, c)];
    memcpy(bias, head->bias, head->classes * sizeof(float));
}

void head_get_transposed(const struct head *head, float *kernel, float *bias) {
    for (size_t c = 0; c < head->classes; c++)
        for (size_t d = 0; d < head->dim; d++)
            kernel[c * head->dim + d] = head->kernel[kernel_index(head, d, c)];
    memcpy(bias, head->bias, head->classes * sizeof(float));
}

void head_set(struct head *head, const float *kernel, const float *bias) {
    for (size_t d = 0; d < head->dim; d++)
        for (size_t c = 0; c < head->classes; c++)
            head->kernel[kernel_index(head, d, c)] = kernel[d * head->classes + c];
    memcpy(head->bias, bias, head->classes * sizeof(float));
}

void head_forward_piece(const struct head *head, size_t piece, const float *const rows[],
                        enum head_kernels_fetch fetch, size_t row_count, float *part) {
    assert(piece < head->piece_count && row_count > 0);
    size_t first = head_piece_first(head, piece), count = head_piece_first(head, piece + 1) - first;
    head->kernels->forward(rows, fetch, row_count, first, count,
                           head->kernel + head_piece_offset(head, piece), head->classes,
                           piece + 1 == head->piece_count ? head->bias : NULL, part);
}

void head_gradient_piece(const struct head *head, size_t piece, const float *const rows[],
                         const float *const next[], size_t row_count, const float *error, float *gradient,
                         bool add) {
    assert(piece < head->piece_count && row_count > 0);
    size_t first = head_piece_first(head, piece), count = head_piece_first(head, piece + 1) - first;
    head->kernels->gradient(rows, next, row_count, first, count, error, head->classes,
                            gradient + head_piece_offset(head, piece), add);
}

double head_square_sum_piece(const struct head *head, size_t piece) {
    return head->kernels->square_sum(head_piece_weights(head, piece),
                                     head->kernel + head_piece_offset(head, piece));
}

double head_square_sum(const struct head *head) {
    double sum = 0;
    for (size_t piece = 0; piece < head->piece_count; piece++)
        sum += head_square_sum_piece(head, piece);
    return sum;
}
