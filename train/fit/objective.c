/* objective: what L-BFGS minimises. */
#include "train/fit/objective.h"
#include "common/base/blas.h"
#include "common/base/interrupt.h"
#include "common/base/mem.h"

#include <omp.h>
#include <string.h>

enum {
    BLOCK = 256,            /* rows of one product */
    SLOPES_NBYTES = 1 << 28 /* of all shares together, unless even two need more */
};

enum status objective_create(struct objective *objective_ret, const struct head *head, struct data_rows rows,
                             const float *weights, double l2, int threads) {
    struct objective objective = {.head = head, .rows = rows, .weights = weights, .l2 = l2};
    objective.kernel_count = head->dim * head->classes;
    objective.count = objective.kernel_count + head->classes;
    objective.block_count = (rows.count + BLOCK - 1) / BLOCK;
    size_t fitting = SLOPES_NBYTES / (objective.count * sizeof(double));
    size_t shares = fitting < 2 ? 2 : fitting > OBJECTIVE_SHARES_MAX ? OBJECTIVE_SHARES_MAX : fitting;
    objective.share_count = shares < objective.block_count ? shares : objective.block_count;
    objective.threads = threads < (int)objective.share_count ? threads : (int)objective.share_count;
    size_t workers = (size_t)objective.threads;
    objective.kernel = mem_alloc(objective.kernel_count, sizeof(float));
    objective.bias = mem_alloc(head->classes, sizeof(float));
    objective.slopes = mem_alloc(objective.share_count, objective.count * sizeof(double));
    objective.products = mem_alloc(workers, mem_round_up(objective.kernel_count * sizeof(float)));
    objective.logits = mem_alloc(workers * 2 * BLOCK * head->classes, sizeof(float));
    if (!objective.kernel || !objective.bias || !objective.slopes || !objective.products ||
        !objective.logits) {
        objective_free(&objective);
        return status_set_no_memory(objective.share_count * objective.count * sizeof(double), "slopes");
    }
    *objective_ret = objective;
    return STATUS_OK;
}

void objective_free(struct objective *objective) {
    mem_free(objective->logits);
    mem_free(objective->products);
    mem_free(objective->slopes);
    mem_free(objective->bias);
    mem_free(objective->kernel);
    *objective = (struct objective){0};
}

/* Rows first..first+count-1: adds their loss, hits and slope to those of a share. */
static void add_block(struct objective *objective, size_t share, size_t first, size_t count, float *logits,
                      float *products) {
    const struct head *head = objective->head;
    size_t dim = head->dim, classes = head->classes;
    float *error = logits + BLOCK * classes; /* [BLOCK/16][classes][16], the logits too in between */
    const float *x = objective->rows.features + first * objective->rows.stride;
    const uint16_t *labels = objective->rows.labels + first;
    uint16_t predicted[BLOCK];
    float weights[BLOCK];
    for (size_t r = 0; r < count; r++)
        memcpy(logits + r * classes, objective->bias, classes * sizeof(float));
    blas_sgemm(CblasNoTrans, CblasNoTrans, count, classes, dim, 1, x, objective->rows.stride,
               objective->kernel, classes, 1, logits, classes);
    for (size_t r = 0; r < count; r++)
        for (size_t c = 0; c < classes; c++)
            error[head_kernels_index(classes, r, c)] = logits[r * classes + c];
    for (size_t r = 0; objective->weights != NULL && r < count; r++)
        weights[r] = objective->weights[labels[r]];
    const float *row_weights = objective->weights != NULL ? weights : NULL;
    objective->losses[share] +=
        head->kernels->softmax(error, 1, 0, count, classes, labels, row_weights, error, predicted);
    head->kernels->error(count, classes, labels, row_weights, 1, error);
    double *slope = objective->slopes + share * objective->count;
    for (size_t r = 0; r < count; r++) {
        objective->correct[share] += predicted[r] == labels[r];
        for (size_t c = 0; c < classes; c++) {
            float e = logits[r * classes + c] = error[head_kernels_index(classes, r, c)];
            slope[objective->kernel_count + c] += (double)e;
        }
    }
    blas_sgemm(CblasTrans, CblasNoTrans, dim, classes, count, 1, x, objective->rows.stride, logits, classes,
               0, products, classes);
    for (size_t i = 0; i < objective->kernel_count; i++)
        slope[i] += (double)products[i];
}

enum status objective_evaluate(struct objective *objective, const double *point, double *slope,
                               double *value_ret, double *accuracy_ret) {
    size_t classes = objective->head->classes, count = objective->count;
    double n = (double)objective->rows.count;
    for (size_t i = 0; i < objective->kernel_count; i++)
        objective->kernel[i] = (float)point[i];
    for (size_t c = 0; c < classes; c++)
        objective->bias[c] = (float)point[objective->kernel_count + c];
#pragma omp parallel num_threads(objective->threads) default(none)                                           \
    firstprivate(objective, classes, count, slope, n)
    {
        size_t thread = (size_t)omp_get_thread_num();
        float *products = objective->products +
                          thread * mem_round_up(objective->kernel_count * sizeof(float)) / sizeof(float);
        float *logits = objective->logits + thread * 2 * BLOCK * classes;
#pragma omp for schedule(dynamic)
        for (size_t share = 0; share < objective->share_count; share++) {
            objective->losses[share] = 0;
            objective->correct[share] = 0;
            memset(objective->slopes + share * count, 0, count * sizeof(double));
            size_t end = objective->block_count * (share + 1) / objective->share_count;
            for (size_t b = objective->block_count * share / objective->share_count; b < end; b++) {
                size_t first = b * BLOCK, left = objective->rows.count - first;
                if (!interrupt_signal())
                    add_block(objective, share, first, left < BLOCK ? left : BLOCK, logits, products);
            }
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < count; i++) {
            double sum = 0;
            for (size_t share = 0; share < objective->share_count; share++)
                sum += objective->slopes[share * count + i];
            slope[i] = sum / n;
        }
    }
    if (interrupt_signal())
        return STATUS_INTERRUPTED;
    double loss = 0;
    size_t correct = 0;
    for (size_t share = 0; share < objective->share_count; share++) {
        loss += objective->losses[share];
        correct += objective->correct[share];
    }
    double squares = 0;
    for (size_t i = 0; i < objective->kernel_count; i++) {
        squares += point[i] * point[i];
        slope[i] += 2 * objective->l2 * point[i];
    }
    *value_ret = loss / n + objective->l2 * squares;
    *accuracy_ret = (double)correct / n;
    return STATUS_OK;
}
