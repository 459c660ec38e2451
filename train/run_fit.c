/* run_fit: the job of a fit: trains the session's head, saves it, and reports. */
#include "common/blas.h"
#include "common/h5.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/output.h"
#include "common/progress.h"
#include "train/checkpoint.h"
#include "train/fit.h"
#include "train/head_io.h"
#include "train/lbfgs.h"
#include "train/run.h"
#include "train/split.h"
#include "train/standardize.h"
#include "train/table.h"
#include "train/tensorboard.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* All zero: nothing open. */
struct job {
    struct session *session;
    struct fit_options fit; /* the command line's, with the class weights */
    struct standardize standardize;
    struct data_rows fitted, held;
    float *class_weights;
    struct fit_epoch *history;
    struct record_results results;
    struct checkpoint checkpoint; /* of --checkpoint */
    char *settings;               /* its text */
    double penalty;               /* what --l2 adds to the loss */
    struct output json, csv;
};

/* Learns before the work, not after it, that the head cannot be saved as `path`, or would replace a cache. */
static enum status check_head_path(const char *path) {
    struct stat file;
    char format[CACHE_TEXT] = "";
    if (stat(path, &file) == 0) {
        if (!S_ISREG(file.st_mode))
            return status_set(STATUS_IO, "%s: is there and is no regular file; name another with --output",
                              path);
        hid_t existing = H5I_INVALID_HID;
        if (h5_open(&existing, path, false) == STATUS_OK && h5_has_attribute(existing, "format"))
            (void)h5_read_string(existing, "format", format, sizeof format);
        h5_close(&existing);
        if (strcmp(format, "vggcache") == 0)
            return status_set(STATUS_IO,
                              "%s: is a feature cache; name another file for the head with --output", path);
    }
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    enum status status = STATUS_OK;
    if (folder == NULL)
        status = status_set_no_memory(strlen(path), path);
    else if (access(folder, W_OK | X_OK) != 0)
        status = status_set_errno("%s: cannot save the head in the folder %s", path, folder);
    free(folder);
    return status;
}

/* Who hears of each epoch. */
struct listeners {
    struct table_epochs table;
    struct tensorboard *board; /* NULL: none */
    size_t heard;              /* epochs */
    const struct head *head;
};

static enum status on_epoch(void *context, size_t which, const struct fit_epoch *epoch) {
    struct listeners *listeners = context;
    (void)which;
    if (listeners->heard++ == 0 && epoch->epoch > 1)
        log_info("went on behind epoch %zu, from the checkpoint", epoch->epoch - 1);
    table_epochs_line(&listeners->table, epoch);
    progress_update(epoch->epoch);
    return listeners->board == NULL ? STATUS_OK : tensorboard_write(listeners->board, epoch, listeners->head);
}

/* Why L-BFGS ended, and how near to the optimum. */
static void tell_end(const struct lbfgs_result *end, double tolerance) {
    static const char *const reasons[LBFGS_ENDS] = {
        [LBFGS_PATIENCE] = "stopped early",
        [LBFGS_EPOCHS] = "not converged, more --epochs would help",
        [LBFGS_TOLERANCE_MET] = "converged",
        [LBFGS_ROUNDING] = "no step lowers the objective any more, all that floats can give",
    };
    log_info("lbfgs: %s: slope %.2g of that at the start (--tolerance=%g), %zu passes over the rows",
             reasons[end->end], end->slope, tolerance, end->passes);
}

/* Standardizes the training rows, in place: a second copy may not fit into memory. */
static enum status standardize_job(struct job *job) {
    struct session *session = job->session;
    struct data_split *train = &session->data[CACHE_TRAIN];
    enum status status = standardize_measure(&job->standardize, job->fitted, job->fit.threads);
    if (status != STATUS_OK)
        return status;
    standardize_apply(&job->standardize, train, job->fit.threads);
    log_detail("features standardized; %zu of %zu are constant and get no weight",
               job->standardize.constant_count, train->dim);
    return STATUS_OK;
}

static enum status weigh_classes(struct job *job) {
    size_t classes = job->session->head.classes;
    job->class_weights = mem_alloc(classes, sizeof *job->class_weights);
    if (job->class_weights == NULL)
        return status_set_no_memory(classes * sizeof *job->class_weights, "class weights");
    job->fit.class_weights = job->class_weights;
    return fit_balance(job->fitted, classes, job->class_weights);
}

/* All that the bits of the fit depend on, for --checkpoint. */
static enum status list_settings(struct job *job) {
    const struct session *session = job->session;
    const struct options *options = session->options;
    const struct cache_split_info *split = &session->info->splits[CACHE_TRAIN];
    const struct fit_options *fit = &job->fit;
    char value[CACHE_SOURCE];
    size_t nbytes = 0;
    FILE *text = open_memstream(&job->settings, &nbytes);
    if (text == NULL)
        return status_set_no_memory(1000, "settings");
    for (size_t i = 0; i < cache_provenance_count(); i++) {
        const char *name = cache_provenance(session->info, i, value);
        fprintf(text, "cache_%s=%s\n", name, value);
    }
    fprintf(text, "train_rows=%" PRIu64 "\nimages_sha256=%s\nlabels_sha256=%s\n", split->rows,
            split->images_sha256, split->labels_sha256);
    fprintf(text, "fitted_rows=%zu\nkernels=%s\nepochs=%zu\nbatch_size=%zu\nseed=%" PRIu64 "\n",
            job->fitted.count, session->kernels->isa, fit->epochs, fit->batch_size, fit->seed);
    fprintf(text, "optimizer=%s\nlearning_rate=%.17g\nmomentum=%.17g\nnesterov=%d\nl2=%.17g\n",
            optim_names[fit->optim.kind], fit->optim.rate, fit->optim.momentum, fit->optim.nesterov,
            fit->optim.l2);
    fprintf(text, "schedule=%s\nstep_epochs=%zu\nstep_factor=%.17g\nearly_stopping=%zu\n",
            optim_schedule_names[fit->schedule], fit->step_epochs, fit->step_factor, fit->patience);
    fprintf(text, "standardize=%d\nclass_weights=%s\nmemory_for_a_part=%zu\n", options->standardize,
            options_weight_names[options->balanced], fit->part_nbytes);
    if (fclose(text) != 0)
        return status_set_no_memory(nbytes, "settings");
    job->checkpoint = (struct checkpoint){options->checkpoint, options->checkpoint_every, job->settings};
    job->fit.checkpoint = &job->checkpoint;
    return STATUS_OK;
}

/* Everything that can fail before the work: files, memory, rows. */
static enum status prepare(struct job *job) {
    struct session *session = job->session;
    const struct options *options = session->options;
    size_t fit_count = 0;
    job->fit = options->fit;
    job->history = mem_alloc(job->fit.epochs, sizeof *job->history);
    if (job->history == NULL)
        return status_set_no_memory(job->fit.epochs * sizeof *job->history, "the history");
    enum status status =
        split_rows(session->info->splits[CACHE_TRAIN].rows, options->validation_split, &fit_count);
    if (status == STATUS_OK)
        status = check_head_path(options->output);
    if (status == STATUS_OK && options->json != NULL)
        status = output_open(&job->json, options->json);
    if (status == STATUS_OK && options->history != NULL)
        status = output_open(&job->csv, options->history);
    if (status == STATUS_OK)
        status = head_create(&session->head, session->kernels, session->info->dim, session->info->classes);
    if (status == STATUS_OK)
        status = session_load(session);
    if (status != STATUS_OK)
        return status;
    const struct data_split *train = &session->data[CACHE_TRAIN];
    job->fit.part_nbytes = session->part_nbytes;
    if (train->file != NULL && job->fit.optim.kind == OPTIM_LBFGS)
        return status_set(STATUS_UNSUPPORTED, "--optimizer=lbfgs works on all rows at once, which do not fit "
                                              "into memory; use adam or "
                                              "sgd, or a larger --memory");
    job->fitted = data_slice(train, 0, fit_count);
    job->held = data_slice(train, fit_count, train->count - fit_count);
    if (options->standardize)
        status = standardize_job(job);
    if (status == STATUS_OK && options->balanced)
        status = weigh_classes(job);
    if (status == STATUS_OK && options->checkpoint != NULL)
        status = list_settings(job);
    return status;
}

static enum status open_board(struct job *job, struct listeners *listeners) {
    const struct options *options = job->session->options;
    bool whole = job->fit.optim.kind == OPTIM_LBFGS;
    struct tensorboard_options board = {
        .folder = options->logdir,
        .validation = job->held.count > 0,
        .histogram_freq = options->histogram_freq,
        .batches = whole ? 1 : (job->fitted.count - 1) / job->fit.batch_size + 1,
    };
    return options->logdir == NULL ? STATUS_OK : tensorboard_open(&listeners->board, &board);
}

/* Calls the optimizer, which tells the listeners of each epoch. */
static enum status optimize(struct job *job, struct listeners *listeners, size_t *done_ret,
                            struct lbfgs_result *end_ret) {
    struct session *session = job->session;
    const struct fit_options *fit = &job->fit;
    head_initialize(&session->head, fit->seed);
    if (fit->optim.kind == OPTIM_LBFGS) {
        log_detail("%zu rows to fit, lbfgs, OpenBLAS for %s, %d threads", job->fitted.count, blas_core_name(),
                   fit->threads);
        struct lbfgs_options lbfgs = {.l2 = fit->optim.l2,
                                      .tolerance = session->options->tolerance,
                                      .epochs = fit->epochs,
                                      .threads = fit->threads,
                                      .patience = fit->patience,
                                      .class_weights = fit->class_weights};
        return lbfgs_run(&session->head, job->fitted, job->held, &lbfgs, on_epoch, listeners, job->history,
                         done_ret, end_ret);
    }
    log_detail("%zu rows to fit, batches of %zu, %s, rate %g, %s kernels, %d threads", job->fitted.count,
               fit->batch_size, optim_names[fit->optim.kind], fit->optim.rate, session->kernels->isa,
               fit->threads);
    return fit_run(&session->head, job->fitted, job->held, fit, on_epoch, listeners, job->history, done_ret);
}

/* The epoch, from 0, whose weights the head has. */
static size_t kept_epoch(const struct job *job) {
    const struct fit_epoch *history = job->history;
    size_t count = job->results.epochs, best = 0;
    if (job->fit.patience == 0)
        return count - 1;
    for (size_t i = 1; i < count; i++)
        if (history[i].val_loss < history[best].val_loss)
            best = i;
    return best;
}

/* Trains the session's head, telling people of it; fills job->results and job->penalty. */
static enum status learn(struct job *job) {
    struct session *session = job->session;
    const struct options *options = session->options;
    struct listeners listeners = {.head = &session->head};
    struct lbfgs_result end;
    size_t done = 0;
    enum status status = open_board(job, &listeners);
    if (status != STATUS_OK)
        return status;
    bool quiet = options->level == LOG_QUIET;
    table_epochs_begin(&listeners.table, quiet ? NULL : session->report, job->fit.epochs,
                       options->level == LOG_VERBOSE, job->held.count > 0);
    progress_begin("epochs", 0, job->fit.epochs);
    double begin = progress_clock();
    status = optimize(job, &listeners, &done, &end);
    job->results.seconds = progress_clock() - begin;
    job->results.history = job->history;
    job->results.epochs = done;
    progress_end();
    tensorboard_close(listeners.board);
    if (status == STATUS_INTERRUPTED)
        return status_set(status, "%s; %s", status_message(),
                          options->checkpoint != NULL ? "the same command goes on from the last checkpoint"
                          : options->logdir == NULL   ? "nothing was saved"
                                                      : "no head was saved");
    if (status != STATUS_OK)
        return status;
    size_t kept = kept_epoch(job);
    if (job->fit.patience > 0)
        log_info("%zu of %zu epochs; the head is that of epoch %zu", done, job->fit.epochs, kept + 1);
    job->results.validation = (struct evaluate_result){.loss = job->history[kept].val_loss,
                                                       .accuracy = job->history[kept].val_accuracy,
                                                       .rows = job->held.count};
    if (!quiet)
        table_epochs_end(session->report, job->history, done, job->results.seconds);
    if (job->fit.optim.kind == OPTIM_LBFGS)
        tell_end(&end, options->tolerance);
    job->penalty = job->fit.optim.l2 * head_square_sum(&session->head);
    return STATUS_OK;
}

/* How the head was trained, for its file. */
static struct head_io_training describe(const struct job *job) {
    const struct options *options = job->session->options;
    const struct fit_options *fit = &job->fit;
    struct head_io_training training = {
        .epochs = fit->epochs,
        .batch_size = fit->batch_size,
        .seed = fit->seed,
        .nesterov = fit->optim.nesterov,
        .learning_rate = fit->optim.rate,
        .momentum = fit->optim.momentum,
        .l2 = fit->optim.l2,
        .validation_split = options->validation_split,
        .early_stopping = fit->patience,
        .step_epochs = fit->step_epochs,
        .step_factor = fit->step_factor,
        .tolerance = fit->optim.kind == OPTIM_LBFGS ? options->tolerance : 0,
        .standardized = options->standardize,
        .penalty = options->standardize ? job->penalty : 0,
    };
    snprintf(training.optimizer, sizeof training.optimizer, "%s", optim_names[fit->optim.kind]);
    snprintf(training.schedule, sizeof training.schedule, "%s", optim_schedule_names[fit->schedule]);
    snprintf(training.class_weights, sizeof training.class_weights, "%s",
             options_weight_names[options->balanced]);
    snprintf(training.isa, sizeof training.isa, "%s", job->session->kernels->isa);
    return training;
}

static enum status save(struct job *job) {
    struct session *session = job->session;
    struct head_io_training training = describe(job);
    enum status status = STATUS_OK;
    if (session->options->standardize) {
        status = standardize_fold(&job->standardize, &session->head);
        if (status == STATUS_OK) /* the features as they are, which the head is for now */
            status = session_reload_train(session);
    }
    if (status == STATUS_OK)
        status = head_io_write(session->options->output, &session->head, &training, session->info);
    return status;
}

/* Results for people, then for programs. */
static enum status tell(struct job *job) {
    const struct options *options = job->session->options;
    enum status status = session_evaluate(job->session, job->penalty, job->fitted.count, &job->results);
    if (status == STATUS_INTERRUPTED)
        return status_set(status, "%s; the head was saved as %s", status_message(), options->output);
    if (status == STATUS_OK && options->history != NULL) {
        record_history(job->csv.stream, job->results.history, job->results.epochs);
        status = output_commit(&job->csv);
    }
    if (status == STATUS_OK && options->json != NULL)
        status = session_write_json(&job->json, &job->results);
    if (status == STATUS_OK)
        log_info("the head was saved as %s", options->output);
    return status;
}

enum status run_fit(struct session *session) {
    struct job job = {.session = session};
    enum status status = prepare(&job);
    if (status == STATUS_OK)
        status = learn(&job);
    if (status == STATUS_OK)
        status = save(&job);
    if (status == STATUS_OK)
        status = tell(&job);
    if (status == STATUS_OK && session->options->checkpoint != NULL)
        unlink(session->options->checkpoint);
    output_abort(&job.csv);
    output_abort(&job.json);
    free(job.settings);
    mem_free(job.class_weights);
    mem_free(job.history);
    standardize_free(&job.standardize);
    return status;
}
