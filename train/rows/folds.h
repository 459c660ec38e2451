/* folds: the parts of the training rows that a cross-validation holds back in turn. */
#ifndef TRAIN_ROWS_FOLDS_H
#define TRAIN_ROWS_FOLDS_H

#include "common/base/status.h"
#include "train/rows/data.h"

/* Moves the rows of one of `folds` folds to the end, in place, and keeps the order of rows otherwise; the
 * first *fit_count_ret rows are those of the other folds. The i-th row of all, sorted by class (rows of one
 * class in their order), is of fold i mod folds: so each fold has its share of every class, and folds differ
 * by one row at most. The rows, as they are in the cache, are in memory; labels are below `classes`; 2 <=
 * folds <= rows. STATUS_NO_MEMORY. */
enum status folds_arrange(struct data_split *data, size_t classes, size_t fold, size_t folds,
                          size_t *fit_count_ret);

#endif
