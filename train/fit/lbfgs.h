/* lbfgs: fits a head to all rows at once by L-BFGS (Liu and Nocedal, "On the limited memory BFGS method for
 * large scale optimization", 1989; Nocedal and Wright, "Numerical Optimization", algorithm 7.5).
 *
 * The objective (objective.h), convex, is the other optimizers'. It is 1 / (C n) times that of
 * sklearn.linear_model.LogisticRegression(C=C) with C = 1 / (2 n l2).
 *
 * It starts from weights of 0 and stops when |g| <= tolerance * |g0|, the Euclidean norms of the slope by all
 * weights and biases now and at the start; or after `epochs` iterations; or when rounding hides all progress:
 * no step lowers f, or in 20 iterations |g| reached no new minimum and f fell by less than 1e-7 of itself.
 *
 * Weights, slopes and the ten pairs of the memory are double: the same bits for any number of threads.
 */
#ifndef TRAIN_FIT_LBFGS_H
#define TRAIN_FIT_LBFGS_H

#include "train/fit/history.h"
#include "train/rows/data.h"

struct lbfgs_options {
    double l2, tolerance;
    size_t epochs; /* at most so many iterations */
    int threads;
    size_t patience;            /* as fit's */
    const float *class_weights; /* as fit's: each row's cross entropy times its class's weight, over n */
    const struct checkpoint *checkpoint; /* goes on behind what is there, and is written; NULL: none */
};

enum lbfgs_end { LBFGS_EPOCHS, LBFGS_PATIENCE, LBFGS_TOLERANCE_MET, LBFGS_ROUNDING, LBFGS_ENDS };

struct lbfgs_result {
    enum lbfgs_end end;
    double slope;  /* |g| / |g0| */
    size_t passes; /* over the rows */
};

/* Like fit_run(), but an epoch is one iteration, and its loss (the objective) and accuracy are measured after
 * it; the head holds the weights of that epoch when the listener hears of it. Call it outside of parallel
 * regions, after blas_init(). */
enum status lbfgs_run(struct head *head, struct data_rows train, struct data_rows validation,
                      const struct lbfgs_options *options, fit_listener listener, void *context,
                      struct fit_epoch *history, size_t *done_ret, struct lbfgs_result *result_ret);

#endif
