/* options: the command line of `train`: reads it, checks that it makes sense, and says what is wrong with it.
 * It does nothing else. */
#ifndef TRAIN_OPTIONS_H
#define TRAIN_OPTIONS_H

#include "common/base/log.h"
#include "train/export/export.h"
#include "train/fit/sweep.h"
#include "train/head/settings.h"
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

/* The command line; strings are argv's own. What was not given has its default, files are NULL. */
struct options {
    enum options_mode mode;
    const char *cache, *output, *history, *logdir, *json, *report, *checkpoint;
    const char *images; /* the data set of --report's pictures */
    const char *evaluate, *predict,
        *head;                /* saved heads; `head` is that of the job, whichever option named it */
    const char *weights;      /* of the backbone, for export_model_run() */
    char **argv;              /* as it was given */
    int export;               /* enum export_format */
    struct settings settings; /* of the fit */
    uint64_t threads;
    struct sweep sweep;     /* count 0: nothing is swept or cross-validated */
    const char *sweep_text; /* of --sweep, or NULL */
    uint64_t folds;         /* 0: no cross-validation */
    bool refit;
    size_t memory;                             /* bytes for features; 0: not given */
    uint64_t checkpoint_every, histogram_freq; /* epochs; 0: no histograms */
    int level;                                 /* enum log_level */
};

/* Fills *options, or exits: with 0 after --help and --version, with CLI_EXIT_USAGE when the line is wrong. */
void options_parse(struct options *options, int argc, char *argv[]);

#endif
