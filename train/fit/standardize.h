/* standardize: features with mean 0 and deviation 1 for the fit, and a head that was fitted to them turned
 * into one for the features as they are. It neither fits nor reads files.
 *
 * z, mean and deviation are those of scale.h; mean and deviation (divisor n, as sklearn.preprocessing.StandardScaler) are those of the fitted rows. A
 * constant feature, one whose deviation is no more than the spacing of floats near its mean
 * (FLT_EPSILON * |mean|) or below 1e-30, becomes 0 in every row, and its weights are 0 in the folded head. */
#ifndef TRAIN_FIT_STANDARDIZE_H
#define TRAIN_FIT_STANDARDIZE_H

#include "common/base/status.h"
#include "train/head/head.h"
#include "train/rows/data.h"
#include "train/rows/scale.h"

/* Measures `rows`, of which there is at least one. The result does not depend on `threads`.
 * STATUS_NOT_FINITE when a feature is no finite number, naming its row; STATUS_NO_MEMORY; what data_window()
 * says. Freed with scale_free(). */
enum status standardize_measure(struct scale *scale_ret, struct data_rows rows, int threads);

/* Turns a head for z into one that gives the same logits, up to rounding, for x:
 * kernel[d][c] *= inverse[d], bias[c] -= sum over d of mean[d] * inverse[d] * kernel[d][c], computed in
 * double. STATUS_NOT_FINITE when a weight leaves the range of float; STATUS_NO_MEMORY. */
enum status standardize_fold(const struct scale *scale, struct head *head);

#endif
