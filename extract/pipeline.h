/* pipeline: runs a data set through the network into a cache. It decides what the cache contains, and what of it
 * is still missing. */
#ifndef EXTRACT_PIPELINE_H
#define EXTRACT_PIPELINE_H

#include "common/base/status.h"
#include "common/network/conv.h"
#include "common/network/preprocess.h"
#include <stdbool.h>
#include <stddef.h>

struct pipeline_options {
    const char *dataset; /* what images_open() takes */
    const char *cache;   /* file to make */
    const char *weights; /* file, or random[:SEED] */
    size_t size;         /* pixels, the side of the input square */
    enum preprocess_mode preprocess;
    const struct conv_engine *engine;
    const char *isa; /* decides the last bits: the instruction set, or OpenBLAS's kernels */
    size_t limit;    /* images of each split at most; 0: all */
    size_t threads;
    bool force;
};

/* What a run did. `seconds` is the time for the images of this run only. */
struct pipeline_result {
    size_t images;  /* computed in this run */
    size_t resumed; /* found in the cache */
    size_t threads; /* options->threads, or fewer when the memory is not enough for them */
    double seconds;
};

/* Runs all of it. After STATUS_INTERRUPTED and after a failure, the partial cache keeps what was computed. */
enum status pipeline_run(const struct pipeline_options *options, struct pipeline_result *result);

#endif
