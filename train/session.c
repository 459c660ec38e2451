/* session: what the jobs of `train` have in common. */
#include "train/session.h"
#include "common/interrupt.h"
#include "common/mem.h"
#include "common/progress.h"
#include "train/table.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_standard_output(const char *path) {
    return path != NULL && strcmp(path, "-") == 0;
}

enum status session_open(struct session *session, const struct options *options) {
    const char *path = options->cache;
    bool taken = is_standard_output(options->json) || is_standard_output(options->history);
    *session = (struct session){.options = options, .report = taken ? stderr : stdout};
    if (path == NULL)
        return kernels_select(&session->kernels);
    char *partial = output_partial_path(path);
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

void session_close(struct session *session) {
    head_free(&session->head);
    for (int s = 0; s < CACHE_SPLITS; s++)
        data_unload(&session->data[s]);
    cache_close(session->cache);
}

enum status session_evaluate(struct session *session, double penalty, size_t fit_count,
                             struct record_results *results) {
    const struct options *options = session->options;
    const struct data_split *train = &session->data[CACHE_TRAIN], *test = &session->data[CACHE_TEST];
    size_t classes = session->head.classes;
    int threads = options->fit.threads;
    uint16_t *predicted = mem_alloc(test->count, sizeof *predicted);
    struct evaluate_class *per_class = mem_alloc(classes, sizeof *per_class);
    size_t *matrix = NULL;
    enum status status;
    if (classes <= TABLE_MATRIX_MAX)
        matrix = mem_alloc(classes * classes, sizeof *matrix);
    if (predicted == NULL || per_class == NULL || (matrix == NULL && classes <= TABLE_MATRIX_MAX)) {
        status = status_set_no_memory(test->count * sizeof *predicted, "evaluation");
        goto out;
    }
    status = evaluate_run(&session->head, data_slice(train, 0, train->count), 0, threads, NULL, NULL,
                          &results->train);
    if (status == STATUS_OK)
        status = evaluate_run(&session->head, data_slice(test, 0, test->count), 0, threads, predicted, NULL,
                              &results->test);
    if (status != STATUS_OK)
        goto out;
    results->train.loss += penalty;
    results->test.loss += penalty;
    char note[96] = "", rows[32];
    if (fit_count > 0 && fit_count < train->count)
        snprintf(note, sizeof note, "(all training rows; %s of them fitted)", table_count(fit_count, rows));
    table_result(session->report, "training", &results->train, note);
    if (results->validation.rows > 0)
        table_result(session->report, "validation", &results->validation, "(the last training rows)");
    table_result(session->report, "test", &results->test, "");
    if (options->level != LOG_QUIET) {
        evaluate_confusion(test->labels, predicted, test->count, classes, per_class, matrix);
        table_confusion(session->report, "test", classes, per_class, matrix);
    }
out:
    mem_free(matrix);
    mem_free(per_class);
    mem_free(predicted);
    return status;
}

enum status session_write_json(struct output *output, const struct record_results *results) {
    enum status status = record_json(output->stream, results);
    return status == STATUS_OK ? output_commit(output) : status;
}
