/* settings: what a fit is asked to do, one row per setting. */
#include "train/head/settings.h"

#include <string.h>

#define QUOTE1(value) #value
#define QUOTE(value) QUOTE1(value)

enum { EPOCHS_MAX = 1000000, ADAM = 1 << OPTIM_ADAM, SGD = 1 << OPTIM_SGD, LBFGS = 1 << OPTIM_LBFGS };

const char *const settings_optimizers[OPTIM_KINDS + 1] = {
    [OPTIM_ADAM] = "adam", [OPTIM_SGD] = "sgd", [OPTIM_LBFGS] = "lbfgs"};
const char *const settings_schedules[OPTIM_SCHEDULES + 1] = {
    [OPTIM_CONSTANT] = "constant", [OPTIM_COSINE] = "cosine", [OPTIM_STEP] = "step"};
const char *const settings_class_weights[3] = {"none", "balanced"};

const struct settings settings_default = {.epochs = SETTINGS_EPOCHS,
                                          .batch_size = SETTINGS_BATCH_SIZE,
                                          .optimizer = OPTIM_ADAM,
                                          .validation_split = SETTINGS_VALIDATION_SPLIT,
                                          .tolerance = SETTINGS_TOLERANCE};

#define ROW(member) .offset = offsetof(struct settings, member), .group = SETTINGS_GROUP, .jobs = SETTINGS_JOB

/* clang-format off: one paragraph per row, as a table */
const struct option_row settings_rows[] = {
    {.name = "epochs",
     .value = "N",
     .type = OPTION_WHOLE,
     ROW(epochs),
     .minimum = 1,
     .maximum = EPOCHS_MAX,
     .attribute = "epochs",
     .label = "epochs, at most",
     .rank = 2,
     .help = "Passes over the rows (default " QUOTE(SETTINGS_EPOCHS) ")"},
    {.name = "batch-size",
     .value = "N",
     .type = OPTION_WHOLE,
     ROW(batch_size),
     .minimum = 1,
     .maximum = UINT32_MAX,
     .methods = ADAM | SGD,
     .attribute = "batch_size",
     .label = "batch size",
     .rank = 4,
     .help = "Rows per update; a last, smaller batch is kept (default " QUOTE(SETTINGS_BATCH_SIZE) ")"},
    {.name = "optimizer",
     .value = "NAME",
     .type = OPTION_CHOICE,
     ROW(optimizer),
     .choices = settings_optimizers,
     .attribute = "optimizer",
     .label = "optimizer",
     .rank = 1,
     .help = "adam (the default), sgd, or lbfgs: all rows at once, down to the optimum"},
    {.name = "learning-rate",
     .value = "X",
     .type = OPTION_REAL,
     ROW(learning_rate),
     .minimum = 1e-12,
     .maximum = 1e6,
     .methods = ADAM | SGD,
     .attribute = "learning_rate",
     .label = "learning rate",
     .rank = 5,
     .help = "Step size of adam or sgd (default: Keras', " QUOTE(SETTINGS_ADAM_RATE) " for adam, " QUOTE(
         SETTINGS_SGD_RATE) " for sgd)"},
    {.name = "momentum",
     .value = "X",
     .type = OPTION_REAL,
     ROW(momentum),
     .maximum = 1,
     .methods = SGD,
     .attribute = "momentum",
     .label = "momentum",
     .rank = 9,
     .help = "For sgd: 0 (the default) to 1"},
    {.name = "nesterov",
     .type = OPTION_FLAG,
     ROW(nesterov),
     .methods = SGD,
     .attribute = "nesterov",
     .label = "nesterov",
     .rank = 10,
     .help = "For sgd with momentum: Nesterov's"},
    {.name = "l2",
     .value = "X",
     .type = OPTION_REAL,
     ROW(l2),
     .maximum = 1e6,
     .attribute = "l2",
     .label = "l2",
     .rank = 11,
     .help = "Add X * sum(kernel^2) to the loss, as keras.regularizers.l2(X) (default 0)"},
    {.name = "validation-split",
     .value = "X",
     .type = OPTION_REAL,
     ROW(validation_split),
     .maximum = 1,
     .attribute = "validation_split",
     .label = "validation split",
     .rank = 14,
     .help =
         "Hold back this part of the training rows, the LAST ones, for validation; 0 for none (default " QUOTE(
             SETTINGS_VALIDATION_SPLIT) ")"},
    {.name = "seed",
     .value = "N",
     .type = OPTION_WHOLE,
     ROW(seed),
     .maximum = INT64_MAX,
     .methods = ADAM | SGD,
     .attribute = "seed",
     .label = "seed",
     .rank = 16,
     .help = "Of the initial weights and the order of rows (default 0)"},
    {.name = "class-weights",
     .value = "NAME",
     .type = OPTION_CHOICE,
     ROW(class_weights),
     .choices = settings_class_weights,
     .attribute = "class_weights",
     .label = "class weights",
     .rank = 13,
     .help =
         "none (the default), or balanced: rows of rare classes count more in the fit, all classes alike"},
    {.name = "schedule",
     .value = "NAME",
     .type = OPTION_CHOICE,
     ROW(schedule),
     .choices = settings_schedules,
     .methods = ADAM | SGD,
     .attribute = "schedule",
     .label = "schedule",
     .rank = 6,
     .help = "Of the learning rate: constant (the default), cosine (down to 0 over --epochs), or step"},
    {.name = "step-epochs",
     .value = "N",
     .type = OPTION_WHOLE,
     ROW(step_epochs),
     .minimum = 1,
     .maximum = EPOCHS_MAX,
     .methods = ADAM | SGD,
     .attribute = "step_epochs",
     .optional = true,
     .label = "step epochs",
     .rank = 7,
     .help = "For --schedule=step: a step each N epochs"},
    {.name = "step-factor",
     .value = "X",
     .type = OPTION_REAL,
     ROW(step_factor),
     .minimum = 1e-6,
     .maximum = 1,
     .methods = ADAM | SGD,
     .attribute = "step_factor",
     .optional = true,
     .label = "step factor",
     .rank = 8,
     .help =
         "For --schedule=step: the rate times X with each step (default " QUOTE(SETTINGS_STEP_FACTOR) ")"},
    {.name = "early-stopping",
     .value = "N",
     .type = OPTION_WHOLE,
     ROW(early_stopping),
     .minimum = 1,
     .maximum = EPOCHS_MAX,
     .attribute = "early_stopping",
     .optional = true,
     .label = "early stopping after",
     .rank = 15,
     .help =
         "Stop after N epochs in a row without a new lowest val_loss; the head is that of the best epoch"},
    {.name = "tolerance",
     .value = "X",
     .type = OPTION_REAL,
     ROW(tolerance),
     .minimum = 1e-15,
     .maximum = 1,
     .methods = LBFGS,
     .attribute = "tolerance",
     .optional = true,
     .label = "tolerance",
     .rank = 3,
     .help = "For lbfgs: stop when the slope's norm is X times that at the start (default " QUOTE(
         SETTINGS_TOLERANCE) "); --epochs limits its iterations"},
    {.name = "standardize",
     .type = OPTION_FLAG,
     ROW(standardize),
     .attribute = "standardized",
     .label = "standardized features",
     .rank = 12,
     .help = "Fit to features of mean 0 and deviation 1 over the fitted rows, and fold that into the head"},
    {0}};
/* clang-format on */

static const void *field_of(const struct settings *settings, const struct option_row *row) {
    return (const char *)settings + row->offset;
}

void settings_complete(struct settings *settings, bool rate_given, bool factor_given) {
    static const double rates[OPTIM_KINDS] = {
        [OPTIM_ADAM] = SETTINGS_ADAM_RATE, [OPTIM_SGD] = SETTINGS_SGD_RATE};
    if (!rate_given)
        settings->learning_rate = rates[settings->optimizer];
    if (settings->schedule == OPTIM_STEP && !factor_given)
        settings->step_factor = SETTINGS_STEP_FACTOR;
    if (settings->optimizer != OPTIM_LBFGS)
        settings->tolerance = 0;
}

char *settings_text(const struct settings *settings, const struct option_row *row, char text[32]) {
    const void *field = field_of(settings, row);
    if (row->type == OPTION_FLAG)
        snprintf(text, 32, "%d", *(const bool *)field);
    else if (row->type == OPTION_CHOICE)
        snprintf(text, 32, "%s", row->choices[*(const int *)field]);
    else if (row->type == OPTION_REAL)
        snprintf(text, 32, "%.17g", *(const double *)field);
    else
        snprintf(text, 32, "%llu", (unsigned long long)*(const uint64_t *)field);
    return text;
}

bool settings_left_out(const struct settings *settings, const struct option_row *row) {
    const void *field = field_of(settings, row);
    if (!row->optional)
        return false;
    return row->type == OPTION_REAL ? *(const double *)field == 0 : *(const uint64_t *)field == 0;
}

const struct option_row *settings_reported(const struct settings *settings, size_t i) {
    for (int rank = 1; rank < OPTION_ROWS_MAX; rank++)
        for (const struct option_row *row = settings_rows; row->name != NULL; row++) {
            bool applies = row->methods == 0 || (row->methods & 1u << settings->optimizer);
            if (row->rank == rank && applies && !settings_left_out(settings, row) && i-- == 0)
                return row;
        }
    return NULL;
}
