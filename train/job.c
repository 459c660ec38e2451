/* job: what every fit consists of, before and after it. */
#include "train/job.h"
#include "common/base/blas.h"
#include "common/base/h5.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "train/head/head_io.h"
#include "train/outputs.h"
#include "train/results/table.h"
#include "train/results/tensorboard.h"
#include "train/rows/split.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum status job_prepare(struct job *job, struct session *session, size_t *fit_count_ret) {
    const struct options *options = session->options;
    const struct settings *settings = &options->settings;
    *job = (struct job){.session = session,
                        .validation_split = settings->validation_split,
                        .fit = {.epochs = settings->epochs,
                                .batch_size = settings->batch_size,
                                .seed = settings->seed,
                                .threads = (int)options->threads,
                                .optim = optim_from_settings(settings),
                                .schedule = (enum optim_schedule)settings->schedule,
                                .step_epochs = settings->step_epochs,
                                .step_factor = settings->step_factor,
                                .patience = settings->early_stopping}};
    job->history = mem_alloc(job->fit.epochs, sizeof *job->history);
    if (job->history == NULL)
        return status_set_no_memory(job->fit.epochs * sizeof *job->history, "the history");
    enum status status =
        split_rows(session->info->splits[CACHE_TRAIN].rows, settings->validation_split, fit_count_ret);
    if (status == STATUS_OK && job->fit.optim.kind == OPTIM_LBFGS)
        status = blas_init(job->fit.threads);
    if (status == STATUS_OK)
        status = outputs_check_head(options->output);
    if (status == STATUS_OK)
        status = outputs_open_report(session);
    if (status == STATUS_OK && options->json != NULL)
        status = output_open(&job->json, options->json);
    if (status == STATUS_OK && options->history != NULL)
        status = output_open(&job->csv, options->history);
    if (status == STATUS_OK)
        status = head_create(&session->head, session->kernels, session->info->dim, session->info->classes);
    if (status == STATUS_OK)
        status = session_load(session);
    job->fit.part_nbytes = session->part_nbytes;
    return status;
}

void job_close(struct job *job) {
    output_abort(&job->csv);
    output_abort(&job->json);
    free(job->settings);
    mem_free(job->class_weights);
    mem_free(job->history);
    scale_free(&job->scale);
}

/* Standardizes the training rows, in place: a second copy may not fit into memory. */
static enum status standardize_train(struct job *job) {
    struct session *session = job->session;
    struct data_split *train = &session->data[CACHE_TRAIN];
    scale_free(&job->scale);
    enum status status = standardize_measure(&job->scale, job->fitted, job->fit.threads);
    if (status != STATUS_OK)
        return status;
    data_scale(train, &job->scale, job->fit.threads);
    log_detail("features standardized; %zu of %zu are constant and get no weight", job->scale.constant_count,
               train->dim);
    return STATUS_OK;
}

static enum status weigh_classes(struct job *job) {
    size_t classes = job->session->head.classes;
    if (job->class_weights == NULL)
        job->class_weights = mem_alloc(classes, sizeof *job->class_weights);
    if (job->class_weights == NULL)
        return status_set_no_memory(classes * sizeof *job->class_weights, "class weights");
    job->fit.class_weights = job->class_weights;
    return fit_balance(job->fitted, classes, job->class_weights);
}

/* Keras' rule holds back the LAST rows. Of data sorted by class these are (nearly) whole classes, for which the fit is
 * then worth nothing: warns of classes of which no row is fitted, or less than a quarter of their share. */
static enum status warn_of_unfitted(const struct job *job) {
    enum { NAMED_MAX = 8 };
    size_t classes = job->session->head.classes, count = 0, used = 0;
    size_t rows = job->fitted.count + job->held.count;
    char names[64 * NAMED_MAX] = "";
    size_t *fitted = calloc(2 * classes, sizeof *fitted), *held = fitted + classes;
    if (fitted == NULL)
        return status_set_no_memory(2 * classes * sizeof *fitted, "classes");
    for (size_t r = 0; r < job->fitted.count; r++)
        fitted[job->fitted.labels[r]]++;
    for (size_t r = 0; r < job->held.count; r++)
        held[job->held.labels[r]]++;
    for (size_t c = 0; c < classes; c++) {
        size_t all = fitted[c] + held[c];
        double share = (double)all * (double)job->fitted.count / (double)rows;
        if (held[c] == 0 || (fitted[c] > 0 && (double)fitted[c] >= share / 4))
            continue;
        if (count++ < NAMED_MAX)
            used += (size_t)snprintf(names + used, sizeof names - used, "%sclass %zu (%zu of %zu)",
                                     used > 0 ? ", " : "", c, fitted[c], all);
    }
    free(fitted);
    if (count > 0)
        log_warning(
            "few or no rows are fitted of %s%s: the others are among the last rows, which "
            "--validation-split holds back for validation; are the data sorted by class? --folds=5 fits and "
            "validates on parts of each class",
            names, count > NAMED_MAX ? " and more" : "");
    return STATUS_OK;
}

enum status job_use_rows(struct job *job, size_t fit_count) {
    const struct options *options = job->session->options;
    const struct data_split *train = &job->session->data[CACHE_TRAIN];
    if (train->file != NULL && job->fit.optim.kind == OPTIM_LBFGS)
        return status_set(STATUS_UNSUPPORTED, "--optimizer=lbfgs works on all rows at once, which do not fit "
                                              "into memory; use "
                                              "adam or sgd, or a larger --memory");
    job->fitted = data_slice(train, 0, fit_count);
    job->held = data_slice(train, fit_count, train->count - fit_count);
    enum status status = options->folds == 0 ? warn_of_unfitted(job) : STATUS_OK;
    if (status == STATUS_OK && options->settings.standardize)
        status = standardize_train(job);
    if (status == STATUS_OK && options->settings.class_weights == 1)
        status = weigh_classes(job);
    return status;
}

enum status job_use_checkpoint(struct job *job) {
    const struct session *session = job->session;
    const struct options *options = session->options;
    const struct cache_split_info *split = &session->info->splits[CACHE_TRAIN];
    bool lbfgs = job->fit.optim.kind == OPTIM_LBFGS;
    char value[CACHE_SOURCE];
    size_t nbytes = 0;
    FILE *text = open_memstream(&job->settings, &nbytes);
    if (text == NULL)
        return status_set_no_memory(1000, "settings");
    for (size_t i = 0; i < cache_provenance_count(); i++) {
        const char *name = cache_provenance(session->info, i, value);
        fprintf(text, "cache_%s=%s\n", name, value);
    }
    fprintf(text, "train_rows=%" PRIu64 "\nimages_sha256=%s\nlabels_sha256=%s\nfitted_rows=%zu\n",
            split->rows, split->images_sha256, split->labels_sha256, job->fitted.count);
    for (const struct option_row *row = settings_rows; row->name != NULL; row++)
        fprintf(text, "%s=%s\n", row->attribute, settings_text(&options->settings, row, value));
    fprintf(text, "kernels=%s\nblas=%s\nsweep=%s\nmemory_for_a_part=%zu\n", session->kernels->isa,
            lbfgs ? blas_core_name() : "none", options->sweep_text != NULL ? options->sweep_text : "",
            job->fit.part_nbytes);
    if (fclose(text) != 0)
        return status_set_no_memory(nbytes, "settings");
    enum status status = outputs_check_folder(options->checkpoint, "the checkpoint");
    if (status != STATUS_OK)
        return status;
    job->checkpoint = (struct checkpoint){options->checkpoint, options->checkpoint_every, job->settings};
    job->fit.checkpoint = &job->checkpoint;
    return STATUS_OK;
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
        struct lbfgs_options lbfgs = job_lbfgs_options(job, fit->optim.l2);
        return lbfgs_run(&session->head, job->fitted, job->held, &lbfgs, on_epoch, listeners, job->history,
                         done_ret, end_ret);
    }
    log_detail("%zu rows to fit, batches of %zu, %s, rate %g, %s kernels, %d threads", job->fitted.count,
               fit->batch_size, settings_optimizers[fit->optim.kind], fit->optim.rate, session->kernels->isa,
               fit->threads);
    return fit_run(&session->head, job->fitted, job->held, fit, on_epoch, listeners, job->history, done_ret);
}

struct lbfgs_options job_lbfgs_options(const struct job *job, double l2) {
    return (struct lbfgs_options){.l2 = l2,
                                  .tolerance = job->session->options->settings.tolerance,
                                  .epochs = job->fit.epochs,
                                  .threads = job->fit.threads,
                                  .patience = job->fit.patience,
                                  .class_weights = job->fit.class_weights,
                                  .checkpoint = job->fit.checkpoint};
}

size_t job_kept_epoch(const struct job *job, const struct fit_epoch *history, size_t count) {
    size_t best = 0;
    if (job->fit.patience == 0)
        return count - 1;
    for (size_t i = 1; i < count; i++)
        if (history[i].val_loss < history[best].val_loss)
            best = i;
    return best;
}

void job_take_results(struct job *job, size_t epochs, double seconds) {
    const struct fit_epoch *kept = &job->history[job_kept_epoch(job, job->history, epochs)];
    job->results.history = job->history;
    job->results.epochs = epochs;
    job->results.seconds = seconds;
    job->results.validation = (struct evaluate_result){
        .loss = kept->val_loss, .accuracy = kept->val_accuracy, .rows = job->held.count};
    job->penalty = job->fit.optim.l2 * head_square_sum(&job->session->head);
}

enum status job_learn(struct job *job) {
    struct session *session = job->session;
    const struct options *options = session->options;
    struct listeners listeners = {.head = &session->head};
    struct lbfgs_result end;
    size_t done = 0;
    enum status status = open_board(job, &listeners);
    if (status != STATUS_OK)
        return status;
    bool quiet = options->level == LOG_QUIET;
    table_epochs_begin(&listeners.table, quiet ? NULL : session->people, job->fit.epochs,
                       options->level == LOG_VERBOSE, job->held.count > 0);
    progress_begin("epochs", 0, job->fit.epochs);
    double begin = progress_clock();
    status = optimize(job, &listeners, &done, &end);
    double seconds = progress_clock() - begin;
    progress_end();
    tensorboard_close(listeners.board);
    if (status == STATUS_INTERRUPTED)
        return status_set(status, "%s; %s", status_message(),
                          options->checkpoint != NULL ? "the same command goes on from the last checkpoint"
                          : options->logdir == NULL   ? "nothing was saved"
                                                      : "no head was saved");
    if (status != STATUS_OK)
        return status;
    job_take_results(job, done, seconds);
    if (job->fit.patience > 0)
        log_info("%zu of %zu epochs; the head is that of epoch %zu", done, job->fit.epochs,
                 job_kept_epoch(job, job->history, done) + 1);
    if (!quiet)
        table_epochs_end(session->people, job->history, done, seconds);
    if (job->fit.optim.kind == OPTIM_LBFGS)
        tell_end(&end, options->settings.tolerance);
    return STATUS_OK;
}

/* How the head was trained, for its file: as asked for, but for what a sweep chose and a refit changed. */
static struct head_io_training describe(const struct job *job) {
    const struct fit_options *fit = &job->fit;
    struct head_io_training training = {.settings = job->session->options->settings};
    struct settings *settings = &training.settings;
    settings->epochs = fit->epochs;
    settings->early_stopping = fit->patience;
    settings->learning_rate = fit->optim.rate;
    settings->momentum = fit->optim.momentum;
    settings->l2 = fit->optim.l2;
    settings->validation_split = job->validation_split;
    training.penalty = settings->standardize ? job->penalty : 0;
    snprintf(training.isa, sizeof training.isa, "%s", job->session->kernels->isa);
    return training;
}

enum status job_save(struct job *job) {
    struct session *session = job->session;
    struct head_io_training training = describe(job);
    enum status status = STATUS_OK;
    if (session->options->settings.standardize) {
        status = standardize_fold(&job->scale, &session->head);
        if (status == STATUS_OK) /* the features as they are, which the head is for now */
            status = session_reload_train(session);
    }
    if (status == STATUS_OK)
        status = head_io_write(session->options->output, &session->head, &training, session->info);
    return status;
}

enum status job_tell(struct job *job) {
    const struct options *options = job->session->options;
    struct head_io_training training = describe(job);
    job->results.settings = &training.settings;
    enum status status = session_evaluate(job->session, job->penalty, job->fitted.count, &job->results);
    if (status == STATUS_OK && options->history != NULL) {
        record_history(job->csv.stream, job->results.history, job->results.epochs);
        status = output_commit(&job->csv);
    }
    if ((status == STATUS_OK || status == STATUS_PIPE) && options->json != NULL)
        status = session_first(status, outputs_write_json(&job->json, &job->results));
    if ((status == STATUS_OK || status == STATUS_PIPE) && options->report != NULL) {
        size_t kept = job_kept_epoch(job, job->history, job->results.epochs);
        status = session_first(status, outputs_write_report(job->session, &job->results, kept, &training));
    }
    if (status == STATUS_INTERRUPTED)
        return status_set(status, "%s; the head was saved as %s", status_message(), options->output);
    if (status == STATUS_OK || status == STATUS_PIPE)
        log_info("the head was saved as %s", options->output);
    return status;
}
