/* checkpoint: the state of a fit in a file, so that one that was killed goes on where it was and ends with
 * the same bits.
 *
 * Format, version 2, HDF5: / has format = "vggcache-checkpoint", format_version = 2, settings (lines
 * "name=value": all that the fit's bits depend on), epoch (the last one finished) and heads (their number).
 * /head_0, /head_1, ... have the history, float64 [done][7] (and the epoch in which it diverged) in the order
 * of struct fit_epoch; done, diverged, over, waited and lowest; the float32 arrays of the head, its optimizer
 * and its best epoch, as they are in memory; and crc32c over all that, in this order. A fit that is no heads
 * in training, L-BFGS, has one group /state instead, with a history and fields of its own. The order of rows
 * needs no state: that of epoch e is stream e of the seed. */
#ifndef TRAIN_FIT_CHECKPOINT_H
#define TRAIN_FIT_CHECKPOINT_H

#include "common/base/status.h"
#include "train/fit/history.h"
#include "train/fit/learner.h"

/* Where, how often, and of which fit. */
struct checkpoint {
    const char *path;
    size_t every;         /* epochs */
    const char *settings; /* lines "name=value" */
};

/* Replaces the checkpoint, whole or not at all: heads[count] and their learners after `epoch`. STATUS_IO,
 * STATUS_NO_MEMORY. */
enum status checkpoint_write(const struct checkpoint *checkpoint, size_t epoch, const struct fit_head heads[],
                             struct learner learners[], size_t count);

/* Fills heads and learners, freshly made, from the checkpoint, and *epoch_ret; 0 when there is none yet.
 * STATUS_MISMATCH when it is of another fit, naming each setting that differs with both values;
 * STATUS_FORMAT, STATUS_CORRUPT, STATUS_IO, STATUS_NO_MEMORY. */
enum status checkpoint_read(const struct checkpoint *checkpoint, size_t epochs, size_t *epoch_ret,
                            struct fit_head heads[], struct learner learners[], size_t count);

/* A number or array of a state: uint64_t, double, float[count], double[count]. */
enum checkpoint_type { CHECKPOINT_WHOLE, CHECKPOINT_REAL, CHECKPOINT_FLOATS, CHECKPOINT_DOUBLES };
struct checkpoint_field {
    const char *name;
    enum checkpoint_type type;
    void *at; /* borrowed; NULL: this fit has none */
    size_t count;
};

/* The same for a fit whose state is history[epoch] and some fields, always the same ones in the same order.
 */
enum status checkpoint_write_state(const struct checkpoint *checkpoint, size_t epoch,
                                   const struct fit_epoch history[], const struct checkpoint_field fields[],
                                   size_t count);
enum status checkpoint_read_state(const struct checkpoint *checkpoint, size_t epochs, size_t *epoch_ret,
                                  struct fit_epoch history[], const struct checkpoint_field fields[],
                                  size_t count);

#endif
