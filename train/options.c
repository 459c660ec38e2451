/* options: the command line of `train`. A new option is a member of struct options and a row here; one that says how to
 * fit is a row of settings.c. */
#include "train/options.h"
#include "common/base/option.h"
#include "common/base/streams.h"
#include "common/base/threads.h"
#include "common/network/weights.h"

#include <string.h>

#define DEFAULT_OUTPUT "head.h5"
#define DEFAULT_EVERY 10
#define QUOTE1(value) #value
#define QUOTE(value) QUOTE1(value)

enum { THREADS_MAX = 1024, EPOCHS_MAX = 1000000, FOLDS_MAX = 1000 };

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

static const char *const groups[] = {"How to fit:", "What to write:", "Instead of a fit:", NULL};
enum { HOW = SETTINGS_GROUP, WRITE, INSTEAD };

static const char *const mode_names[OPTIONS_MODES] = {"a fit", "--evaluate", "--predict", "--export",
                                                      "--export of a network"};
enum {
    FIT = 1 << OPTIONS_FIT,
    EVALUATE = 1 << OPTIONS_EVALUATE,
    PREDICT = 1 << OPTIONS_PREDICT,
    EXPORT = 1 << OPTIONS_EXPORT,
    MODEL = 1 << OPTIONS_EXPORT_MODEL
};
_Static_assert((int)FIT == (int)SETTINGS_JOB, "the rows of settings.c go with a fit");

#define ROW(group_, member) .group = group_, .offset = offsetof(struct options, member)

/* clang-format off: one paragraph per row, as a table */
static const struct option_row rows[] = {
    {.name = "sweep",
     .value = "SPEC",
     .type = OPTION_TEXT,
     ROW(HOW, sweep_text),
     .jobs = FIT,
     .help =
         "Fit a head for each combination of values, as 'lr=1e-3,1e-2;l2=0,1e-4' (keys lr, l2, momentum), side by "
         "side; rank them by validation loss and keep the best"},
    {.name = "folds",
     .value = "K",
     .type = OPTION_WHOLE,
     ROW(HOW, folds),
     .minimum = 2,
     .maximum = FOLDS_MAX,
     .jobs = FIT,
     .help =
         "Validate on each of K parts of the training rows in turn, with or without --sweep, and fit the best again "
         "to all"},
    {.name = "refit",
     .type = OPTION_FLAG,
     ROW(HOW, refit),
     .jobs = FIT,
     .help = "After --sweep: fit the best again, to all training rows"},
    {.name = "memory",
     .value = "SIZE",
     .type = OPTION_NBYTES,
     ROW(HOW, memory),
     .jobs = FIT | EVALUATE | PREDICT,
     .help =
         "Of the features, at most so much in memory, as 500M or 8G (default: most of what is free); what is larger "
         "is read in shuffled blocks"},
    {.name = "threads",
     .letter = 'j',
     .value = "N",
     .type = OPTION_WHOLE,
     ROW(HOW, threads),
     .minimum = 1,
     .maximum = THREADS_MAX,
     .jobs = FIT | EVALUATE | PREDICT,
     .help =
         "Threads (default: OMP_NUM_THREADS, or the processors that this process may use); the result does not "
         "depend on it"},
    {.name = "output",
     .letter = 'o',
     .value = "FILE",
     .type = OPTION_TEXT,
     ROW(WRITE, output),
     .jobs = FIT | PREDICT | EXPORT | MODEL,
     .help = "The head, in Keras' HDF5 layout (default " DEFAULT_OUTPUT
             "); with --predict the CSV (default -); with "
             "--export how its files' names begin"},
    {.name = "checkpoint",
     .value = "FILE",
     .type = OPTION_FILE,
     ROW(WRITE, checkpoint),
     .jobs = FIT,
     .help =
         "Keep the state of the fit in FILE while it runs; the same command goes on from there after a crash, to the "
         "same bits, and removes it in the end"},
    {.name = "checkpoint-every",
     .value = "N",
     .type = OPTION_WHOLE,
     ROW(WRITE, checkpoint_every),
     .minimum = 1,
     .maximum = EPOCHS_MAX,
     .jobs = FIT,
     .needs = "checkpoint",
     .help = "Write --checkpoint every N epochs (default " QUOTE(DEFAULT_EVERY) ")"},
    {.name = "history",
     .value = "FILE",
     .type = OPTION_FILE,
     ROW(WRITE, history),
     .jobs = FIT,
     .help =
         "CSV epoch,loss,accuracy,val_loss,val_accuracy,seconds,learning_rate; epochs count from 1 (- is standard "
         "output)"},
    {.name = "logdir",
     .value = "DIR",
     .type = OPTION_FILE,
     ROW(WRITE, logdir),
     .jobs = FIT,
     .help =
         "TensorBoard event files in DIR/train and DIR/validation, of every epoch as it ends; a folder per fit"},
    {.name = "histogram-freq",
     .value = "N",
     .type = OPTION_WHOLE,
     ROW(WRITE, histogram_freq),
     .maximum = EPOCHS_MAX,
     .jobs = FIT,
     .needs = "logdir",
     .help = "Histograms of the weights in --logdir, every N epochs; 0 for none (default 0)"},
    {.name = "json",
     .value = "FILE",
     .type = OPTION_FILE,
     ROW(WRITE, json),
     .jobs = FIT | EVALUATE,
     .help = "One JSON object with the history and the results (- is standard output)"},
    {.name = "report",
     .value = "FILE",
     .type = OPTION_FILE,
     ROW(WRITE, report),
     .jobs = FIT | EVALUATE,
     .help =
         "One HTML page with curves, confusion matrix, classes, and the most confident mistakes on the test rows (- "
         "is standard output)"},
    {.name = "images",
     .value = "DATASET",
     .type = OPTION_TEXT,
     ROW(WRITE, images),
     .jobs = FIT | EVALUATE,
     .needs = "report",
     .help =
         "For --report: the folder of IDX files that the cache was made from, for pictures of the mistakes"},
    {.name = "quiet",
     .letter = 'q',
     .type = OPTION_SET,
     ROW(WRITE, level),
     .minimum = LOG_QUIET,
     .help = "Only the results, no table of epochs, no confusion matrix"},
    {.name = "verbose",
     .letter = 'v',
     .type = OPTION_SET,
     ROW(WRITE, level),
     .minimum = LOG_VERBOSE,
     .help = "Every epoch, and more"},
    {.name = "evaluate",
     .value = "HEAD",
     .type = OPTION_TEXT,
     ROW(INSTEAD, evaluate),
     .help = "Loss and accuracy of a saved head"},
    {.name = "predict",
     .value = "HEAD",
     .type = OPTION_TEXT,
     ROW(INSTEAD, predict),
     .help = "CSV split,row,label,predicted,p0,p1,... of a saved head, all rows"},
    {.name = "export",
     .value = "FORMAT",
     .type = OPTION_CHOICE,
     ROW(INSTEAD, export),
     .choices = export_names,
     .help =
         "The features and labels of both splits: npy into OUTPUT-train-features.npy, OUTPUT-train-labels.npy, and "
         "-test-; svmlight into OUTPUT-train.svmlight and OUTPUT-test.svmlight. Or the whole network from picture to "
         "probabilities, without a CACHE: onnx, or keras (weights in Keras' legacy HDF5 layout)"},
    {.name = "head",
     .value = "HEAD",
     .type = OPTION_TEXT,
     ROW(INSTEAD, head),
     .jobs = MODEL,
     .help = "For --export=onnx and keras: the saved head"},
    {.name = "weights",
     .letter = 'w',
     .value = "FILE",
     .type = OPTION_TEXT,
     ROW(INSTEAD, weights),
     .jobs = MODEL,
     .help =
         "For --export=onnx and keras: the backbone's weights, or random[:SEED], as extract took them (default " WEIGHTS_DEFAULT
         ", or the random backbone that the head names)"},
    {0}};
/* clang-format on */

static bool take_cache(void *fields, const char *text) {
    struct options *options = fields;
    bool first = options->cache == NULL;
    options->cache = text;
    return first;
}

static const struct option_program program;

/* Whether an option was given, by its name. */
static bool has(const bool given[], const char *name) {
    size_t i;
    option_find(&program, name, &i);
    return given[i];
}

/* The first thing once all is read: which job it is, since most other checks hang on it. */
static void choose_job(const struct argp_state *state, void *fields, const bool given[], int *job_ret,
                       int *method_ret) {
    struct options *options = fields;
    if (has(given, "evaluate") + has(given, "predict") + has(given, "export") > 1)
        cli_fail(state, "--evaluate, --predict and --export exclude each other");
    if (has(given, "evaluate"))
        options->mode = OPTIONS_EVALUATE;
    else if (has(given, "predict"))
        options->mode = OPTIONS_PREDICT;
    else if (has(given, "export"))
        options->mode = options->export >= EXPORT_ONNX ? OPTIONS_EXPORT_MODEL : OPTIONS_EXPORT;
    *job_ret = (int)options->mode;
    *method_ret = options->settings.optimizer;
}

/* What one setting asks of another. */
static void check_fit(const struct argp_state *state, struct options *options, const bool given[]) {
    struct settings *settings = &options->settings;
    bool step = settings->schedule == OPTIM_STEP;
    if (settings->validation_split == 1)
        cli_fail(state, "--validation-split=1: must be below 1, or no rows are left to fit");
    if (settings->early_stopping > 0 && settings->validation_split == 0)
        cli_fail(state, "--early-stopping needs validation rows, and --validation-split=0 keeps none");
    if (!step && (has(given, "step-epochs") || has(given, "step-factor")))
        cli_fail(state, "--step-epochs and --step-factor go with --schedule=step");
    if (step && settings->step_epochs == 0)
        cli_fail(state, "--schedule=step needs --step-epochs");
    settings_complete(settings, has(given, "learning-rate"), has(given, "step-factor"));
}

static void check_sweep(const struct argp_state *state, struct options *options, const bool given[]) {
    const struct settings *settings = &options->settings;
    bool lbfgs = settings->optimizer == OPTIM_LBFGS,
         state_kept = options->checkpoint != NULL || options->logdir != NULL;
    if (options->sweep_text == NULL && options->folds == 0) {
        if (options->refit)
            cli_fail(state, "--refit goes with --sweep");
        return;
    }
    options->sweep.count = 1;
    if (options->sweep_text != NULL &&
        sweep_parse(&options->sweep, options->sweep_text, (enum optim_kind)settings->optimizer) != STATUS_OK)
        cli_fail(state, "--sweep: %s", status_message());
    for (size_t k = 0; k < options->sweep.key_count; k++) {
        static const char *const names[SWEEP_KEYS] = {"learning-rate", "l2", "momentum"};
        int key = options->sweep.keys[k].key;
        if (has(given, names[key]))
            cli_fail(state, "--%s is given, and %s stands in --sweep too", names[key], sweep_keys[key]);
    }
    if (options->folds > 0 && has(given, "validation-split"))
        cli_fail(state, "--validation-split does not go with --folds, which validates on all training rows");
    if (options->folds > 0 && state_kept)
        cli_fail(state, "--checkpoint and --logdir do not go with --folds");
    if (options->folds == 0 && settings->validation_split == 0)
        cli_fail(state, "--sweep needs validation rows, and --validation-split=0 keeps none");
    if (lbfgs && state_kept)
        cli_fail(state, "--checkpoint and --logdir do not go with a --sweep of lbfgs");
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
static void check_nesterov(const struct argp_state *state, const struct options *options) {
    const struct optim_settings optim = optim_from_settings(&options->settings);
    for (size_t i = 0; optim.nesterov && (i == 0 || i < options->sweep.count); i++)
        if (sweep_settings(&options->sweep, i, &optim).momentum == 0)
            cli_fail(state, "--nesterov needs a --momentum");
}

static void check_export(const struct argp_state *state, const struct options *options) {
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

static void check_files(const struct argp_state *state, struct options *options) {
    if (options->output == NULL)
        options->output = options->mode == OPTIONS_PREDICT ? "-" : DEFAULT_OUTPUT;
    if (options->mode == OPTIONS_FIT && streams_of(options->output) != STREAMS_NONE)
        cli_fail(state, "--output=%s: a head is an HDF5 file and cannot go to standard output or error",
                 options->output);
    if (streams_of(options->checkpoint) != STREAMS_NONE)
        cli_fail(state, "--checkpoint=%s: is an HDF5 file and cannot go to standard output or error",
                 options->checkpoint);
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

static void check(const struct argp_state *state, void *fields, const bool given[]) {
    struct options *options = fields;
    if (options->cache == NULL && options->mode != OPTIONS_EXPORT_MODEL)
        cli_fail(state, "CACHE is missing: the file of features that extract made");
    if (options->mode == OPTIONS_EVALUATE || options->mode == OPTIONS_PREDICT)
        options->head = options->mode == OPTIONS_EVALUATE ? options->evaluate : options->predict;
    check_export(state, options);
    check_fit(state, options, given);
    check_sweep(state, options, given);
    check_nesterov(state, options);
    check_files(state, options);
}

static const struct option_program program = {
    .tables = {settings_rows, rows},
    .structs = {offsetof(struct options, settings), 0},
    .groups = groups,
    .argument = "CACHE",
    .arguments =
        "CACHE\n--evaluate=HEAD CACHE\n--predict=HEAD CACHE\n--export=npy|svmlight --output=PREFIX CACHE\n"
        "--export=onnx|keras --head=HEAD --output=FILE",
    .doc = doc,
    .take_argument = take_cache,
    .choose_job = choose_job,
    .check = check,
    .job_names = mode_names,
    .method_option = "optimizer",
    .method_names = settings_optimizers,
};

void options_parse(struct options *options, int argc, char *argv[]) {
    *options = (struct options){.settings = settings_default,
                                .threads = (uint64_t)threads_default(),
                                .checkpoint_every = DEFAULT_EVERY,
                                .level = LOG_NORMAL,
                                .argv = argv};
    option_parse(&program, options, argc, argv);
}
