/* run_evaluate: the job of measuring a saved head on the rows of a cache. */
#include "train/head/head_io.h"
#include "train/jobs.h"
#include "train/outputs.h"

enum status run_evaluate(struct session *session) {
    const struct options *options = session->options;
    struct head_io_training training;
    struct record_results results = {0};
    struct output json = {0};
    enum status status = head_io_read(options->head, session->kernels, session->info, options->cache,
                                      &session->head, &training);
    if (status == STATUS_OK)
        status = outputs_open_report(session);
    if (status == STATUS_OK && options->json != NULL)
        status = output_open(&json, options->json);
    if (status == STATUS_OK)
        status = session_load(session);
    if (status == STATUS_OK)
        status = session_evaluate(session,
                                  training.settings.standardize
                                      ? training.penalty
                                      : training.settings.l2 * head_square_sum(&session->head),
                                  0, &results);
    if (status == STATUS_OK && options->json != NULL)
        status = outputs_write_json(&json, &results);
    if ((status == STATUS_OK || status == STATUS_PIPE) && options->report != NULL)
        status = session_first(status, outputs_write_report(session, &results, 0, &training));
    output_abort(&json);
    return status;
}
