/* session: what the jobs of `train` have in common. */
#include "train/session.h"
#include "common/interrupt.h"
#include "common/mem.h"
#include "common/progress.h"
#include "common/streams.h"
#include "train/table.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFIDENCE_ROWS = 4096 }; /* whose probabilities are in memory at a time */

enum status session_open(struct session *session, const struct options *options) {
    const char *path = options->cache;
    bool taken = streams_of(options->json) == STREAMS_OUTPUT ||
                 streams_of(options->history) == STREAMS_OUTPUT ||
                 streams_of(options->report) == STREAMS_OUTPUT;
    *session = (struct session){.options = options, .report = taken ? stderr : stdout};
    if (path == NULL)
        return kernels_select(&session->kernels);
    char *partial = cache_partial_path(path);
    if (partial != NULL && access(path, F_OK) != 0 && access(partial, F_OK) == 0) {
        enum status status = status_set(STATUS_FORMAT,
                                        "%s: not finished, there is only %s; finish it with the same extract "
                                        "command",
                                        path, partial);
        free(partial);
        return status;
    }
    free(partial);
    enum status status = cache_open(&session->cache, path);
    if (status != STATUS_OK)
        return status;
    session->info = cache_info(session->cache);
    const struct cache_split_info *train = &session->info->splits[CACHE_TRAIN],
                                  *test = &session->info->splits[CACHE_TEST];
    if (!session->info->complete)
        return status_set(STATUS_FORMAT,
                          "%s: not finished, %" PRIu64 " of %" PRIu64 " training rows and %" PRIu64
                          " of %" PRIu64 " test rows are there; finish it with the same extract command",
                          path, train->progress, train->rows, test->progress, test->rows);
    return kernels_select(&session->kernels);
}

static void tell_size(size_t nbytes, char text[32]) {
    if (nbytes < (size_t)1 << 30)
        snprintf(text, 32, "%.1f MB", (double)nbytes / (1 << 20));
    else
        snprintf(text, 32, "%.1f GB", (double)nbytes / (1 << 30));
}

/* Decides where the features are kept: all of them in memory, or none. */
static void plan_memory(struct session *session) {
    size_t limit = session->options->memory, train = data_nbytes(session->info, CACHE_TRAIN);
    size_t test = data_nbytes(session->info, CACHE_TEST),
           nbytes = train + test < train ? SIZE_MAX : train + test;
    if (limit == 0)
        limit = mem_available_nbytes() / 8 * 7;
    if (nbytes <= limit)
        return;
    session->part_nbytes = limit / 2;
    char all[32], limits[32];
    tell_size(nbytes, all);
    tell_size(limit, limits);
    log_info("%s of features stay in the cache and are read in shuffled blocks: the limit is %s (--memory)",
             all, limits);
}

enum status session_load(struct session *session) {
    double begin = progress_clock();
    plan_memory(session);
    for (int s = 0; s < CACHE_SPLITS; s++) {
        enum cache_split split = (enum cache_split)s;
        enum status status =
            session->part_nbytes == 0
                ? data_load(session->cache, split, &session->data[s])
                : data_open(session->cache, split, session->part_nbytes / 4, &session->data[s]);
        if (status != STATUS_OK)
            return status;
        if (interrupt_signal())
            return status_set(STATUS_INTERRUPTED, "interrupted while %s was read", session->options->cache);
    }
    char rows[32];
    log_detail("%s: read and verified %s rows of %" PRIu64 " features in %.2f s", session->options->cache,
               table_count(session->data[0].count + session->data[1].count, rows), session->info->dim,
               progress_clock() - begin);
    return STATUS_OK;
}

enum status session_reload_train(struct session *session) {
    struct data_split *train = &session->data[CACHE_TRAIN];
    if (train->file != NULL) {
        train->file->standardize = NULL;
        return STATUS_OK;
    }
    data_unload(train);
    return data_load(session->cache, CACHE_TRAIN, train);
}

enum status session_open_report(struct session *session) {
    const struct options *options = session->options;
    enum status status = STATUS_OK;
    if (options->images != NULL)
        status = report_images_open(&session->images, options->images, session->info, options->cache);
    if (status == STATUS_OK && options->report != NULL)
        status = output_open(&session->page, options->report);
    return status;
}

void session_close(struct session *session) {
    output_abort(&session->page);
    report_images_close(session->images);
    mem_free(session->matrix);
    mem_free(session->per_class);
    mem_free(session->predicted);
    head_free(&session->head);
    for (int s = 0; s < CACHE_SPLITS; s++)
        data_unload(&session->data[s]);
    cache_close(session->cache);
}

/* Room for what session_evaluate() leaves. */
static enum status make_room(struct session *session) {
    size_t rows = session->data[CACHE_TEST].count, classes = session->head.classes;
    bool small = classes <= TABLE_MATRIX_MAX;
    session->predicted = mem_alloc(rows, sizeof *session->predicted);
    session->per_class = mem_alloc(classes, sizeof *session->per_class);
    session->matrix = small ? mem_alloc(classes * classes, sizeof *session->matrix) : NULL;
    if (session->predicted == NULL || session->per_class == NULL || (small && session->matrix == NULL))
        return status_set_no_memory(rows * sizeof *session->predicted, "evaluation");
    return STATUS_OK;
}

enum status session_evaluate(struct session *session, double penalty, size_t fit_count,
                             struct record_results *results) {
    const struct options *options = session->options;
    const struct data_split *train = &session->data[CACHE_TRAIN], *test = &session->data[CACHE_TEST];
    int threads = options->fit.threads;
    enum status status = make_room(session);
    if (status == STATUS_OK)
        status = evaluate_run(&session->head, data_slice(train, 0, train->count), 0, threads, NULL, NULL,
                              &results->train);
    if (status == STATUS_OK)
        status = evaluate_run(&session->head, data_slice(test, 0, test->count), 0, threads,
                              session->predicted, NULL, &results->test);
    if (status != STATUS_OK)
        return status;
    results->train.loss += penalty;
    results->test.loss += penalty;
    char note[96] = "", rows[32];
    if (fit_count > 0 && fit_count < train->count)
        snprintf(note, sizeof note, "(all training rows; %s of them fitted)", table_count(fit_count, rows));
    table_result(session->report, "training", &results->train, note);
    if (results->validation.rows > 0)
        table_result(session->report, "validation", &results->validation, "(the last training rows)");
    table_result(session->report, "test", &results->test, "");
    size_t classes = session->head.classes;
    evaluate_confusion(test->labels, session->predicted, test->count, classes, session->per_class,
                       session->matrix);
    if (options->level != LOG_QUIET)
        table_confusion(session->report, "test", classes, session->per_class, session->matrix);
    return STATUS_OK;
}

enum status session_first(enum status before, enum status now) {
    return before != STATUS_OK && now == STATUS_OK ? before : now;
}

enum status session_write_json(struct output *output, const struct record_results *results) {
    enum status status = record_json(output->stream, results);
    return status == STATUS_OK ? output_commit(output) : status;
}

/* The probabilities of the class that was predicted for each test row, and of its label. */
static enum status measure_confidence(const struct session *session, float *predicted, float *label) {
    const struct data_split *test = &session->data[CACHE_TEST];
    size_t classes = session->head.classes;
    struct evaluate_result ignored;
    enum status status = STATUS_OK;
    float *probabilities = mem_alloc(CONFIDENCE_ROWS * classes, sizeof *probabilities);
    if (probabilities == NULL)
        return status_set_no_memory(CONFIDENCE_ROWS * classes * sizeof *probabilities, "the report");
    for (size_t first = 0; first < test->count && status == STATUS_OK; first += CONFIDENCE_ROWS) {
        size_t left = test->count - first, count = left < CONFIDENCE_ROWS ? left : CONFIDENCE_ROWS;
        status = evaluate_run(&session->head, data_slice(test, first, count), 0,
                              session->options->fit.threads, NULL, probabilities, &ignored);
        for (size_t r = 0; r < count && status == STATUS_OK; r++) {
            predicted[first + r] = probabilities[r * classes + session->predicted[first + r]];
            label[first + r] = probabilities[r * classes + test->labels[first + r]];
        }
    }
    mem_free(probabilities);
    return status;
}

enum status session_write_report(struct session *session, const struct record_results *results, size_t kept,
                                 const struct head_io_training *training) {
    const struct data_split *test = &session->data[CACHE_TEST];
    float *predicted = mem_alloc(test->count, sizeof *predicted),
          *label = mem_alloc(test->count, sizeof *label);
    enum status status = STATUS_OK;
    if (predicted == NULL || label == NULL)
        status = status_set_no_memory(test->count * sizeof *predicted, "the report");
    if (status == STATUS_OK)
        status = measure_confidence(session, predicted, label);
    struct report_input input = {.argv = (const char *const *)session->options->argv,
                                 .results = results,
                                 .kept = kept,
                                 .training = training,
                                 .info = session->info,
                                 .head_path = results->history != NULL ? session->options->output
                                                                       : session->options->head,
                                 .cache_path = session->options->cache,
                                 .classes = session->head.classes,
                                 .labels = test->labels,
                                 .predicted = session->predicted,
                                 .probabilities = predicted,
                                 .label_probabilities = label,
                                 .per_class = session->per_class,
                                 .matrix = session->matrix,
                                 .images = session->images};
    if (status == STATUS_OK)
        status = report_write(session->page.stream, &input);
    if (status == STATUS_OK)
        status = output_commit(&session->page);
    mem_free(label);
    mem_free(predicted);
    return status;
}
