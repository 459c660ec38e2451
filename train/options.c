/* options: the command line of `train`. */
#include "train/options.h"
#include "common/base/cli.h"
#include "common/base/streams.h"
#include "common/base/threads.h"
#include "common/network/weights.h"
#include "train/fit/lbfgs.h"

#include <errno.h>
#include <string.h>

#define DEFAULT_OUTPUT "head.h5"
#define DEFAULT_EPOCHS 200
#define DEFAULT_BATCH 128
#define DEFAULT_VALIDATION 0.2
#define DEFAULT_EVERY 10
#define DEFAULT_SEED 0
#define QUOTE1(value) #value
#define QUOTE(value) QUOTE1(value)

enum { THREADS_MAX = 1024, EPOCHS_MAX = 1000000, FOLDS_MAX = 1000 };

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
    KEY_MEMORY,
    KEY_SWEEP,
    KEY_FOLDS,
    KEY_REFIT,
    KEY_CHECKPOINT,
    KEY_CHECKPOINT_EVERY,
    KEY_HISTORY,
    KEY_LOGDIR,
    KEY_HISTOGRAMS,
    KEY_JSON,
    KEY_REPORT,
    KEY_IMAGES,
    KEY_EVALUATE,
    KEY_PREDICT,
    KEY_EXPORT,
    KEY_HEAD,
    KEY_END
};
_Static_assert((int)KEY_END <= (int)OPTIONS_KEYS, "a key that options.given has no place for");

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
                          "  train --sweep='lr=1e-4,1e-3;l2=0,1e-4' --refit features.h5\n"
                          "  train --export=npy -o mnist features.h5\n"
                          "  train --export=onnx --head=head.h5 -o mnist.onnx";

static const struct argp_option table[] = {
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
    {"sweep", KEY_SWEEP, "SPEC", 0,
     "Fit a head for each combination of values, as 'lr=1e-3,1e-2;l2=0,1e-4' (keys lr, l2, momentum), side "
     "by side; "
     "rank them by validation loss and keep the best",
     1},
    {"folds", KEY_FOLDS, "K", 0,
     "Validate on each of K parts of the training rows in turn, with or without --sweep, and fit the best "
     "again to all",
     1},
    {"refit", KEY_REFIT, NULL, 0, "After --sweep: fit the best again, to all training rows", 1},
    {"seed", KEY_SEED, "N", 0,
     "Of the initial weights and the order of rows (default " QUOTE(DEFAULT_SEED) ")", 1},
    {"memory", KEY_MEMORY, "SIZE", 0,
     "Of the features, at most so much in memory, as 500M or 8G (default: most of what is free); what is "
     "larger is "
     "read in shuffled blocks",
     1},
    {"threads", 'j', "N", 0,
     "Threads (default: OMP_NUM_THREADS, or the processors that this process may use); the result does not depend on it",
     1},
    {NULL, 0, NULL, 0, "What to write:", 2},
    {"output", 'o', "FILE", 0,
     "The head, in Keras' HDF5 layout (default " DEFAULT_OUTPUT "); with --predict the CSV (default -); with "
     "--export how its files' names begin",
     2},
    {"checkpoint", KEY_CHECKPOINT, "FILE", 0,
     "Keep the state of the fit in FILE while it runs; the same command goes on from there after a crash, to "
     "the same bits, and removes it in the end",
     2},
    {"checkpoint-every", KEY_CHECKPOINT_EVERY, "N", 0,
     "Write --checkpoint every N epochs (default " QUOTE(DEFAULT_EVERY) ")", 2},
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
    {"report", KEY_REPORT, "FILE", 0,
     "One HTML page with curves, confusion matrix, classes, and the most confident mistakes on the test rows "
     "(- is "
     "standard output)",
     2},
    {"images", KEY_IMAGES, "DATASET", 0,
     "For --report: the folder of IDX files that the cache was made from, for pictures of the mistakes", 2},
    {"quiet", 'q', NULL, 0, "Only the results, no table of epochs, no confusion matrix", 2},
    {"verbose", 'v', NULL, 0, "Every epoch, and more", 2},
    {NULL, 0, NULL, 0, "Instead of a fit:", 3},
    {"evaluate", KEY_EVALUATE, "HEAD", 0, "Loss and accuracy of a saved head", 3},
    {"predict", KEY_PREDICT, "HEAD", 0, "CSV split,row,label,predicted,p0,p1,... of a saved head, all rows",
     3},
    {"export", KEY_EXPORT, "FORMAT", 0,
     "The features and labels of both splits: npy into OUTPUT-train-features.npy, OUTPUT-train-labels.npy, "
     "and "
     "-test-; svmlight into OUTPUT-train.svmlight and OUTPUT-test.svmlight. Or the whole network from "
     "picture to "
     "probabilities, without a CACHE: onnx, or keras (weights in Keras' legacy HDF5 layout)",
     3},
    {"head", KEY_HEAD, "HEAD", 0, "For --export=onnx and keras: the saved head", 3},
    {"weights", 'w', "FILE", 0,
     "For --export=onnx and keras: the backbone's weights, or random[:SEED], as extract took them "
     "(default " WEIGHTS_DEFAULT ", or the random backbone that the head tells)",
     3},
    {0}};

const char *const options_weight_names[2] = {"none", "balanced"};

static const char *const mode_names[OPTIONS_MODES] = {"a fit", "--evaluate", "--predict", "--export",
                                                      "--export of a network"};

/* Where each option is of use: in which modes, and for which optimizers of a fit. What is not listed is of
 * use everywhere. Elsewhere it is refused rather than ignored. */
enum {
    FIT = 1 << OPTIONS_FIT,
    EVALUATE = 1 << OPTIONS_EVALUATE,
    PREDICT = 1 << OPTIONS_PREDICT,
    EXPORT = 1 << OPTIONS_EXPORT,
    MODEL = 1 << OPTIONS_EXPORT_MODEL,
    ADAM = 1 << OPTIM_ADAM,
    SGD = 1 << OPTIM_SGD,
    LBFGS = 1 << OPTIM_LBFGS,
    ANY = ADAM | SGD | LBFGS
};
static const struct use {
    int key;
    unsigned modes, optimizers;
} uses[] = {
    {KEY_EPOCHS, FIT, ANY},
    {KEY_BATCH, FIT, ADAM | SGD},
    {KEY_OPTIMIZER, FIT, ANY},
    {KEY_MOMENTUM, FIT, SGD},
    {KEY_NESTEROV, FIT, SGD},
    {KEY_RATE, FIT, ADAM | SGD},
    {KEY_L2, FIT, ANY},
    {KEY_STANDARDIZE, FIT, ANY},
    {KEY_TOLERANCE, FIT, LBFGS},
    {KEY_PATIENCE, FIT, ANY},
    {KEY_WEIGHTS, FIT, ANY},
    {KEY_SCHEDULE, FIT, ADAM | SGD},
    {KEY_STEP_EPOCHS, FIT, ADAM | SGD},
    {KEY_STEP_FACTOR, FIT, ADAM | SGD},
    {KEY_VALIDATION, FIT, ANY},
    {KEY_SEED, FIT, ADAM | SGD},
    {KEY_SWEEP, FIT, ANY},
    {KEY_FOLDS, FIT, ANY},
    {KEY_REFIT, FIT, ANY},
    {KEY_CHECKPOINT, FIT, ANY},
    {KEY_CHECKPOINT_EVERY, FIT, ANY},
    {KEY_HISTORY, FIT, ANY},
    {KEY_LOGDIR, FIT, ANY},
    {KEY_HISTOGRAMS, FIT, ANY},
    {KEY_JSON, FIT | EVALUATE, ANY},
    {KEY_REPORT, FIT | EVALUATE, ANY},
    {KEY_IMAGES, FIT | EVALUATE, ANY},
    {KEY_MEMORY, FIT | EVALUATE | PREDICT, ANY},
    {KEY_HEAD, MODEL, ANY},
    {'w', MODEL, ANY},
    {'o', FIT | PREDICT | EXPORT | MODEL, ANY},
    {'j', FIT | EVALUATE | PREDICT, ANY},
};

static const char *long_name(int key) {
    for (const struct argp_option *option = table;; option++)
        if (option->key == key && option->name != NULL)
            return option->name;
}

static void check_uses(struct argp_state *state, const struct options *options) {
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
        const struct use *use = &uses[i];
        if (!options->given[use->key])
            continue;
        if ((use->modes & 1u << options->mode) == 0)
            cli_fail(state, "--%s is of no use with %s", long_name(use->key), mode_names[options->mode]);
        if ((use->optimizers & 1u << options->fit.optim.kind) == 0)
            cli_fail(state, "--%s is of no use with --optimizer=%s, but with --optimizer=%s%s",
                     long_name(use->key), optim_names[options->fit.optim.kind],
                     use->optimizers & SGD ? "sgd" : "lbfgs", use->optimizers & ADAM ? " or adam" : "");
    }
}

/* What one option asks of another. */
static void check_fit(struct argp_state *state, struct options *options) {
    struct fit_options *fit = &options->fit;
    if (options->histogram_freq > 0 && options->logdir == NULL)
        cli_fail(state, "--histogram-freq needs a --logdir");
    if (options->given[KEY_CHECKPOINT_EVERY] && options->checkpoint == NULL)
        cli_fail(state, "--checkpoint-every needs a --checkpoint");
    if (options->checkpoint != NULL && options->checkpoint[0] == '\0')
        cli_fail(state, "--checkpoint=: must name a file");
    if (options->logdir != NULL && options->logdir[0] == '\0')
        cli_fail(state, "--logdir=: must name a folder");
    if (fit->patience > 0 && options->validation_split == 0)
        cli_fail(state, "--early-stopping needs validation rows, and --validation-split=0 keeps none");
    if (fit->schedule != OPTIM_STEP && (options->given[KEY_STEP_EPOCHS] || options->given[KEY_STEP_FACTOR]))
        cli_fail(state, "--step-epochs and --step-factor go with --schedule=step");
    if (fit->schedule == OPTIM_STEP && fit->step_epochs == 0)
        cli_fail(state, "--schedule=step needs --step-epochs");
    if (fit->schedule == OPTIM_STEP && !options->given[KEY_STEP_FACTOR])
        fit->step_factor = OPTIM_FACTOR;
    if (!options->given[KEY_RATE])
        fit->optim.rate = optim_rates[fit->optim.kind];
}

static void check_sweep(struct argp_state *state, struct options *options) {
    if (options->sweep_text == NULL && options->folds == 0) {
        if (options->refit)
            cli_fail(state, "--refit goes with --sweep");
        return;
    }
    options->sweep.count = 1;
    if (options->sweep_text != NULL &&
        sweep_parse(&options->sweep, options->sweep_text, options->fit.optim.kind) != STATUS_OK)
        cli_fail(state, "--sweep: %s", status_message());
    for (size_t k = 0; k < options->sweep.key_count; k++) {
        static const int keys[SWEEP_KEYS] = {KEY_RATE, KEY_L2, KEY_MOMENTUM};
        if (options->given[keys[options->sweep.keys[k].key]])
            cli_fail(state, "--%s is given, and %s stands in --sweep too",
                     long_name(keys[options->sweep.keys[k].key]), sweep_keys[options->sweep.keys[k].key]);
    }
    if (options->folds > 0 && options->given[KEY_VALIDATION])
        cli_fail(state, "--validation-split is of no use with --folds, which validates on all training rows");
    if (options->folds > 0 && (options->checkpoint != NULL || options->logdir != NULL))
        cli_fail(state, "--checkpoint and --logdir are of no use with --folds");
    if (options->folds == 0 && options->validation_split == 0)
        cli_fail(state, "--sweep needs validation rows, and --validation-split=0 keeps none");
    if (options->fit.optim.kind == OPTIM_LBFGS && (options->checkpoint != NULL || options->logdir != NULL))
        cli_fail(state, "--checkpoint and --logdir are of no use with a --sweep of lbfgs");
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Keras chooses its reader by the name: the legacy layout's for these, another one's for NAME.weights.h5, and
 * none, or TensorFlow's, for the rest (saving_api.load_weights). */
static bool is_keras_name(const char *path) {
    return (ends_with(path, ".h5") || ends_with(path, ".hdf5")) && !ends_with(path, ".weights.h5");
}

/* Of all combinations, or of the one. */
static void check_nesterov(struct argp_state *state, const struct options *options) {
    const struct optim_settings *optim = &options->fit.optim;
    for (size_t i = 0; optim->nesterov && (i == 0 || i < options->sweep.count); i++)
        if (sweep_settings(&options->sweep, i, optim).momentum == 0)
            cli_fail(state, "--nesterov needs a --momentum");
}

static void check_export(struct argp_state *state, const struct options *options) {
    bool features = options->mode == OPTIONS_EXPORT, model = options->mode == OPTIONS_EXPORT_MODEL;
    if (!features && !model)
        return;
    const char *name = export_names[options->export];
    if (features && (options->output == NULL || options->output[0] == '\0'))
        cli_fail(state, "--export needs an --output, how its files' names shall begin");
    if (features && strcmp(options->output, "-") == 0)
        cli_fail(state, "--output=-: an export is several files and cannot go to standard output");
    if (model && (options->output == NULL || options->output[0] == '\0'))
        cli_fail(state, "--export=%s needs an --output, the file to write", name);
    if (model && (strcmp(options->output, "-") == 0 ||
                  (options->export == EXPORT_KERAS && streams_of(options->output) != STREAMS_NONE)))
        cli_fail(state, "--output=%s: a network cannot go to standard output", options->output);
    if (options->export == EXPORT_KERAS && !is_keras_name(options->output))
        cli_fail(state,
                 "--output=%s: Keras reads this format from NAME.h5 or NAME.hdf5 alone, and NAME.weights.h5 "
                 "is "
                 "another format's",
                 options->output);
    if (model && options->head == NULL)
        cli_fail(state, "--export=%s needs a --head, as train saved it", name);
    if (model && options->cache != NULL)
        cli_fail(state, "%s: --export=%s takes no CACHE; its head comes from --head", options->cache, name);
    if (model &&
        (cli_same_file(options->output, options->head) ||
         cli_same_file(options->output, options->weights != NULL ? options->weights : WEIGHTS_DEFAULT)))
        cli_fail(state, "--output=%s: would replace what is read", options->output);
}

static void check_files(struct argp_state *state, struct options *options) {
    if (options->output == NULL)
        options->output = options->mode == OPTIONS_PREDICT ? "-" : DEFAULT_OUTPUT;
    if (options->mode == OPTIONS_FIT && streams_of(options->output) != STREAMS_NONE)
        cli_fail(state, "--output=%s: a head is an HDF5 file and cannot go to standard output or error",
                 options->output);
    if (streams_of(options->checkpoint) != STREAMS_NONE)
        cli_fail(state, "--checkpoint=%s: is an HDF5 file and cannot go to standard output or error",
                 options->checkpoint);
    if (options->images != NULL && options->report == NULL)
        cli_fail(state, "--images needs a --report, which shows them");
    bool one_output = options->mode == OPTIONS_FIT || options->mode == OPTIONS_PREDICT;
    const char *files[] = {options->history, options->json,       options->report,
                           options->logdir,  options->checkpoint, one_output ? options->output : NULL};
    static const char *const names[] = {"history", "json", "report", "logdir", "checkpoint", "output"};
    const char *written[] = {options->history, options->json, options->report, options->checkpoint,
                             options->mode == OPTIONS_PREDICT ? options->output : NULL};
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++)
        if (cli_same_file(written[i], options->cache) || cli_same_file(written[i], options->head))
            cli_fail(state, "%s: is read, and must not be written", written[i]);
    enum { FILES = sizeof files / sizeof files[0] };
    for (size_t i = 0; i < FILES; i++)
        if (files[i] != NULL && files[i][0] == '\0')
            cli_fail(state, "--%s=: the name of a file is missing", names[i]);
    for (size_t i = 0; i < FILES; i++)
        for (size_t j = 0; j < i; j++)
            if (cli_same_result(files[i], files[j]))
                cli_fail(state, "%s: two results cannot go to one file", files[i]);
}

static void check(struct argp_state *state, struct options *options) {
    int modes = options->given[KEY_EVALUATE] + options->given[KEY_PREDICT] + options->given[KEY_EXPORT];
    if (options->cache == NULL && options->mode != OPTIONS_EXPORT_MODEL)
        cli_fail(state, "CACHE is missing: the file of features that extract made");
    if (modes > 1)
        cli_fail(state, "--evaluate, --predict and --export exclude each other");
    check_uses(state, options);
    check_export(state, options);
    check_fit(state, options);
    check_sweep(state, options);
    check_nesterov(state, options);
    check_files(state, options);
}

/* One option, as argp finds it. */
static error_t parse_option(int key, char *value, struct argp_state *state) {
    struct options *options = state->input;
    struct fit_options *fit = &options->fit;
    if (key > 0 && key < OPTIONS_KEYS)
        options->given[key] = true;
    switch (key) {
    case KEY_EPOCHS:
        fit->epochs = cli_whole(state, "--epochs", value, 1, EPOCHS_MAX);
        break;
    case KEY_BATCH:
        fit->batch_size = cli_whole(state, "--batch-size", value, 1, UINT32_MAX);
        break;
    case KEY_OPTIMIZER:
        fit->optim.kind = (enum optim_kind)cli_choice(state, "--optimizer", value, optim_names, OPTIM_KINDS);
        break;
    case KEY_RATE:
        fit->optim.rate = cli_real(state, "--learning-rate", value, 1e-12, 1e6);
        break;
    case KEY_MOMENTUM:
        fit->optim.momentum = cli_real(state, "--momentum", value, 0, 1);
        break;
    case KEY_NESTEROV:
        fit->optim.nesterov = true;
        break;
    case KEY_L2:
        fit->optim.l2 = cli_real(state, "--l2", value, 0, 1e6);
        break;
    case KEY_STANDARDIZE:
        options->standardize = true;
        break;
    case KEY_TOLERANCE:
        options->tolerance = cli_real(state, "--tolerance", value, 1e-15, 1);
        break;
    case KEY_PATIENCE:
        fit->patience = cli_whole(state, "--early-stopping", value, 1, EPOCHS_MAX);
        break;
    case KEY_WEIGHTS:
        options->balanced = cli_choice(state, "--class-weights", value, options_weight_names, 2) == 1;
        break;
    case KEY_SCHEDULE:
        fit->schedule = (enum optim_schedule)cli_choice(state, "--schedule", value, optim_schedule_names,
                                                        OPTIM_SCHEDULES);
        break;
    case KEY_STEP_EPOCHS:
        fit->step_epochs = cli_whole(state, "--step-epochs", value, 1, EPOCHS_MAX);
        break;
    case KEY_STEP_FACTOR:
        fit->step_factor = cli_real(state, "--step-factor", value, 1e-6, 1);
        break;
    case KEY_VALIDATION:
        options->validation_split = cli_real(state, "--validation-split", value, 0, 1);
        if (options->validation_split == 1)
            cli_fail(state, "--validation-split=%s: must be below 1, or no rows are left to fit", value);
        break;
    case KEY_SEED:
        fit->seed = cli_whole(state, "--seed", value, 0, INT64_MAX);
        break;
    case KEY_MEMORY:
        options->memory = cli_nbytes(state, "--memory", value);
        break;
    case KEY_SWEEP:
        options->sweep_text = value;
        break;
    case KEY_FOLDS:
        options->folds = cli_whole(state, "--folds", value, 2, FOLDS_MAX);
        break;
    case KEY_REFIT:
        options->refit = true;
        break;
    case KEY_CHECKPOINT:
        options->checkpoint = value;
        break;
    case KEY_CHECKPOINT_EVERY:
        options->checkpoint_every = cli_whole(state, "--checkpoint-every", value, 1, EPOCHS_MAX);
        break;
    case KEY_HISTORY:
        options->history = value;
        break;
    case KEY_LOGDIR:
        options->logdir = value;
        break;
    case KEY_HISTOGRAMS:
        options->histogram_freq = cli_whole(state, "--histogram-freq", value, 0, EPOCHS_MAX);
        break;
    case 'o':
        options->output = value;
        break;
    case 'j':
        fit->threads = (int)cli_whole(state, "--threads", value, 1, THREADS_MAX);
        break;
    case KEY_JSON:
        options->json = value;
        break;
    case KEY_REPORT:
        options->report = value;
        break;
    case KEY_IMAGES:
        options->images = value;
        break;
    case 'q':
        options->level = LOG_QUIET;
        break;
    case 'v':
        options->level = LOG_VERBOSE;
        break;
    case KEY_EVALUATE:
        options->mode = OPTIONS_EVALUATE;
        options->head = value;
        break;
    case KEY_PREDICT:
        options->mode = OPTIONS_PREDICT;
        options->head = value;
        break;
    case KEY_EXPORT:
        options->export =
            (enum export_format)cli_choice(state, "--export", value, export_names, EXPORT_FORMATS);
        options->mode = options->export >= EXPORT_ONNX ? OPTIONS_EXPORT_MODEL : OPTIONS_EXPORT;
        break;
    case KEY_HEAD:
        options->head = value;
        break;
    case 'w':
        options->weights = value;
        break;
    case ARGP_KEY_ARG:
        if (options->cache != NULL)
            cli_fail(state, "%s: one CACHE only", value);
        options->cache = value;
        break;
    case ARGP_KEY_END:
        check(state, options);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

void options_parse(struct options *options, int argc, char *argv[]) {
    static const struct argp argp = {.options = table,
                                     .parser = parse_option,
                                     .args_doc = "CACHE\n--evaluate=HEAD CACHE\n--predict=HEAD CACHE\n"
                                                 "--export=npy|svmlight --output=PREFIX CACHE\n"
                                                 "--export=onnx|keras --head=HEAD --output=FILE",
                                     .doc = doc};
    *options = (struct options){
        .fit = {.epochs = DEFAULT_EPOCHS,
                .batch_size = DEFAULT_BATCH,
                .seed = DEFAULT_SEED,
                .threads = threads_default(),
                .optim = {.kind = OPTIM_ADAM}},
        .validation_split = DEFAULT_VALIDATION,
        .tolerance = LBFGS_TOLERANCE,
        .checkpoint_every = DEFAULT_EVERY,
        .level = LOG_NORMAL,
        .argv = argv,
    };
    argv[0] = program_invocation_short_name;              /* what getopt's own messages begin with */
    cli_parse(&argp, argc, argv, ARGP_IN_ORDER, options); /* which leaves argv in its order */
    argv[0] = program_invocation_name;
}
