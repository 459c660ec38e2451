/* fit: trains heads as keras.Model.fit() does: epochs, shuffled batches, the running mean of the loss,
 * validation. It prints nothing and saves no head.
 *
 * Each epoch visits the rows in a new order (shuffle.h), in batches of which the last may be smaller. The
 * epoch's loss and accuracy are means over all rows, each batch measured before its update, the L2 penalty
 * included; validation follows the epoch's last update. Several heads go through each batch side by side,
 * while it is in the processor's caches. The same machine type gives the same bits with any number of
 * threads, and to a head whether it is alone or not. */
#ifndef TRAIN_FIT_FIT_H
#define TRAIN_FIT_FIT_H

#include "common/base/status.h"
#include "train/fit/history.h"
#include "train/head/head.h"
#include "train/rows/data.h"
#include <stdint.h>

struct checkpoint;

struct fit_options {
    size_t epochs, batch_size;
    uint64_t seed; /* of the order of rows; the heads come initialized */
    int threads;
    struct optim_settings optim;  /* fit_run()'s; fit_heads() has one per head */
    enum optim_schedule schedule; /* of the rate; the next two are those of a step */
    size_t step_epochs;
    double step_factor;
    size_t schedule_epochs; /* that the schedule spans, if not `epochs`; 0: those */
    size_t patience;        /* of early stopping (patience.h), in epochs; 0: none. It needs validation rows */
    const float *class_weights; /* [classes], or NULL: a row's cross entropy counts so much in a batch's mean,
                                 * which still divides by rows; validation and accuracy ignore it */
    size_t part_nbytes;         /* of memory for rows that are in a file (shuffle.h) */
    const struct checkpoint *checkpoint; /* goes on behind what is there, and is written; NULL: none */
};

/* weights[c] = rows / (classes that occur * rows of class c), or 0 for a class that does not occur, as
 * sklearn.utils.class_weight.compute_class_weight("balanced"); their mean over the rows is 1.
 * STATUS_NO_MEMORY. */
enum status fit_balance(struct data_rows rows, size_t classes, float *weights);

/* Fits heads[count] to the rows `train`; `validation` may have no rows. A head that diverges or stops early
 * leaves the others alone. STATUS_NO_MEMORY; STATUS_NOT_FINITE when all diverge, with the epoch of the first
 * and what to do; STATUS_INTERRUPTED after a signal; what data_window(), the checkpoint or the listener says.
 * The heads are of use only with STATUS_OK, and those that diverged never. */
enum status fit_heads(struct fit_head heads[], size_t count, struct data_rows train,
                      struct data_rows validation, const struct fit_options *options, fit_listener listener,
                      void *context);

/* Like fit_heads(), but for one head with options->optim; *done_ret is the number of epochs. */
enum status fit_run(struct head *head, struct data_rows train, struct data_rows validation,
                    const struct fit_options *options, fit_listener listener, void *context,
                    struct fit_epoch *history, size_t *done_ret);

#endif
