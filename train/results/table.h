/* table: what a person reads of a fit and of an evaluation, in columns. */
#ifndef TRAIN_RESULTS_TABLE_H
#define TRAIN_RESULTS_TABLE_H

#include "train/fit/evaluate.h"
#include "train/fit/history.h"
#include "train/fit/sweep.h"
#include <stdbool.h>
#include <stdio.h>

enum { TABLE_MATRIX_MAX = 20 }; /* classes: above, the confusion matrix gives way to the worst classes */

/* The table of epochs: of a long fit the first, the last, every so many-th, and at least one a second. */
struct table_epochs {
    FILE *stream; /* NULL: nothing is printed */
    size_t total, every;
    bool validation;
    double printed_at;
};

/* `every`: each so many-th epoch, 0 for about 20 lines in all. */
void table_epochs_begin(struct table_epochs *table, FILE *stream, size_t total, size_t every,
                        bool validation);
void table_epochs_line(struct table_epochs *table, const struct fit_epoch *epoch);

/* Time, rate, and the epoch of the lowest validation loss, of `count` > 0 epochs. */
void table_epochs_end(FILE *stream, const struct fit_epoch *history, size_t count, double seconds);

/* The first `most` of ranked results, with the values of the keys that were swept; `folds` is 1 without a
 * cross-validation. Then how much was fitted, and how fast. */
void table_sweep(FILE *stream, const struct sweep *sweep, const struct sweep_result results[], size_t count,
                 size_t folds, size_t most);
void table_sweep_end(FILE *stream, size_t count, size_t folds, double seconds);

/* One line of results: "training    60,000 rows   loss 0.5910   accuracy 0.8634". */
void table_result(FILE *stream, const char *name, const struct evaluate_result *result, const char *note);

/* The confusion matrix, if there are at most TABLE_MATRIX_MAX classes, then precision, recall, F1 and support
 * of each class, or of the worst by F1. `matrix` may be NULL above that many. */
void table_confusion(FILE *stream, const char *name, size_t classes, const struct evaluate_class *per_class,
                     const size_t *matrix);

/* Sorts order[count], which holds class numbers, by per_class[].f1, the worst first; equal ones by number. */
void table_order_by_f1(size_t *order, size_t count, const struct evaluate_class *per_class);

/* "60,000" into text[32]; returns `text`. */
char *table_count(size_t count, char text[32]);

#endif
