/* pipeline: a data set through the network into a cache. It owns the parallelism of `extract`, the order of
 * rows, the memory, and the polite stop; every step of the work is another unit's. */
#ifndef EXTRACT_PIPELINE_H
#define EXTRACT_PIPELINE_H

#include "common/base/status.h"
#include "common/network/conv.h"
#include "common/network/preprocess.h"
#include <stdbool.h>
#include <stddef.h>

struct pipeline_options {
    const char *dataset; /* folder with the four IDX files */
    const char *cache;   /* file to make */
    const char *weights; /* file, or random[:SEED] */
    size_t size;         /* pixels, the side of the input square */
    enum preprocess_mode preprocess;
    const struct conv_engine *engine;
    const char *isa; /* what decides the last bits: instruction set, or OpenBLAS's kernels */
    size_t limit;    /* images of each split at most; 0: all */
    size_t threads;
    bool force;
};

/* What a run did. `seconds` is the time of the images computed in this run alone. */
struct pipeline_result {
    size_t images;  /* computed in this run */
    size_t resumed; /* found done */
    size_t threads; /* options->threads, or fewer when the memory is not enough for them */
    double seconds;
};

/* Runs it all. On STATUS_INTERRUPTED and on failure what was computed is kept in the partial cache. */
enum status pipeline_run(const struct pipeline_options *options, struct pipeline_result *result);

#endif
