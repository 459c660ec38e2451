/* run_predict: the job of classifying the rows of a cache by a saved head, as CSV. */
#include "common/base/mem.h"
#include "train/fit/evaluate.h"
#include "train/head/head_io.h"
#include "train/jobs.h"

enum { PREDICT_ROWS = 4096 };

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
            status = evaluate_run(&session->head, data_slice(data, first, count), 0, (int)options->threads,
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
