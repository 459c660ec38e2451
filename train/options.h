/* options: the command line of `train`: reads it, checks that it makes sense, and says what is wrong with it.
 * It does nothing else. */
#ifndef TRAIN_OPTIONS_H
#define TRAIN_OPTIONS_H

#include "common/base/log.h"
#include "train/export/export.h"
#include "train/fit/fit.h"
#include "train/fit/sweep.h"
#include <stdbool.h>

/* What a run is for. */
enum options_mode {
    OPTIONS_FIT,
    OPTIONS_EVALUATE,
    OPTIONS_PREDICT,
    OPTIONS_EXPORT,
    OPTIONS_EXPORT_MODEL,
    OPTIONS_MODES
};

enum { OPTIONS_KEYS = 512 }; /* argp's keys are below: letters, and a number for each long option */

/* The command line; strings are argv's own. What was not given has its default, files are NULL. */
struct options {
    enum options_mode mode;
    const char *cache, *output, *history, *logdir, *json, *report, *checkpoint;
    const char *images;  /* the data set of --report's pictures */
    const char *head;    /* of --evaluate, --predict and --head */
    const char *weights; /* of the backbone, for export_model_run() */
    char **argv;         /* as it was given */
    enum export_format export;
    struct fit_options fit; /* but for class_weights, which need the rows */
    struct sweep sweep;     /* count 0: nothing is swept or cross-validated */
    const char *sweep_text; /* of --sweep, or NULL */
    size_t folds;           /* 0: no cross-validation */
    bool refit;
    double validation_split, tolerance;
    size_t memory;           /* bytes for features; 0: not given */
    size_t checkpoint_every; /* epochs */
    size_t histogram_freq;   /* 0: no histograms */
    bool standardize, balanced;
    enum log_level level;
    bool given[OPTIONS_KEYS]; /* by argp's key */
};

/* Fills *options, or exits: with 0 after --help and --version, with CLI_EXIT_USAGE when the line is wrong. */
void options_parse(struct options *options, int argc, char *argv[]);

/* "none", "balanced": --class-weights. */
extern const char *const options_weight_names[2];

#endif
