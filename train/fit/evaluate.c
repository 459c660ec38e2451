/* evaluate: loss, accuracy and predictions of a head on rows of features. */
#include "train/fit/evaluate.h"
#include "common/base/interrupt.h"
#include "common/base/mem.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)HEAD_BLOCK_MAX <= (int)DATA_WINDOW_MIN, "a window of rows holds a block");

size_t evaluate_scratch_count(const struct head *head) {
    return head_parts(head) + head->block_rows * head->classes;
}

void evaluate_block(const struct head *head, struct data_rows rows, size_t first, size_t count,
                    float *scratch, uint16_t *predicted, float *probabilities, double *loss_ret,
                    size_t *correct_ret) {
    assert(count > 0 && count <= head->block_rows && rows.dim == head->dim);
    size_t part_stride = head->block_rows * head->classes;
    float *all = scratch + head->piece_count * part_stride;
    const float *features[HEAD_BLOCK_MAX + HEAD_KERNELS_AHEAD + 1];
    for (size_t r = 0; r <= count + HEAD_KERNELS_AHEAD; r++)
        features[r] = rows.features + (first + r < rows.count ? first + r : rows.count - 1) * rows.stride;
    for (size_t piece = 0; piece < head->piece_count; piece++)
        head_forward_piece(head, piece, features, HEAD_KERNELS_FETCH_ALL, count,
                           scratch + piece * part_stride);
    const uint16_t *labels = rows.labels + first;
    *loss_ret = head->kernels->softmax(scratch, head->piece_count, part_stride, count, head->classes, labels,
                                       NULL, all, predicted);
    *correct_ret = 0;
    for (size_t r = 0; r < count; r++)
        *correct_ret += predicted[r] == labels[r];
    for (size_t r = 0; probabilities != NULL && r < count; r++)
        for (size_t c = 0; c < head->classes; c++)
            probabilities[r * head->classes + c] = all[head_kernels_index(head->classes, r, c)];
}

struct evaluate_result evaluate_total(const struct head *head, double l2, size_t rows, size_t block_count,
                                      const double *losses, const size_t *correct) {
    double loss = 0;
    size_t right = 0;
    for (size_t b = 0; b < block_count; b++) {
        loss += losses[b];
        right += correct[b];
    }
    double penalty = l2 > 0 ? l2 * head_square_sum(head) : 0;
    return (struct evaluate_result){.loss = rows > 0 ? loss / (double)rows + penalty : NAN,
                                    .accuracy = rows > 0 ? (double)right / (double)rows : NAN,
                                    .rows = rows};
}

enum status evaluate_run(const struct head *head, struct data_rows rows, double l2, int threads,
                         uint16_t *predicted, float *probabilities, struct evaluate_result *result_ret) {
    size_t block_count = (rows.count + head->block_rows - 1) / head->block_rows;
    size_t scratch_count = evaluate_scratch_count(head);
    float *scratch = mem_alloc((size_t)threads * scratch_count, sizeof(float));
    double *losses = mem_alloc(block_count, sizeof *losses);
    size_t *correct = mem_alloc(block_count, sizeof *correct);
    enum status status = STATUS_OK;
    if (scratch == NULL || losses == NULL || correct == NULL) {
        status = status_set_no_memory((size_t)threads * scratch_count * sizeof(float), "evaluation");
        goto out;
    }
    for (size_t at = 0; at < rows.count && status == STATUS_OK;) {
        struct data_rows window;
        status = data_window(rows, at, SIZE_MAX, &window);
        if (status != STATUS_OK)
            break;
        if (window.count < rows.count - at) /* blocks begin at the same rows, whatever a window holds */
            window.count -= window.count % head->block_rows;
        size_t first_block = at / head->block_rows;
#pragma omp parallel for num_threads(threads) schedule(static)
        for (size_t first = 0; first < window.count; first += head->block_rows) {
            if (interrupt_signal())
                continue;
            size_t left = window.count - first, b = first_block + first / head->block_rows;
            uint16_t local[HEAD_BLOCK_MAX];
            evaluate_block(head, window, first, left < head->block_rows ? left : head->block_rows,
                           scratch + (size_t)omp_get_thread_num() * scratch_count,
                           predicted != NULL ? predicted + at + first : local,
                           probabilities != NULL ? probabilities + (at + first) * head->classes : NULL,
                           &losses[b], &correct[b]);
        }
        at += window.count;
    }
    if (status != STATUS_OK)
        goto out;
    if (interrupt_signal())
        status = status_set(STATUS_INTERRUPTED, "interrupted during the evaluation");
    else
        *result_ret = evaluate_total(head, l2, rows.count, block_count, losses, correct);
out:
    mem_free(correct);
    mem_free(losses);
    mem_free(scratch);
    return status;
}

void evaluate_confusion(const uint16_t *labels, const uint16_t *predicted, size_t count, size_t classes,
                        struct evaluate_class *per_class, size_t *matrix) {
    memset(per_class, 0, classes * sizeof *per_class);
    if (matrix != NULL)
        memset(matrix, 0, classes * classes * sizeof *matrix);
    for (size_t i = 0; i < count; i++) {
        assert(labels[i] < classes && predicted[i] < classes);
        per_class[labels[i]].support++;
        per_class[predicted[i]].predicted++;
        per_class[labels[i]].correct += labels[i] == predicted[i];
        if (matrix != NULL)
            matrix[labels[i] * classes + predicted[i]]++;
    }
    for (size_t c = 0; c < classes; c++) {
        struct evaluate_class *one = &per_class[c];
        one->precision = one->predicted > 0 ? (double)one->correct / (double)one->predicted : 0;
        one->recall = one->support > 0 ? (double)one->correct / (double)one->support : 0;
        double sum = one->precision + one->recall;
        one->f1 = sum > 0 ? 2 * one->precision * one->recall / sum : 0;
    }
}
