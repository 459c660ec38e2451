/* record: what a program reads of a fit and of an evaluation: CSV and JSON. */
#ifndef TRAIN_RESULTS_RECORD_H
#define TRAIN_RESULTS_RECORD_H

#include "common/base/status.h"
#include "train/fit/evaluate.h"
#include "train/fit/history.h"
#include "train/fit/sweep.h"
#include "train/head/settings.h"
#include <stdio.h>

/* CSV "epoch,loss,accuracy,val_loss,val_accuracy,seconds,learning_rate"; the validation's two and the rate
 * are empty when there is none. */
void record_history(FILE *stream, const struct fit_epoch *history, size_t count);

/* The settings that were tried, ranked; all zero: none were. */
struct record_sweep {
    const struct sweep_result *ranked; /* [count] */
    size_t count, folds;               /* folds: 1 without a cross-validation */
};

/* The results of a run; those with no rows are null in JSON. */
struct record_results {
    const struct settings *settings; /* of what was fitted, NULL: nothing was, */
    const struct fit_epoch *history; /* and this too; epochs and seconds are left out then */
    size_t epochs;
    double seconds;
    struct evaluate_result train, validation, test;
    struct record_sweep sweep;
};

/* One JSON object: settings, epochs, seconds, history, sweep, train, validation, test. STATUS_NO_MEMORY; errors of the
 * stream are left to its owner. */
enum status record_json(FILE *stream, const struct record_results *results);

/* Lines "split,row,label,predicted,p0,..." of rows first..first+count-1, and the header. */
void record_predictions_header(FILE *stream, size_t classes);
void record_predictions(FILE *stream, const char *split, size_t first, size_t count, size_t classes,
                        const uint16_t *labels, const uint16_t *predicted, const float *probabilities);

#endif
