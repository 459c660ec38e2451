/* session: what the jobs of `train` have in common: the cache, its rows, the head, and how it fares on them.
 */
#ifndef TRAIN_SESSION_H
#define TRAIN_SESSION_H

#include "common/base/output.h"
#include "common/cache/cache.h"
#include "train/head/head.h"
#include "train/head/head_io.h"
#include "train/options.h"
#include "train/report/report.h"
#include "train/results/record.h"
#include "train/rows/data.h"
#include <stdio.h>

/* All zero: nothing open. */
struct session {
    const struct options *options;
    const struct head_kernels *kernels;
    struct cache *cache;
    const struct cache_info *info;
    struct data_split data[CACHE_SPLITS];
    size_t part_nbytes;   /* of memory for a fit to rows that stay in the cache; 0: all rows are in memory */
    size_t window_nbytes; /* of memory to read each split, then */
    struct head head;
    uint16_t *predicted;              /* [test rows], and what follows from it: */
    struct evaluate_class *per_class; /* [classes] */
    size_t *matrix;                   /* [classes][classes]; NULL past TABLE_MATRIX_MAX classes */
    struct output page;               /* of --report */
    struct report_images *images;     /* of --images; NULL: none */
    FILE *people; /* where they read: standard output, or standard error when a program reads that */
};

/* Opens the cache, which must be complete, if the job has one. What went wrong is told by the status;
 * session_close() follows in any case. */
enum status session_open(struct session *session_ret, const struct options *options);
void session_close(struct session *session);

/* Reads and verifies all rows, of which the features stay in the cache when they do not fit into memory;
 * session_reload_train() reads the training rows once more, as they are in the cache. STATUS_INTERRUPTED
 * after a signal. */
enum status session_load(struct session *session);
enum status session_reload_train(struct session *session);

/* Measures the head on all training rows and on the test rows, into results->train and ->test, `penalty`
 * added to the losses; prints both, results->validation when it has rows, and the confusion on the test rows,
 * which stays with the session.
 * fit_count: training rows that were fitted, 0 when unknown. */
enum status session_evaluate(struct session *session, double penalty, size_t fit_count,
                             struct record_results *results);

/* When nobody reads standard output any more (STATUS_PIPE), the results for files are written all the same:
 * this is the status of both together, a failure before the pipe. */
enum status session_first(enum status before, enum status now);

#endif
