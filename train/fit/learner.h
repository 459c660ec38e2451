/* learner: one head in training, and the crew of threads that takes some of them through rows, batch by
 * batch.
 *
 * The threads of a crew share each head: a thread owns pieces of the features, with their weights and their
 * optimizer state, for forward products, gradient and update; only the partial logits cross, and every sum
 * has one order. So a head's bits depend neither on the number of threads nor on the heads beside it. */
#ifndef TRAIN_FIT_LEARNER_H
#define TRAIN_FIT_LEARNER_H

#include "common/base/status.h"
#include "train/fit/eventcount.h"
#include "train/fit/optim.h"
#include "train/fit/patience.h"
#include "train/head/head.h"
#include "train/rows/shuffle.h"

/* All zero: nothing. */
struct learner {
    struct head *head; /* borrowed */
    struct optim kernel_optim, bias_optim;
    struct patience patience;
    bool over;            /* it diverged or stopped early, and takes part no more */
    float *gradient;      /* like the kernel */
    float *bias_gradient; /* [column] */
    /* Written with each batch, so on lines of their own: what is above stays in all threads' caches. */
    _Alignas(64) double loss; /* of the epoch so far, summed over rows, the penalty included */
    size_t correct;
    _Alignas(64) double penalty[2][HEAD_PIECES_MAX]; /* [turn][piece]: sums of squares of the kernel */
};

/* `patience`: of early stopping, in epochs; 0: none. STATUS_NO_MEMORY. Freed with learner_free(). */
enum status learner_create(struct learner *learner_ret, struct head *head, const struct optim_settings *optim,
                           size_t patience);
void learner_free(struct learner *learner);

/* Sets the rate of the steps from now on. */
void learner_set_rate(struct learner *learner, double rate);

/* Some learners of heads of one shape, and the threads that take them on. Threads wait for each other's
 * partial logits alone, chunk by chunk of a block's rows, so that one may be a chunk ahead of another. `turn`
 * alternates from block to block: a thread may write the parts of the next while another still reads those of
 * this one. */
struct learner_crew {
    struct eventcount chunks[HEAD_PIECES_MAX]; /* [thread]: whose partial logits it has written */
    struct learner *const *learners;
    size_t learner_count, thread_count;
    float *parts[2]; /* [turn], head_parts() */
    bool stop[2];    /* [turn]: a signal came; written then alone */
};

/* What a crew goes through: a part of an epoch, in batches. */
struct learner_work {
    const struct shuffle_part *part;
    size_t batch_size;
    size_t step;                /* optimizer steps made before */
    const float *class_weights; /* [classes], or NULL */
};

/* Takes the crew's learners through the work; called by each of its threads, thread = 0, 1, ... with its own
 * error[block_rows/16][C][16]. Adds to loss and correct. False when a signal came. */
bool learner_crew_run(struct learner_crew *crew, size_t thread, const struct learner_work *work,
                      float *error);

#endif
