/* objective: what L-BFGS minimises, by all weights and over all rows: its value, slope and accuracy at a
 * point.
 *
 *     f(kernel, bias) = mean over the rows of weight * -log softmax(x' kernel + bias)[label] + l2 *
 * sum(kernel^2)
 *
 * Products are float, by OpenBLAS; sums over rows and slopes are double. Rows are shared out in a way that
 * depends on their number and the head's size alone, and each share is summed by itself: the same bits for
 * any number of threads. */
#ifndef TRAIN_FIT_OBJECTIVE_H
#define TRAIN_FIT_OBJECTIVE_H

#include "common/base/status.h"
#include "train/head/head.h"
#include "train/rows/data.h"

enum { OBJECTIVE_SHARES_MAX = 16 }; /* parts of the rows with a slope of their own */

/* Points and slopes are [dim][classes], then [classes]. */
struct objective {
    const struct head *head; /* its shape and kernels; borrowed */
    struct data_rows rows;
    const float *weights; /* of classes, or NULL: all 1; borrowed */
    double l2;
    int threads;
    size_t kernel_count, count; /* of the kernel; and of the bias too */
    size_t block_count, share_count;
    float *kernel, *bias; /* the point in float: [dim][classes]; [classes] */
    double *slopes;       /* [share][count] */
    float *products;      /* [thread][dim][classes] */
    float *logits;        /* [thread][2][block][classes] */
    double losses[OBJECTIVE_SHARES_MAX];
    size_t correct[OBJECTIVE_SHARES_MAX];
};

/* Rows in memory. STATUS_NO_MEMORY. Freed with objective_free(). */
enum status objective_create(struct objective *objective_ret, const struct head *head, struct data_rows rows,
                             const float *weights, double l2, int threads);
void objective_free(struct objective *objective); /* all zero is allowed */

/* Value, slope[count] and accuracy at point[count]. STATUS_INTERRUPTED after a signal. Call it outside of
 * parallel regions, with OpenMP's number of threads set to 1: then OpenBLAS makes none of its own. */
enum status objective_evaluate(struct objective *objective, const double *point, double *slope,
                               double *value_ret, double *accuracy_ret);

#endif
