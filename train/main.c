/* main: the command line of `train`. It reads options, calls the units in turn, reports, and is the only
 * place here that decides the exit status. */
#include "common/blas.h"
#include "common/cache.h"
#include "common/cli.h"
#include "common/h5.h"
#include "common/interrupt.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/output.h"
#include "common/progress.h"
#include "train/data.h"
#include "train/evaluate.h"
#include "train/export.h"
#include "train/fit.h"
#include "train/head.h"
#include "train/head_io.h"
#include "train/kernels.h"
#include "train/lbfgs.h"
#include "train/optim.h"
#include "train/record.h"
#include "train/split.h"
#include "train/standardize.h"
#include "train/table.h"
#include "train/tensorboard.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_OUTPUT "head.h5"
#define DEFAULT_EPOCHS 200
#define DEFAULT_BATCH 128
#define DEFAULT_VALIDATION 0.2
#define DEFAULT_SEED 0
#define QUOTE1(value) #value
#define QUOTE(value) QUOTE1(value)

enum { THREADS_MAX = 1024, EPOCHS_MAX = 1000000, PREDICT_ROWS = 4096 };

enum key {
    KEY_EPOCHS = 256,
    KEY_BATCH,
    KEY_OPTIMIZER,
    KEY_MOMENTUM,
    KEY_NESTEROV,
    KEY_RATE,
    KEY_L2,
    KEY_STANDARDIZE,
    KEY_TOLERANCE,
    KEY_PATIENCE,
    KEY_WEIGHTS,
    KEY_SCHEDULE,
    KEY_STEP_EPOCHS,
    KEY_STEP_FACTOR,
    KEY_VALIDATION,
    KEY_SEED,
    KEY_HISTORY,
    KEY_LOGDIR,
    KEY_HISTOGRAMS,
    KEY_JSON,
    KEY_EVALUATE,
    KEY_PREDICT,
    KEY_EXPORT
};

struct arguments {
    const char *cache, *output, *history, *logdir, *json, *evaluate, *predict;
    enum export_format export;
    bool exports;
    const char *fit_option; /* the last option given that only a fit has; NULL: none */
    struct fit_options fit;
    size_t histogram_freq; /* 0: no histograms */
    double validation_split;
    bool rate_given, threads_given, standardize, balanced;
    double tolerance;              /* of lbfgs; 0: not given */
    const char *stochastic_option; /* the last option given that lbfgs has no use for; NULL: none */
    enum log_level level;
};

const char *argp_program_version = "vggcache " VGGCACHE_VERSION;

static const char doc[] = "Fits a classifier head, Dense(classes, softmax), on the features that extract "
                          "left in CACHE, saves it, and "
                          "reports loss and accuracy on all training rows and on the test rows. It computes "
                          "what Keras' fit() does."
                          "\v"
                          "The loss is the mean cross entropy, plus the --l2 penalty. An epoch's loss and "
                          "accuracy are running means, each "
                          "batch measured before its update; val_loss and val_accuracy are measured after "
                          "the epoch. The same cache, "
                          "options and machine type give the same bits, with any number of threads.\n\n"
                          "Exit status: 0 done; 1 failed (one line on standard error says what, where and "
                          "what to do); 2 the command "
                          "line is wrong; 128 + signal interrupted, with no head saved.\n\n"
                          "Examples:\n"
                          "  train features.h5\n"
                          "  train --epochs=2 --optimizer=sgd --momentum=0.9 -o sgd.h5 features.h5\n"
                          "  train --evaluate=sgd.h5 features.h5\n"
                          "  train --predict=sgd.h5 features.h5 > predictions.csv\n"
                          "  train --export=npy -o mnist features.h5";

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "How to fit:", 1},
    {"epochs", KEY_EPOCHS, "N", 0, "Passes over the rows (default " QUOTE(DEFAULT_EPOCHS) ")", 1},
    {"batch-size", KEY_BATCH, "N", 0,
     "Rows per update; a last, smaller batch is kept (default " QUOTE(DEFAULT_BATCH) ")", 1},
    {"optimizer", KEY_OPTIMIZER, "NAME", 0,
     "adam (the default), sgd, or lbfgs: all rows at once, down to the optimum", 1},
    {"learning-rate", KEY_RATE, "X", 0,
     "Step size of adam or sgd (default: Keras', " QUOTE(OPTIM_ADAM_RATE) " for adam, " QUOTE(
         OPTIM_SGD_RATE) " for sgd)",
     1},
    {"momentum", KEY_MOMENTUM, "X", 0, "For sgd: 0 (the default) to 1", 1},
    {"nesterov", KEY_NESTEROV, NULL, 0, "For sgd with momentum: Nesterov's", 1},
    {"l2", KEY_L2, "X", 0, "Add X * sum(kernel^2) to the loss, as keras.regularizers.l2(X) (default 0)", 1},
    {"standardize", KEY_STANDARDIZE, NULL, 0,
     "Fit to features of mean 0 and deviation 1 over the fitted rows, and fold that into the head", 1},
    {"tolerance", KEY_TOLERANCE, "X", 0,
     "For lbfgs: stop when the slope's norm is X times that at the start (default " QUOTE(
         LBFGS_TOLERANCE) "); --epochs limits its iterations",
     1},
    {"early-stopping", KEY_PATIENCE, "N", 0,
     "Stop after N epochs in a row without a new lowest val_loss; the head is that of the best epoch", 1},
    {"class-weights", KEY_WEIGHTS, "NAME", 0,
     "none (the default), or balanced: rows of rare classes count more in the fit, all classes alike", 1},
    {"schedule", KEY_SCHEDULE, "NAME", 0,
     "Of the learning rate: constant (the default), cosine (down to 0 over --epochs), or step", 1},
    {"step-epochs", KEY_STEP_EPOCHS, "N", 0, "For --schedule=step: a step each N epochs", 1},
    {"step-factor", KEY_STEP_FACTOR, "X", 0,
     "For --schedule=step: the rate times X with each step (default " QUOTE(OPTIM_FACTOR) ")", 1},
    {"validation-split", KEY_VALIDATION, "X", 0,
     "Hold back this part of the training rows, the LAST ones, for validation; 0 for none (default " QUOTE(
         DEFAULT_VALIDATION) ")",
     1},
    {"seed", KEY_SEED, "N", 0,
     "Of the initial weights and the order of rows (default " QUOTE(DEFAULT_SEED) ")", 1},
    {"threads", 'j', "N", 0, "Threads (default: all processors); the result does not depend on it", 1},
    {NULL, 0, NULL, 0, "What to write:", 2},
    {"output", 'o', "FILE", 0,
     "The head, in Keras' HDF5 layout (default " DEFAULT_OUTPUT "); with --predict the CSV (default -); with "
     "--export how its files' names begin",
     2},
    {"history", KEY_HISTORY, "FILE", 0,
     "CSV epoch,loss,accuracy,val_loss,val_accuracy,seconds,learning_rate; epochs count from 1 (- is "
     "standard output)",
     2},
    {"logdir", KEY_LOGDIR, "DIR", 0,
     "TensorBoard event files in DIR/train and DIR/validation, of every epoch as it ends; a folder per fit",
     2},
    {"histogram-freq", KEY_HISTOGRAMS, "N", 0,
     "Histograms of the weights in --logdir, every N epochs; 0 for none (default 0)", 2},
    {"json", KEY_JSON, "FILE", 0, "One JSON object with the history and the results (- is standard output)",
     2},
    {"quiet", 'q', NULL, 0, "Only the results, no table of epochs, no confusion matrix", 2},
    {"verbose", 'v', NULL, 0, "Every epoch, and more", 2},
    {NULL, 0, NULL, 0, "Instead of a fit:", 3},
    {"evaluate", KEY_EVALUATE, "HEAD", 0, "Loss and accuracy of a saved head", 3},
    {"predict", KEY_PREDICT, "HEAD", 0, "CSV split,row,label,predicted,p0,p1,... of a saved head, all rows",
     3},
    {"export", KEY_EXPORT, "FORMAT", 0,
     "The features and labels of both splits: npy into OUTPUT-train-features.npy, OUTPUT-train-labels.npy, "
     "and "
     "-test-; svmlight into OUTPUT-train.svmlight and OUTPUT-test.svmlight",
     3},
    {0}};

static const char *const weight_names[2] = {"none", "balanced"};

/* Combinations that mean nothing are refused rather than ignored. */
static void check_arguments(struct argp_state *state, struct arguments *arguments) {
    struct optim_settings *optim = &arguments->fit.optim;
    int modes = (arguments->evaluate != NULL) + (arguments->predict != NULL) + arguments->exports;
    const char *mode = arguments->evaluate != NULL  ? "--evaluate"
                       : arguments->predict != NULL ? "--predict"
                                                    : "--export";
    if (arguments->cache == NULL)
        cli_fail(state, "CACHE is missing: the file of features that extract made");
    if (modes > 1)
        cli_fail(state, "--evaluate, --predict and --export exclude each other");
    if (modes > 0 && arguments->fit_option != NULL)
        cli_fail(state, "%s is of no use with %s", arguments->fit_option, mode);
    if (arguments->evaluate != NULL && arguments->output != NULL)
        cli_fail(state, "--output is of no use with --evaluate");
    if (arguments->json != NULL && (arguments->predict != NULL || arguments->exports))
        cli_fail(state, "--json is of no use with %s", mode);
    if (arguments->exports && arguments->threads_given)
        cli_fail(state, "--threads is of no use with --export");
    if (arguments->exports && (arguments->output == NULL || arguments->output[0] == '\0'))
        cli_fail(state, "--export needs an --output, how its files' names shall begin");
    if (arguments->exports && strcmp(arguments->output, "-") == 0)
        cli_fail(state, "--output=-: an export is several files and cannot go to standard output");
    if (optim->kind != OPTIM_SGD && (optim->momentum > 0 || optim->nesterov))
        cli_fail(state, "--momentum and --nesterov go with --optimizer=sgd");
    if (optim->nesterov && optim->momentum == 0)
        cli_fail(state, "--nesterov needs a --momentum");
    if (arguments->histogram_freq > 0 && arguments->logdir == NULL)
        cli_fail(state, "--histogram-freq needs a --logdir");
    if (arguments->logdir != NULL && arguments->logdir[0] == '\0')
        cli_fail(state, "--logdir=: must name a folder");
    if (optim->kind == OPTIM_LBFGS && arguments->stochastic_option != NULL)
        cli_fail(state, "%s is of no use with --optimizer=lbfgs", arguments->stochastic_option);
    if (optim->kind != OPTIM_LBFGS && arguments->tolerance > 0)
        cli_fail(state, "--tolerance goes with --optimizer=lbfgs");
    if (arguments->tolerance == 0)
        arguments->tolerance = LBFGS_TOLERANCE;
    if (arguments->fit.patience > 0 && arguments->validation_split == 0)
        cli_fail(state, "--early-stopping needs validation rows, and --validation-split=0 keeps none");
    if (arguments->fit.schedule != OPTIM_STEP &&
        (arguments->fit.step_epochs > 0 || arguments->fit.step_factor > 0))
        cli_fail(state, "--step-epochs and --step-factor go with --schedule=step");
    if (arguments->fit.schedule == OPTIM_STEP && arguments->fit.step_epochs == 0)
        cli_fail(state, "--schedule=step needs --step-epochs");
    if (arguments->fit.schedule == OPTIM_STEP && arguments->fit.step_factor == 0)
        arguments->fit.step_factor = OPTIM_FACTOR;
    if (!arguments->rate_given)
        optim->rate = optim_rates[optim->kind];
    if (arguments->output == NULL)
        arguments->output = arguments->predict != NULL ? "-" : DEFAULT_OUTPUT;
    if (!arguments->predict && strcmp(arguments->output, "-") == 0)
        cli_fail(state, "--output=-: a head is an HDF5 file and cannot go to standard output");
    const char *files[] = {arguments->history, arguments->json, arguments->logdir,
                           modes > 0 ? NULL : arguments->output};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            if (files[i] != NULL && files[j] != NULL && strcmp(files[i], files[j]) == 0)
                cli_fail(state, "%s: two results cannot go to one file", files[i]);
}

static error_t parse_option(int key, char *value, struct argp_state *state) {
    struct arguments *arguments = state->input;
    struct fit_options *fit = &arguments->fit;
    switch (key) {
    case KEY_EPOCHS:
        arguments->fit_option = "--epochs";
        fit->epochs = cli_whole(state, "--epochs", value, 1, EPOCHS_MAX);
        break;
    case KEY_BATCH:
        arguments->fit_option = arguments->stochastic_option = "--batch-size";
        fit->batch_size = cli_whole(state, "--batch-size", value, 1, UINT32_MAX);
        break;
    case KEY_OPTIMIZER:
        arguments->fit_option = "--optimizer";
        fit->optim.kind = (enum optim_kind)cli_choice(state, "--optimizer", value, optim_names, OPTIM_KINDS);
        break;
    case KEY_RATE:
        arguments->fit_option = arguments->stochastic_option = "--learning-rate";
        fit->optim.rate = cli_real(state, "--learning-rate", value, 1e-12, 1e6);
        arguments->rate_given = true;
        break;
    case KEY_MOMENTUM:
        arguments->fit_option = "--momentum";
        fit->optim.momentum = cli_real(state, "--momentum", value, 0, 1);
        break;
    case KEY_NESTEROV:
        arguments->fit_option = "--nesterov";
        fit->optim.nesterov = true;
        break;
    case KEY_L2:
        arguments->fit_option = "--l2";
        fit->optim.l2 = cli_real(state, "--l2", value, 0, 1e6);
        break;
    case KEY_STANDARDIZE:
        arguments->fit_option = "--standardize";
        arguments->standardize = true;
        break;
    case KEY_TOLERANCE:
        arguments->fit_option = "--tolerance";
        arguments->tolerance = cli_real(state, "--tolerance", value, 1e-15, 1);
        break;
    case KEY_PATIENCE:
        arguments->fit_option = "--early-stopping";
        fit->patience = cli_whole(state, "--early-stopping", value, 1, EPOCHS_MAX);
        break;
    case KEY_WEIGHTS:
        arguments->fit_option = "--class-weights";
        arguments->balanced = cli_choice(state, "--class-weights", value, weight_names, 2) == 1;
        break;
    case KEY_SCHEDULE:
        arguments->fit_option = arguments->stochastic_option = "--schedule";
        fit->schedule = (enum optim_schedule)cli_choice(state, "--schedule", value, optim_schedule_names,
                                                        OPTIM_SCHEDULES);
        break;
    case KEY_STEP_EPOCHS:
        arguments->fit_option = "--step-epochs";
        fit->step_epochs = cli_whole(state, "--step-epochs", value, 1, EPOCHS_MAX);
        break;
    case KEY_STEP_FACTOR:
        arguments->fit_option = "--step-factor";
        fit->step_factor = cli_real(state, "--step-factor", value, 1e-6, 1);
        break;
    case KEY_VALIDATION:
        arguments->fit_option = "--validation-split";
        arguments->validation_split = cli_real(state, "--validation-split", value, 0, 1);
        if (arguments->validation_split == 1)
            cli_fail(state, "--validation-split=%s: must be below 1, or no rows are left to fit", value);
        break;
    case KEY_SEED:
        arguments->fit_option = arguments->stochastic_option = "--seed";
        fit->seed = cli_whole(state, "--seed", value, 0, INT64_MAX);
        break;
    case KEY_HISTORY:
        arguments->fit_option = "--history";
        arguments->history = value;
        break;
    case KEY_LOGDIR:
        arguments->fit_option = "--logdir";
        arguments->logdir = value;
        break;
    case KEY_HISTOGRAMS:
        arguments->fit_option = "--histogram-freq";
        arguments->histogram_freq = cli_whole(state, "--histogram-freq", value, 0, EPOCHS_MAX);
        break;
    case 'o':
        arguments->output = value;
        break;
    case 'j':
        arguments->threads_given = true;
        fit->threads = (int)cli_whole(state, "--threads", value, 1, THREADS_MAX);
        break;
    case KEY_JSON:
        arguments->json = value;
        break;
    case 'q':
        arguments->level = LOG_QUIET;
        break;
    case 'v':
        arguments->level = LOG_VERBOSE;
        break;
    case KEY_EVALUATE:
        arguments->evaluate = value;
        break;
    case KEY_PREDICT:
        arguments->predict = value;
        break;
    case KEY_EXPORT:
        arguments->exports = true;
        arguments->export =
            (enum export_format)cli_choice(state, "--export", value, export_names, EXPORT_FORMATS);
        break;
    case ARGP_KEY_ARG:
        if (arguments->cache != NULL)
            cli_fail(state, "%s: one CACHE only", value);
        arguments->cache = value;
        break;
    case ARGP_KEY_END:
        check_arguments(state, arguments);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* What all three ways to run have in common. All zero: nothing open. */
struct session {
    const struct arguments *arguments;
    const struct kernels *kernels;
    struct cache *cache;
    const struct cache_info *info;
    struct data_split data[CACHE_SPLITS];
    struct head head;
    struct standardize standardize; /* of --standardize */
    FILE *report; /* for people: standard output, or standard error when a program reads that */
};

/* Opens a cache that is complete. */
static enum status open_cache(struct session *session) {
    const char *path = session->arguments->cache;
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

/* Reads and verifies all rows. */
static enum status load(struct session *session) {
    double begin = progress_clock();
    for (int s = 0; s < CACHE_SPLITS; s++) {
        enum status status = data_load(session->cache, (enum cache_split)s, &session->data[s]);
        if (status != STATUS_OK)
            return status;
        if (interrupt_signal())
            return status_set(STATUS_INTERRUPTED, "interrupted while %s was read", session->arguments->cache);
    }
    char rows[32];
    log_detail("%s: read and verified %s rows of %" PRIu64 " features in %.2f s", session->arguments->cache,
               table_count(session->data[0].count + session->data[1].count, rows), session->info->dim,
               progress_clock() - begin);
    return STATUS_OK;
}

static void close_session(struct session *session) {
    head_free(&session->head);
    standardize_free(&session->standardize);
    for (int s = 0; s < CACHE_SPLITS; s++)
        data_unload(&session->data[s]);
    cache_close(session->cache);
}

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

static enum status write_json(struct output *output, const struct record_results *results) {
    enum status status = record_json(output->stream, results);
    return status == STATUS_OK ? output_commit(output) : status;
}

/* Loss, the penalty added, and accuracy of both splits, and the confusion on the test rows. */
static enum status report(struct session *session, double penalty, size_t fit_count,
                          struct record_results *results) {
    const struct arguments *arguments = session->arguments;
    const struct data_split *train = &session->data[CACHE_TRAIN], *test = &session->data[CACHE_TEST];
    size_t classes = session->head.classes;
    int threads = arguments->fit.threads;
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
    if (arguments->level != LOG_QUIET) {
        evaluate_confusion(test->labels, predicted, test->count, classes, per_class, matrix);
        table_confusion(session->report, "test", classes, per_class, matrix);
    }
out:
    mem_free(matrix);
    mem_free(per_class);
    mem_free(predicted);
    return status;
}

/* Who hears of each epoch. */
struct listeners {
    struct table_epochs table;
    struct tensorboard *board; /* NULL: none */
    const struct head *head;
};

static enum status on_epoch(void *context, const struct fit_epoch *epoch) {
    struct listeners *listeners = context;
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
static enum status standardize_train(struct session *session, size_t fit_count) {
    struct data_split *train = &session->data[CACHE_TRAIN];
    int threads = session->arguments->fit.threads;
    enum status status = standardize_measure(&session->standardize, data_slice(train, 0, fit_count), threads);
    if (status != STATUS_OK)
        return status;
    standardize_apply(&session->standardize, train, threads);
    log_detail("features standardized; %zu of %zu are constant and get no weight",
               session->standardize.constant_count, train->dim);
    return STATUS_OK;
}

static enum status reload_train(struct session *session) {
    data_unload(&session->data[CACHE_TRAIN]);
    return data_load(session->cache, CACHE_TRAIN, &session->data[CACHE_TRAIN]);
}

/* Fits the session's head and saves it; *penalty_ret is what --l2 adds to its loss;
 * weights[classes] are those of --class-weights, or NULL. */
static enum status fit_and_save(struct session *session, size_t fit_count, struct fit_epoch *history,
                                struct record_results *results, const float *weights, double *penalty_ret) {
    const struct arguments *arguments = session->arguments;
    const struct fit_options *fit = &arguments->fit;
    const struct data_split *train = &session->data[CACHE_TRAIN];
    struct listeners listeners = {.head = &session->head};
    if (arguments->logdir != NULL) {
        struct tensorboard_options board = {
            .folder = arguments->logdir,
            .validation = fit_count < train->count,
            .histogram_freq = arguments->histogram_freq,
            .batches = fit->optim.kind == OPTIM_LBFGS ? 1 : (fit_count - 1) / fit->batch_size + 1};
        enum status opened = tensorboard_open(&listeners.board, &board);
        if (opened != STATUS_OK)
            return opened;
    }
    table_epochs_begin(&listeners.table, arguments->level == LOG_QUIET ? NULL : session->report, fit->epochs,
                       arguments->level == LOG_VERBOSE, fit_count < train->count);
    progress_begin("epochs", 0, fit->epochs);
    size_t done = 0;
    double begin = progress_clock();
    struct data_rows fitted = data_slice(train, 0, fit_count);
    struct data_rows held = data_slice(train, fit_count, train->count - fit_count);
    struct lbfgs_options lbfgs = {.l2 = fit->optim.l2,
                                  .tolerance = arguments->tolerance,
                                  .epochs = fit->epochs,
                                  .threads = fit->threads,
                                  .patience = fit->patience,
                                  .class_weights = weights};
    struct fit_options weighted = *fit;
    weighted.class_weights = weights;
    struct lbfgs_result end;
    enum status status;
    if (fit->optim.kind == OPTIM_LBFGS)
        status = lbfgs_run(&session->head, fitted, held, &lbfgs, on_epoch, &listeners, history, &done, &end);
    else
        status = fit_run(&session->head, fitted, held, &weighted, on_epoch, &listeners, history, &done);
    results->seconds = progress_clock() - begin;
    results->history = history;
    results->epochs = done;
    progress_end();
    tensorboard_close(listeners.board);
    if (status == STATUS_INTERRUPTED)
        return status_set(status, "%s; %s", status_message(),
                          arguments->logdir == NULL ? "nothing was saved" : "no head was saved");
    if (status != STATUS_OK)
        return status;
    size_t kept = fit->patience > 0 ? 0 : done - 1; /* the epoch whose weights the head has */
    for (size_t i = 0; fit->patience > 0 && i < done; i++)
        if (history[i].val_loss < history[kept].val_loss)
            kept = i;
    if (fit->patience > 0)
        log_info("%zu of %zu epochs; the head is that of epoch %zu", done, fit->epochs, kept + 1);
    results->validation = (struct evaluate_result){.loss = history[kept].val_loss,
                                                   .accuracy = history[kept].val_accuracy,
                                                   .rows = train->count - fit_count};
    if (arguments->level != LOG_QUIET)
        table_epochs_end(session->report, history, done, results->seconds);
    if (fit->optim.kind == OPTIM_LBFGS)
        tell_end(&end, arguments->tolerance);
    struct head_io_training training = {
        .epochs = fit->epochs,
        .batch_size = fit->batch_size,
        .seed = fit->seed,
        .nesterov = fit->optim.nesterov,
        .learning_rate = fit->optim.rate,
        .momentum = fit->optim.momentum,
        .l2 = fit->optim.l2,
        .validation_split = arguments->validation_split,
        .early_stopping = fit->patience,
        .step_epochs = fit->step_epochs,
        .step_factor = fit->step_factor,
        .tolerance = fit->optim.kind == OPTIM_LBFGS ? arguments->tolerance : 0,
    };
    snprintf(training.optimizer, sizeof training.optimizer, "%s", optim_names[fit->optim.kind]);
    snprintf(training.schedule, sizeof training.schedule, "%s", optim_schedule_names[fit->schedule]);
    snprintf(training.class_weights, sizeof training.class_weights, "%s", weight_names[arguments->balanced]);
    snprintf(training.isa, sizeof training.isa, "%s", session->kernels->isa);
    *penalty_ret = fit->optim.l2 * head_square_sum(&session->head);
    if (arguments->standardize) {
        training.standardized = 1;
        training.penalty = *penalty_ret;
        status = standardize_fold(&session->standardize, &session->head);
        if (status == STATUS_OK) /* the features as they are, which the head is for now */
            status = reload_train(session);
        if (status != STATUS_OK)
            return status;
    }
    return head_io_write(arguments->output, &session->head, &training, session->info);
}

static enum status run_fit(struct session *session) {
    const struct arguments *arguments = session->arguments;
    struct output json = {0}, csv = {0};
    struct record_results results = {0};
    size_t fit_count = 0;
    double penalty = 0;
    float *weights = NULL;
    struct fit_epoch *history = mem_alloc(arguments->fit.epochs, sizeof *history);
    enum status status = STATUS_OK;
    if (history == NULL)
        status = status_set_no_memory(arguments->fit.epochs * sizeof *history, "the history");
    if (status == STATUS_OK)
        status = split_rows(session->info->splits[CACHE_TRAIN].rows, arguments->validation_split, &fit_count);
    if (status == STATUS_OK)
        status = check_head_path(arguments->output);
    if (status == STATUS_OK && arguments->json != NULL)
        status = output_open(&json, arguments->json);
    if (status == STATUS_OK && arguments->history != NULL)
        status = output_open(&csv, arguments->history);
    if (status == STATUS_OK)
        status = head_create(&session->head, session->kernels, session->info->dim, session->info->classes);
    if (status == STATUS_OK)
        status = load(session);
    if (status != STATUS_OK)
        goto out;
    if (arguments->standardize)
        status = standardize_train(session, fit_count);
    if (status == STATUS_OK && arguments->balanced) {
        weights = mem_alloc(session->head.classes, sizeof *weights);
        status = weights == NULL ? status_set_no_memory(session->head.classes * sizeof *weights, "class "
                                                                                                 "weights")
                                 : fit_balance(data_slice(&session->data[CACHE_TRAIN], 0, fit_count),
                                               session->head.classes, weights);
    }
    if (status != STATUS_OK)
        goto out;
    head_initialize(&session->head, arguments->fit.seed);
    if (arguments->fit.optim.kind == OPTIM_LBFGS)
        log_detail("%zu rows to fit, lbfgs, OpenBLAS for %s, %d threads", fit_count, blas_core_name(),
                   arguments->fit.threads);
    else
        log_detail("%zu rows to fit, batches of %zu, %s, rate %g, %s kernels, %d threads", fit_count,
                   arguments->fit.batch_size, optim_names[arguments->fit.optim.kind],
                   arguments->fit.optim.rate, session->kernels->isa, arguments->fit.threads);
    status = fit_and_save(session, fit_count, history, &results, weights, &penalty);
    if (status != STATUS_OK)
        goto out;
    status = report(session, penalty, fit_count, &results);
    if (status == STATUS_INTERRUPTED)
        status_set(status, "%s; the head was saved as %s", status_message(), arguments->output);
    if (status == STATUS_OK && arguments->history != NULL) {
        record_history(csv.stream, results.history, results.epochs);
        status = output_commit(&csv);
    }
    if (status == STATUS_OK && arguments->json != NULL)
        status = write_json(&json, &results);
    if (status == STATUS_OK)
        log_info("the head was saved as %s", arguments->output);
out:
    output_abort(&csv);
    output_abort(&json);
    mem_free(weights);
    mem_free(history);
    return status;
}

static enum status run_evaluate(struct session *session) {
    const struct arguments *arguments = session->arguments;
    struct head_io_training training;
    struct record_results results = {0};
    struct output json = {0};
    enum status status = head_io_read(arguments->evaluate, session->kernels, session->info, arguments->cache,
                                      &session->head, &training);
    if (status == STATUS_OK && arguments->json != NULL)
        status = output_open(&json, arguments->json);
    if (status == STATUS_OK)
        status = load(session);
    if (status == STATUS_OK)
        status = report(
            session, training.standardized ? training.penalty : training.l2 * head_square_sum(&session->head),
            0, &results);
    if (status == STATUS_OK && arguments->json != NULL)
        status = write_json(&json, &results);
    output_abort(&json);
    return status;
}

static enum status run_predict(struct session *session) {
    const struct arguments *arguments = session->arguments;
    struct head_io_training training;
    struct evaluate_result ignored;
    struct output csv = {0};
    uint16_t *predicted = NULL;
    float *probabilities = NULL;
    enum status status = head_io_read(arguments->predict, session->kernels, session->info, arguments->cache,
                                      &session->head, &training);
    if (status == STATUS_OK)
        status = output_open(&csv, arguments->output);
    if (status == STATUS_OK)
        status = load(session);
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
            status = evaluate_run(&session->head, data_slice(data, first, count), 0, arguments->fit.threads,
                                  predicted, probabilities, &ignored);
            if (status != STATUS_OK)
                goto out;
            record_predictions(csv.stream, cache_split_names[s], first, count, classes, data->labels + first,
                               predicted, probabilities);
        }
    }
    status = output_commit(&csv);
out:
    output_abort(&csv);
    mem_free(probabilities);
    mem_free(predicted);
    return status;
}

static enum status run_export(struct session *session) {
    const struct arguments *arguments = session->arguments;
    const struct cache_split_info *splits = session->info->splits;
    enum status status = export_run(session->cache, arguments->cache, arguments->export, arguments->output);
    char train[32], test[32];
    if (status == STATUS_OK)
        log_info("%s training rows and %s test rows were exported as %s-*.%s",
                 table_count(splits[CACHE_TRAIN].rows, train), table_count(splits[CACHE_TEST].rows, test),
                 arguments->output, export_names[arguments->export]);
    return status;
}

static bool is_standard_output(const char *path) {
    return path != NULL && strcmp(path, "-") == 0;
}

int main(int argc, char *argv[]) {
    interrupt_init();
    struct arguments arguments = {
        .fit = {.epochs = DEFAULT_EPOCHS,
                .batch_size = DEFAULT_BATCH,
                .seed = DEFAULT_SEED,
                .threads = omp_get_num_procs(),
                .optim = {.kind = OPTIM_ADAM}},
        .validation_split = DEFAULT_VALIDATION,
        .level = LOG_NORMAL,
    };
    static const struct argp argp = {options,
                                     parse_option,
                                     "CACHE\n--evaluate=HEAD CACHE\n--predict=HEAD CACHE\n--export=FORMAT "
                                     "--output=PREFIX CACHE",
                                     doc,
                                     NULL,
                                     NULL,
                                     NULL};
    argv[0] = program_invocation_short_name; /* what getopt's own messages begin with */
    cli_init();
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    log_init(program_invocation_short_name, arguments.level);
    h5_init();
    blas_init();
    bool taken = is_standard_output(arguments.json) || is_standard_output(arguments.history);
    struct session session = {.arguments = &arguments, .report = taken ? stderr : stdout};
    enum status status = open_cache(&session);
    if (status != STATUS_OK)
        ;
    else if (arguments.evaluate != NULL)
        status = run_evaluate(&session);
    else if (arguments.predict != NULL)
        status = run_predict(&session);
    else if (arguments.exports)
        status = run_export(&session);
    else
        status = run_fit(&session);
    close_session(&session);
    if (status == STATUS_OK && (fflush(stdout) != 0 || ferror(stdout)))
        status = status_set_errno("standard output: cannot write");
    if (status == STATUS_OK)
        return EXIT_SUCCESS;
    log_error("%s", status_message());
    if (status == STATUS_INTERRUPTED)
        return 128 + interrupt_signal();
    return status == STATUS_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_FAILED;
}
