/* options: the command line of `extract`: reads it, checks it, and reports what is wrong with it. */
#ifndef EXTRACT_OPTIONS_H
#define EXTRACT_OPTIONS_H

#include "common/base/log.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The jobs of `extract`. */
enum options_job { OPTIONS_EXTRACT, OPTIONS_SUMMARY, OPTIONS_INFO, OPTIONS_VERIFY, OPTIONS_JOBS };

/* The command line. Strings are argv's own. An option that was not given has its default, or is NULL. */
struct options {
    enum options_job job;
    const char *dataset, *output, *weights, *json, *info, *verify;
    uint64_t size, limit, threads, classes;
    int preprocess, engine; /* enum preprocess_mode; of engines_names */
    int trainable;          /* 0: the head, 1: all */
    int level;              /* enum log_level */
    bool force, summary;
};

/* Fills *options, or exits: with 0 after --help and --version, with CLI_EXIT_USAGE when the line is wrong. */
void options_parse(struct options *options, int argc, char *argv[]);

#endif
