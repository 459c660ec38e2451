/* job_learn: the fit of one head, and who hears of it. */
#include "common/base/blas.h"
#include "common/base/log.h"
#include "common/base/progress.h"
#include "train/job.h"
#include "train/results/table.h"
#include "train/results/tensorboard.h"

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
    table_epochs_begin(&listeners.table, quiet ? NULL : session->report, job->fit.epochs,
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
        table_epochs_end(session->report, job->history, done, seconds);
    if (job->fit.optim.kind == OPTIM_LBFGS)
        tell_end(&end, options->settings.tolerance);
    return STATUS_OK;
}
