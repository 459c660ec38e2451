/* run_saved: the jobs on a head that was saved before, evaluation and prediction, and on features without a
 * head. */
#include "common/base/log.h"
#include "common/base/mem.h"
#include "train/export/export_model.h"
#include "train/fit/evaluate.h"
#include "train/head/head_io.h"
#include "train/results/table.h"
#include "train/run.h"

enum { PREDICT_ROWS = 4096 };

enum status run_evaluate(struct session *session) {
    const struct options *options = session->options;
    struct head_io_training training;
    struct record_results results = {0};
    struct output json = {0};
    enum status status = head_io_read(options->head, session->kernels, session->info, options->cache,
                                      &session->head, &training);
    if (status == STATUS_OK)
        status = session_open_report(session);
    if (status == STATUS_OK && options->json != NULL)
        status = output_open(&json, options->json);
    if (status == STATUS_OK)
        status = session_load(session);
    if (status == STATUS_OK)
        status = session_evaluate(
            session, training.standardized ? training.penalty : training.l2 * head_square_sum(&session->head),
            0, &results);
    if (status == STATUS_OK && options->json != NULL)
        status = session_write_json(&json, &results);
    if ((status == STATUS_OK || status == STATUS_PIPE) && options->report != NULL)
        status = session_first(status, session_write_report(session, &results, 0, &training));
    output_abort(&json);
    return status;
}

enum status run_predict(struct session *session) {
    const struct options *options = session->options;
    struct head_io_training training;
    struct evaluate_result ignored;
    struct output csv = {0};
    uint16_t *predicted = NULL;
    float *probabilities = NULL;
    enum status status = head_io_read(options->head, session->kernels, session->info, options->cache,
                                      &session->head, &training);
    if (status == STATUS_OK)
        status = output_open(&csv, options->output);
    if (status == STATUS_OK)
        status = session_load(session);
    if (status != STATUS_OK)
        goto out;
    size_t classes = session->head.classes;
    predicted = mem_alloc(PREDICT_ROWS, sizeof *predicted);
    probabilities = mem_alloc(PREDICT_ROWS * classes, sizeof *probabilities);
    if (predicted == NULL || probabilities == NULL) {
        status = status_set_no_memory(PREDICT_ROWS * classes * sizeof *probabilities, "predictions");
        goto out;
    }
    record_predictions_header(csv.stream, classes);
    for (int s = 0; s < CACHE_SPLITS; s++) {
        const struct data_split *data = &session->data[s];
        for (size_t first = 0; first < data->count; first += PREDICT_ROWS) {
            size_t left = data->count - first, count = left < PREDICT_ROWS ? left : PREDICT_ROWS;
            status = evaluate_run(&session->head, data_slice(data, first, count), 0, options->fit.threads,
                                  predicted, probabilities, &ignored);
            if (status != STATUS_OK)
                goto out;
            record_predictions(csv.stream, cache_split_names[s], first, count, classes, data->labels + first,
                               predicted, probabilities);
            status = output_check(&csv);
            if (status != STATUS_OK)
                goto out;
        }
    }
    status = output_commit(&csv);
out:
    output_abort(&csv);
    mem_free(probabilities);
    mem_free(predicted);
    return status;
}

enum status run_export(struct session *session) {
    const struct options *options = session->options;
    const struct cache_split_info *splits = session->info->splits;
    enum status status = export_run(session->cache, options->cache, options->export, options->output);
    char train[32], test[32];
    if (status == STATUS_OK)
        log_info("%s training rows and %s test rows were exported as %s-*.%s",
                 table_count(splits[CACHE_TRAIN].rows, train), table_count(splits[CACHE_TEST].rows, test),
                 options->output, export_names[options->export]);
    return status;
}

enum status run_export_model(struct session *session) {
    const struct options *options = session->options;
    enum status status =
        export_model_run(options->export, options->output, options->head, options->weights, session->kernels);
    if (status == STATUS_OK)
        log_info("the network was exported as %s", options->output);
    return status;
}
