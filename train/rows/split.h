/* split: which training rows are held back for validation. */
#ifndef TRAIN_ROWS_SPLIT_H
#define TRAIN_ROWS_SPLIT_H

#include "common/base/status.h"
#include <stddef.h>

/* Of `rows` training rows the first *fit_count_ret are fitted and the rest, the LAST of them, before any
 * shuffle, validate: fit_count = floor(rows * (1 - fraction)), in double, as
 * keras.Model.fit(validation_split=fraction) does. fraction 0 keeps all; 0 <= fraction < 1. STATUS_MISMATCH
 * when one of the two parts would be empty, as in Keras, or there are no rows at all. */
enum status split_rows(size_t rows, double fraction, size_t *fit_count_ret);

#endif
