/* settings: what a fit is asked to do, one row per setting: its option, its range, its name in the head's file, in
 * checkpoints and in JSON, and its place in a report. Whoever reads or writes settings takes names and values from
 * here, so that a new one is a member and a row. What a setting does is the business of train/fit/. */
#ifndef TRAIN_HEAD_SETTINGS_H
#define TRAIN_HEAD_SETTINGS_H

#include "common/base/option.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* OPTIM_LBFGS takes all rows at once (lbfgs.h), the others batches (optim.h). */
enum optim_kind { OPTIM_ADAM, OPTIM_SGD, OPTIM_LBFGS, OPTIM_KINDS };
enum optim_schedule { OPTIM_CONSTANT, OPTIM_COSINE, OPTIM_STEP, OPTIM_SCHEDULES };

/* Their names, and "none", "balanced"; each list ends with NULL. */
extern const char *const settings_optimizers[OPTIM_KINDS + 1], *const settings_schedules[OPTIM_SCHEDULES + 1];
extern const char *const settings_class_weights[3];

/* Defaults, as macros, so that --help can quote them; Keras' where Keras has the setting. */
#define SETTINGS_EPOCHS 200
#define SETTINGS_BATCH_SIZE 128
#define SETTINGS_ADAM_RATE 0.001
#define SETTINGS_SGD_RATE 0.01
#define SETTINGS_VALIDATION_SPLIT 0.2
#define SETTINGS_TOLERANCE 1e-6
#define SETTINGS_STEP_FACTOR 0.1

struct settings {
    uint64_t epochs, batch_size, seed;
    int optimizer; /* enum optim_kind */
    double learning_rate, momentum;
    bool nesterov;
    double l2, validation_split;
    int class_weights; /* 1: balanced */
    int schedule;      /* enum optim_schedule */
    uint64_t step_epochs;
    double step_factor;      /* with step_epochs: of the schedule step, else 0 */
    uint64_t early_stopping; /* epochs in a row without a new lowest val_loss; 0: none */
    double tolerance;        /* of lbfgs, else 0 */
    bool standardize;
};

extern const struct settings settings_default;

/* The rows, in the order in which a head's file has them, ending with one without a name. Their offsets are into struct
 * settings; their group of --help is SETTINGS_GROUP, their jobs SETTINGS_JOB, their methods bits of enum optim_kind. The
 * first SETTINGS_ALWAYS are in every head's file; heads of older programs lack some of the others. */
enum { SETTINGS_GROUP = 1, SETTINGS_JOB = 1, SETTINGS_ALWAYS = 9 };
extern const struct option_row settings_rows[];

/* Fills in what follows from other settings, once a command line is read: the rate of the optimizer and the factor of
 * the schedule where none was given, and 0 where a setting does not apply. */
void settings_complete(struct settings *settings, bool rate_given, bool factor_given);

/* The value of a row as text, into text[32]; returns `text`. A flag is "1" or "0". */
char *settings_text(const struct settings *settings, const struct option_row *row, char text[32]);

/* The i-th setting of a report, from 0, of those that apply to this fit; NULL behind the last. */
const struct option_row *settings_reported(const struct settings *settings, size_t i);

/* Whether a row's value is 0 and it need not be kept. */
bool settings_left_out(const struct settings *settings, const struct option_row *row);

#endif
