/* run_sweep: the job of trying several settings: fits a head for each, side by side, on one split or on
 * folds, ranks them by validation, and keeps the best or fits it again to all training rows. */
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "train/fit/sweep.h"
#include "train/job.h"
#include "train/jobs.h"
#include "train/results/table.h"
#include "train/results/tensorboard.h"
#include "train/rows/folds.h"

#include <stdlib.h>
#include <string.h>

/* All zero: nothing. */
struct trial {
    struct job *job;
    const struct sweep *sweep;
    size_t count; /* of combinations */
    struct head *kernels;
    struct fit_head *heads;       /* [count] */
    struct sweep_result *results; /* [count] */
    struct tensorboard **boards;  /* [count] of --logdir; NULL: none */
    size_t folds, fold;           /* 1, 0 without --folds */
    size_t heard;                 /* epochs that were told, of all heads */
    double seconds;
};

static enum status create(struct trial *trial) {
    const struct job *job = trial->job;
    const struct head *shape = &job->session->head;
    size_t count = trial->count;
    trial->kernels = calloc(count, sizeof *trial->kernels);
    trial->heads = calloc(count, sizeof *trial->heads);
    trial->results = calloc(count, sizeof *trial->results);
    trial->boards = calloc(count, sizeof *trial->boards);
    if (!trial->kernels || !trial->heads || !trial->results || !trial->boards)
        return status_set_no_memory(count * sizeof *trial->heads, "the sweep");
    for (size_t i = 0; i < count; i++) {
        enum status status = head_create(&trial->kernels[i], shape->kernels, shape->dim, shape->classes);
        if (status != STATUS_OK)
            return status;
        trial->heads[i] = (struct fit_head){.head = &trial->kernels[i],
                                            .optim = sweep_settings(trial->sweep, i, &job->fit.optim),
                                            .history = mem_alloc(job->fit.epochs, sizeof(struct fit_epoch))};
        if (trial->heads[i].history == NULL)
            return status_set_no_memory(job->fit.epochs * sizeof(struct fit_epoch), "the history");
        trial->results[i] = (struct sweep_result){.index = i, .optim = trial->heads[i].optim};
    }
    return STATUS_OK;
}

static void destroy(struct trial *trial) {
    for (size_t i = 0; i < trial->count; i++) {
        if (trial->boards != NULL)
            tensorboard_close(trial->boards[i]);
        if (trial->heads != NULL)
            mem_free(trial->heads[i].history);
        if (trial->kernels != NULL)
            head_free(&trial->kernels[i]);
    }
    free(trial->boards);
    free(trial->results);
    free(trial->heads);
    free(trial->kernels);
}

/* A folder of its own for each combination, below --logdir. */
static enum status open_boards(struct trial *trial) {
    const struct job *job = trial->job;
    const struct options *options = job->session->options;
    enum status status = STATUS_OK;
    if (options->logdir == NULL)
        return STATUS_OK;
    for (size_t i = 0; i < trial->count && status == STATUS_OK; i++) {
        char name[SWEEP_NAME], *folder = NULL;
        if (asprintf(&folder, "%s/%s", options->logdir, sweep_name(trial->sweep, i, name)) < 0)
            return status_set_no_memory(sizeof name, options->logdir);
        struct tensorboard_options board = {.folder = folder,
                                            .validation = true,
                                            .histogram_freq = options->histogram_freq,
                                            .batches = (job->fitted.count - 1) / job->fit.batch_size + 1};
        status = tensorboard_open(&trial->boards[i], &board);
        free(folder);
    }
    return status;
}

static enum status on_epoch(void *context, size_t which, const struct fit_epoch *epoch) {
    struct trial *trial = context;
    if (trial->heard++ == 0 && epoch->epoch > 1)
        log_info("went on behind epoch %zu, from the checkpoint", epoch->epoch - 1);
    progress_update(trial->fold * trial->job->fit.epochs + epoch->epoch);
    return trial->boards[which] == NULL
               ? STATUS_OK
               : tensorboard_write(trial->boards[which], epoch, trial->heads[which].head);
}

/* L-BFGS takes all rows at once, so that its heads come one after another. */
static enum status fit_lbfgs(struct trial *trial) {
    struct job *job = trial->job;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < trial->count && status == STATUS_OK; i++) {
        struct fit_head *head = &trial->heads[i];
        struct lbfgs_result end;
        struct lbfgs_options options = job_lbfgs_options(job, head->optim.l2);
        status = lbfgs_run(head->head, job->fitted, job->held, &options, NULL, NULL, head->history,
                           &head->done, &end);
        progress_update(trial->fold * trial->count + i + 1);
    }
    return status;
}

/* Fits all heads to the rows in use, and adds how they fared to their results. */
static enum status fit_all(struct trial *trial) {
    struct job *job = trial->job;
    for (size_t i = 0; i < trial->count; i++)
        head_initialize(trial->heads[i].head, job->fit.seed);
    double begin = progress_clock();
    enum status status =
        job->fit.optim.kind == OPTIM_LBFGS
            ? fit_lbfgs(trial)
            : fit_heads(trial->heads, trial->count, job->fitted, job->held, &job->fit, on_epoch, trial);
    trial->seconds += progress_clock() - begin;
    if (status == STATUS_INTERRUPTED)
        return status_set(status, "%s; %s", status_message(),
                          job->fit.checkpoint != NULL ? "the same command goes on from the last checkpoint"
                                                      : "no head was saved");
    for (size_t i = 0; i < trial->count && status == STATUS_OK; i++) {
        const struct fit_head *head = &trial->heads[i];
        if (head->diverged > 0) {
            trial->results[i].diverged = head->diverged;
            continue;
        }
        const struct fit_epoch *kept = &head->history[job_kept_epoch(job, head->history, head->done)];
        sweep_add(&trial->results[i], kept->loss, kept->accuracy, kept->val_loss, kept->val_accuracy,
                  kept->epoch);
    }
    return status;
}

/* On each fold in turn: the rows are read again, so that nothing of the fold before is left in them. */
static enum status fit_folds(struct trial *trial) {
    struct job *job = trial->job;
    struct session *session = job->session;
    enum status status = STATUS_OK;
    for (trial->fold = 0; trial->fold < trial->folds && status == STATUS_OK; trial->fold++) {
        size_t fit_count = 0;
        status = session_reload_train(session);
        if (status == STATUS_OK)
            status = folds_arrange(&session->data[CACHE_TRAIN], session->head.classes, trial->fold,
                                   trial->folds, &fit_count);
        if (status == STATUS_OK)
            status = job_use_rows(job, fit_count);
        if (status == STATUS_OK)
            status = fit_all(trial);
    }
    return status;
}

/* Ranks, and tells people. STATUS_NOT_FINITE when none is left. */
static enum status rank(struct trial *trial) {
    const struct session *session = trial->job->session;
    sweep_rank(trial->results, trial->count);
    table_sweep(session->people, trial->sweep, trial->results, trial->count, trial->folds,
                session->options->level == LOG_QUIET     ? 1
                : session->options->level == LOG_VERBOSE ? SIZE_MAX
                                                         : 40);
    if (session->options->level != LOG_QUIET)
        table_sweep_end(session->people, trial->count, trial->folds, trial->seconds);
    if (trial->results[0].diverged > 0)
        return status_set(STATUS_NOT_FINITE, "all diverged; try smaller rates, as --learning-rate=%g",
                          trial->results[0].optim.rate / 10);
    return STATUS_OK;
}

/* The best head becomes the session's. */
static void keep_best(struct trial *trial) {
    struct job *job = trial->job;
    struct head *head = &job->session->head;
    const struct fit_head *best = &trial->heads[trial->results[0].index];
    job->fit.optim = best->optim;
    memcpy(head->kernel, best->head->kernel, head_weights(head) * sizeof(float));
    memcpy(head->bias, best->head->bias, head->columns * sizeof(float));
    memcpy(job->history, best->history, best->done * sizeof *job->history);
    job_take_results(job, best->done, trial->seconds);
}

/* Fits the best settings to all training rows, for as many epochs as were best, at the rates that they had.
 */
static enum status refit(struct trial *trial) {
    struct job *job = trial->job;
    struct session *session = job->session;
    const struct sweep_result *best = &trial->results[0];
    job->fit.optim = best->optim;
    job->fit.checkpoint = NULL;
    job->fit.schedule_epochs = job->fit.epochs;
    if (job->fit.patience > 0)
        job->fit.epochs = (size_t)(best->epochs + 0.5);
    job->fit.patience = 0;
    job->validation_split = 0;
    log_info("fitting the best settings again, to all %zu training rows", session->data[CACHE_TRAIN].count);
    enum status status = session_reload_train(session);
    if (status == STATUS_OK)
        status = job_use_rows(job, session->data[CACHE_TRAIN].count);
    if (status == STATUS_OK)
        status = job_learn(job);
    return status;
}

/* l2=0,01 is a list of two. */
static void warn_of_comma(const char *text) {
    size_t length;
    const char *odd = text != NULL ? sweep_odd_value(text, &length) : NULL;
    if (odd != NULL)
        log_info(
            "--sweep: %.*s is taken as %g: a comma stands between values, the decimal mark is a point (as in 0.01)",
            (int)length, odd, strtod(odd, NULL));
}

static enum status try_all(struct trial *trial) {
    struct job *job = trial->job;
    enum status status = create(trial);
    if (status == STATUS_OK)
        status = open_boards(trial);
    if (status != STATUS_OK)
        return status;
    if (job->fit.optim.kind == OPTIM_LBFGS)
        progress_begin("heads", 0, trial->folds * trial->count);
    else
        progress_begin("epochs", 0, trial->folds * job->fit.epochs);
    status = trial->folds > 1 ? fit_folds(trial) : fit_all(trial);
    progress_end();
    if (status == STATUS_OK)
        status = rank(trial);
    return status;
}

enum status run_sweep(struct session *session) {
    const struct options *options = session->options;
    struct job job = {0};
    struct trial trial = {.job = &job,
                          .sweep = &options->sweep,
                          .count = options->sweep.count,
                          .folds = options->folds > 0 ? options->folds : 1};
    size_t fit_count = 0;
    warn_of_comma(options->sweep_text);
    enum status status = job_prepare(&job, session, &fit_count);
    if (status == STATUS_OK && trial.folds > session->data[CACHE_TRAIN].count)
        status = status_set(STATUS_MISMATCH, "--folds=%zu: there are %zu training rows", trial.folds,
                            session->data[CACHE_TRAIN].count);
    if (status == STATUS_OK && trial.folds > 1 && session->part_nbytes > 0)
        status = status_set(STATUS_UNSUPPORTED, "--folds needs all rows in memory; try a larger --memory");
    if (status == STATUS_OK && trial.folds == 1)
        status = job_use_rows(&job, fit_count);
    if (status == STATUS_OK && options->checkpoint != NULL)
        status = job_use_checkpoint(&job);
    if (status == STATUS_OK)
        status = try_all(&trial);
    if (status == STATUS_OK && !options->refit && trial.folds == 1)
        keep_best(&trial);
    else if (status == STATUS_OK)
        status = refit(&trial);
    if (status == STATUS_OK)
        status = job_save(&job);
    job.results.sweep =
        (struct record_sweep){.ranked = trial.results, .count = trial.count, .folds = trial.folds};
    if (status == STATUS_OK)
        status = job_tell(&job);
    if (status == STATUS_OK && options->checkpoint != NULL)
        output_remove(options->checkpoint);
    destroy(&trial);
    job_close(&job);
    return status;
}
