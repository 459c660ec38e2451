/* sweep: settings of the optimizer to try side by side, and how they fared.
 *
 * A specification is "KEY=VALUE,VALUE,...;KEY=..." with the keys lr, l2 and momentum; it means every
 * combination, the last key changing fastest. */
#ifndef TRAIN_FIT_SWEEP_H
#define TRAIN_FIT_SWEEP_H

#include "common/base/status.h"
#include "train/fit/optim.h"
#include <stddef.h>

enum { SWEEP_KEYS = 3, SWEEP_VALUES_MAX = 256, SWEEP_MAX = 4096, SWEEP_NAME = 96 };

/* What is tried, all zero: nothing. */
struct sweep {
    size_t key_count, count; /* combinations */
    struct {
        int key; /* which of sweep_keys */
        size_t count;
        double values[SWEEP_VALUES_MAX];
    } keys[SWEEP_KEYS];
};

/* How a combination fared in validation, over its folds. */
struct sweep_result {
    size_t index; /* of the combination */
    struct optim_settings optim;
    size_t folds;    /* measured so far; 0 means that all diverged */
    size_t diverged; /* the epoch in which it did in any fold, or 0 */
    double loss, accuracy, val_loss,
        val_accuracy;              /* means over folds, of the epochs whose weights are kept */
    double val_accuracy_deviation; /* between folds (divisor n - 1), 0 for one */
    double val_accuracy_squares;   /* while folds are added: of the differences from the mean */
    double epochs;                 /* mean number of the epoch that was kept, from 1 */
};

/* "lr", "l2", "momentum". */
extern const char *const sweep_keys[SWEEP_KEYS];

/* Reads a specification for an optimizer. STATUS_USAGE with a message that says what is wrong: an unknown
 * key, one given twice or one that does not go with the optimizer, no number, out of range (lr > 0, l2 >= 0, 0 < momentum
 * <= 1), a value given twice, too many combinations. */
enum status sweep_parse(struct sweep *sweep_ret, const char *text, enum optim_kind kind);

/* The first value of a specification that begins with a 0 which it does not need, as 01 in "l2=0,01", where
 * somebody may have meant 0.01; its length. NULL when there is none. */
const char *sweep_odd_value(const char *text, size_t *length_ret);

/* `base` with the values of combination `index` in their places. */
struct optim_settings sweep_settings(const struct sweep *sweep, size_t index,
                                     const struct optim_settings *base);

/* "lr=0.001,l2=0" into name[SWEEP_NAME], another for each combination; returns `name`. "" when nothing is
 * swept. */
char *sweep_name(const struct sweep *sweep, size_t index, char name[SWEEP_NAME]);

/* Value of the k-th key of the specification in a combination. */
double sweep_value(const struct sweep *sweep, size_t index, size_t k);

/* Adds one more fold to a result: what the epochs whose weights were kept say. */
void sweep_add(struct sweep_result *result, double loss, double accuracy, double val_loss,
               double val_accuracy, size_t epoch);

/* Ranks results[count]: lowest validation loss first, those that diverged last; equal ones keep their order.
 */
void sweep_rank(struct sweep_result results[], size_t count);

#endif
