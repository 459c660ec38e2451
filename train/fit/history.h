/* history: what a fit leaves of its epochs, and the heads that are fitted side by side. */
#ifndef TRAIN_FIT_HISTORY_H
#define TRAIN_FIT_HISTORY_H

#include "common/base/status.h"
#include "train/fit/optim.h"
#include "train/head/head.h"

/* One line of the history; the validation's two are NaN when there are no validation rows. */
struct fit_epoch {
    size_t epoch; /* from 1 */
    double loss, accuracy, val_loss, val_accuracy;
    double seconds;       /* of this epoch, validation and all heads included */
    double learning_rate; /* of this epoch; NaN where there is none */
};

/* One of the heads that are fitted side by side. */
struct fit_head {
    struct head *head; /* initialized; all of one shape */
    struct optim_settings optim;
    struct fit_epoch *history; /* [epochs] receives the epochs that were finished, */
    size_t done;               /* out: so many */
    size_t diverged;           /* out: the epoch in which a loss was no longer finite; 0: none */
};

/* Told of each finished epoch of heads[which], on the calling thread; the head is as the epoch left it. What
 * is not STATUS_OK ends the fit. */
typedef enum status (*fit_listener)(void *context, size_t which, const struct fit_epoch *epoch);

#endif
