/* jobs: the jobs of `train`, one for each mode of the command line. */
#ifndef TRAIN_JOBS_H
#define TRAIN_JOBS_H

#include "train/session.h"

/* Each does its job with the session's open cache, prints results and writes files. What went wrong is told
 * by the status and its message. */
enum status run_fit(struct session *session);
enum status run_sweep(struct session *session);
enum status run_evaluate(struct session *session);
enum status run_predict(struct session *session);
enum status run_export(struct session *session);
enum status run_export_model(struct session *session); /* without a cache */

#endif
