/* patience: when to stop a fit early, and the weights of its best epoch, as
 * keras.callbacks.EarlyStopping(monitor="val_loss", patience=P, restore_best_weights=True). */
#ifndef TRAIN_FIT_PATIENCE_H
#define TRAIN_FIT_PATIENCE_H

#include "common/base/status.h"
#include "train/head/head.h"
#include <stdbool.h>

/* All zero: no early stopping. */
struct patience {
    size_t limit, waited; /* epochs */
    double lowest;        /* validation loss */
    float *kernel, *bias; /* of that epoch, like the head's */
};

/* `limit` is at least 1, or 0 for no early stopping. STATUS_NO_MEMORY. Freed with patience_free(). */
enum status patience_create(struct patience *patience_ret, size_t limit, const struct head *head);
void patience_free(struct patience *patience);

/* Notes an epoch: keeps the head's weights when its validation loss is below all before. True when it is the
 * limit-th in a row that is not, and the fit should end. */
bool patience_over(struct patience *patience, const struct head *head, double val_loss);

/* Gives the head the weights of the best epoch, the first with the lowest validation loss. */
void patience_restore(const struct patience *patience, struct head *head);

#endif
