/* fit: trains a head as keras.Model.fit() does: epochs, shuffled batches, the running mean of the loss,
 * validation. It prints nothing and saves nothing.
 *
 * Each epoch visits the rows in a new order, rng_permutation() of stream `epoch` (from 1) of the seed, in
 * batches of which the last may be smaller. The epoch's loss and accuracy are means over all rows, each batch
 * measured before its update, the L2 penalty included; validation follows the epoch's last update.
 *
 * The threads of an epoch share each batch: a thread owns pieces of the features, with their weights and
 * their optimizer state, for forward products, gradient and update; only the partial logits cross, and every
 * sum has one order. So the same machine type gives the same bits with any number of threads. */
#ifndef TRAIN_FIT_H
#define TRAIN_FIT_H

#include "common/status.h"
#include "train/data.h"
#include "train/head.h"
#include "train/optim.h"
#include <stdint.h>

struct fit_options {
    size_t epochs, batch_size;
    uint64_t seed; /* of the order of rows; the head comes initialized */
    int threads;
    struct optim_settings optim;
    enum optim_schedule schedule; /* of the rate, over epochs; the next two are those of a step */
    size_t step_epochs;
    double step_factor;
    size_t patience; /* of early stopping (patience.h), in epochs; 0: none. It needs validation rows */
    const float *class_weights; /* [classes], or NULL: a row's cross entropy counts so much in a batch's mean,
                                 * which still divides by rows; validation and accuracy ignore it */
};

/* weights[c] = rows / (classes that occur * rows of class c), or 0 for a class that does not occur, as
 * sklearn.utils.class_weight.compute_class_weight("balanced"); their mean over the rows is 1.
 * STATUS_NO_MEMORY. */
enum status fit_balance(struct data_rows rows, size_t classes, float *weights);

/* One line of the history; the validation's two are NaN when there are no validation rows. */
struct fit_epoch {
    size_t epoch; /* from 1 */
    double loss, accuracy, val_loss, val_accuracy;
    double seconds;       /* of this epoch, validation included */
    double learning_rate; /* of this epoch; NaN where there is none */
};

/* Told of each finished epoch, on the calling thread; the head is as the epoch left it. What is not STATUS_OK
 * ends the fit. */
typedef enum status (*fit_listener)(void *context, const struct fit_epoch *epoch);

/* Fits `head` to the rows `train`; `validation` may have no rows. history[epochs] receives the epochs that
 * were finished, *done_ret their number. STATUS_NO_MEMORY; STATUS_NOT_FINITE when the loss stops being
 * finite, with the epoch and what to do; STATUS_INTERRUPTED after a signal; or what the listener says. The
 * head is of use only with STATUS_OK. */
enum status fit_run(struct head *head, struct data_rows train, struct data_rows validation,
                    const struct fit_options *options, fit_listener listener, void *context,
                    struct fit_epoch *history, size_t *done_ret);

#endif
