/* session: what the jobs of `train` have in common. */
#include "train/session.h"
#include "common/base/interrupt.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/streams.h"
#include "train/results/table.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum status session_open(struct session *session, const struct options *options) {
    const char *path = options->cache;
    bool taken = streams_of(options->json) == STREAMS_OUTPUT ||
                 streams_of(options->history) == STREAMS_OUTPUT ||
                 streams_of(options->report) == STREAMS_OUTPUT;
    *session = (struct session){.options = options, .people = taken ? stderr : stdout};
    if (path == NULL)
        return head_kernels_select(&session->kernels);
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
    return head_kernels_select(&session->kernels);
}

static void tell_size(size_t nbytes, char text[32]) {
    if (nbytes < (size_t)1 << 30)
        snprintf(text, 32, "%.1f MB", (double)nbytes / (1 << 20));
    else
        snprintf(text, 32, "%.1f GB", (double)nbytes / (1 << 30));
}

/* Bytes that a job takes beside the part of the rows that a fit shuffles: a window of each split, and, for a fit,
 * two batches (shuffle.h). */
static size_t fixed_nbytes(const struct session *session, size_t window_nbytes) {
    const struct cache_info *info = session->info;
    size_t rows = info->splits[CACHE_TRAIN].rows, batch = session->options->settings.batch_size, count = 0;
    for (int s = 0; s < CACHE_SPLITS; s++)
        count += data_window_rows(info, (enum cache_split)s, window_nbytes);
    if (session->options->mode == OPTIONS_FIT)
        count += 2 * (batch < rows ? batch : rows);
    return count * data_row_nbytes(info);
}

/* The limit is below the least that the job needs. */
static enum status too_little(const struct session *session, size_t nbytes, size_t limit, size_t least) {
    const struct options *options = session->options;
    const char *advice = options->mode == OPTIONS_FIT ? "; a smaller --batch-size needs less" : "";
    char all[32], limits[32], leasts[32];
    tell_size(nbytes, all);
    tell_size(limit, limits);
    tell_size(least < nbytes ? least : nbytes, leasts);
    if (options->memory > 0)
        return status_set(STATUS_UNSUPPORTED,
                          "--memory: %s is too little for rows of %" PRIu64 " features; the least is %s%s",
                          limits, session->info->dim, leasts, advice);
    return status_set(STATUS_NO_MEMORY,
                      "%s: %s of features need at least %s of memory, and the machine, its "
                      "control group or ulimit -v leave %s to this process%s",
                      options->cache, all, leasts, limits, advice);
}

/* Decides where the features are kept: all of them in memory, or none. Then half of the limit is for the part of
 * the rows that a fit shuffles and an eighth for the window of each split, as far as what must be there allows. */
static enum status plan_memory(struct session *session) {
    size_t limit = session->options->memory, train = data_nbytes(session->info, CACHE_TRAIN);
    size_t test = data_nbytes(session->info, CACHE_TEST),
           nbytes = train + test < train ? SIZE_MAX : train + test;
    if (limit == 0)
        limit = mem_available_nbytes() / 8 * 7;
    if (nbytes <= limit)
        return STATUS_OK;
    size_t part = data_row_nbytes(session->info) * session->info->splits[CACHE_TRAIN].block_rows;
    session->window_nbytes = fixed_nbytes(session, limit / 8) + part <= limit ? limit / 8 : 0;
    size_t fixed = fixed_nbytes(session, session->window_nbytes);
    if (limit < fixed + part)
        return too_little(session, nbytes, limit, fixed + part);
    session->part_nbytes = limit / 2 < limit - fixed ? limit / 2 : limit - fixed;
    char all[32], limits[32];
    tell_size(nbytes, all);
    tell_size(limit, limits);
    log_info("%s of features stay in the cache and are read in shuffled blocks: the limit is %s (--memory)",
             all, limits);
    return STATUS_OK;
}

enum status session_load(struct session *session) {
    double begin = progress_clock();
    enum status status = plan_memory(session);
    for (int s = 0; s < CACHE_SPLITS && status == STATUS_OK; s++) {
        enum cache_split split = (enum cache_split)s;
        status = session->part_nbytes == 0
                     ? data_load(session->cache, split, &session->data[s])
                     : data_open(session->cache, split, session->window_nbytes, &session->data[s]);
        if (status != STATUS_OK)
            return status;
        if (interrupt_signal())
            return status_set(STATUS_INTERRUPTED, "interrupted while %s was read", session->options->cache);
    }
    if (status != STATUS_OK)
        return status;
    char rows[32];
    log_detail("%s: read and verified %s rows of %" PRIu64 " features in %.2f s", session->options->cache,
               table_count(session->data[0].count + session->data[1].count, rows), session->info->dim,
               progress_clock() - begin);
    return STATUS_OK;
}

enum status session_reload_train(struct session *session) {
    struct data_split *train = &session->data[CACHE_TRAIN];
    if (train->file != NULL) {
        train->file->scale = NULL;
        return STATUS_OK;
    }
    data_unload(train);
    return data_load(session->cache, CACHE_TRAIN, train);
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
    int threads = (int)options->threads;
    enum status status = make_room(session);
    if (status == STATUS_OK)
        status = evaluate_run(&session->head, data_slice(train, 0, train->count), 0, threads, NULL, NULL,
                              &results->train);
    if (status == STATUS_OK && test->count > 0)
        status = evaluate_run(&session->head, data_slice(test, 0, test->count), 0, threads,
                              session->predicted, NULL, &results->test);
    if (status != STATUS_OK)
        return status;
    results->train.loss += penalty;
    results->test.loss += penalty;
    char note[96] = "", rows[32];
    if (fit_count > 0 && fit_count < train->count)
        snprintf(note, sizeof note, "(all training rows; %s of them fitted)", table_count(fit_count, rows));
    table_result(session->people, "training", &results->train, note);
    if (results->validation.rows > 0)
        table_result(session->people, "validation", &results->validation, "(the last training rows)");
    if (test->count == 0)
        return STATUS_OK; /* the data set has no test part */
    table_result(session->people, "test", &results->test, "");
    size_t classes = session->head.classes;
    evaluate_confusion(test->labels, session->predicted, test->count, classes, session->per_class,
                       session->matrix);
    if (options->level != LOG_QUIET)
        table_confusion(session->people, "test", classes, session->per_class, session->matrix);
    return STATUS_OK;
}

enum status session_first(enum status before, enum status now) {
    return before != STATUS_OK && now == STATUS_OK ? before : now;
}
