/* job: what every fit consists of: what is prepared before it, the fit of one head, and what is saved and
 * told after it. */
#ifndef TRAIN_JOB_H
#define TRAIN_JOB_H

#include "train/fit/checkpoint.h"
#include "train/fit/fit.h"
#include "train/fit/lbfgs.h"
#include "train/fit/standardize.h"
#include "train/session.h"

/* All zero: nothing prepared. */
struct job {
    struct session *session;
    struct fit_options fit;        /* the command line's, with class weights and checkpoint */
    struct scale scale;            /* of --standardize */
    struct data_rows fitted, held; /* the session's training rows, in two */
    float *class_weights;
    struct fit_epoch *history; /* [fit.epochs] */
    struct record_results results;
    struct checkpoint checkpoint; /* of --checkpoint */
    char *settings;               /* its text */
    double validation_split;      /* of the fit of the head that is saved */
    double penalty;               /* what --l2 adds to the loss */
    struct output json, csv;
};

/* Everything that can fail before the work: opens the files, makes the session's head, and reads the rows, of
 * which *fit_count_ret are to be fitted. job_close() follows in any case. */
enum status job_prepare(struct job *job, struct session *session, size_t *fit_count_ret);
void job_close(struct job *job);

/* Takes the first fit_count of the session's training rows, which are as in the cache, for the fit, and the
 * others for validation: standardizes them, weighs the classes. STATUS_UNSUPPORTED when they must be in
 * memory and are not. */
enum status job_use_rows(struct job *job, size_t fit_count);

/* Writes down what the fit's bits depend on, and lets the fit use --checkpoint. */
enum status job_use_checkpoint(struct job *job);

/* Initializes the session's head and fits it, telling people of each epoch; fills history, results but those
 * on whole splits, and penalty. */
enum status job_learn(struct job *job);

/* How L-BFGS shall fit with an l2 of its own. */
struct lbfgs_options job_lbfgs_options(const struct job *job, double l2);

/* The epoch, from 0, whose weights a head has after so many epochs. */
size_t job_kept_epoch(const struct job *job, const struct fit_epoch *history, size_t count);

/* Gives results and penalty what the history of the head that is kept says. */
void job_take_results(struct job *job, size_t epochs, double seconds);

/* Saves the session's head; then measures it and tells people, CSV and JSON of it. */
enum status job_save(struct job *job);
enum status job_tell(struct job *job);

#endif
