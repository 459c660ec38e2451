/* report_input: what a report shows, and the pictures that it takes from a data set. */
#ifndef TRAIN_REPORT_REPORT_INPUT_H
#define TRAIN_REPORT_REPORT_INPUT_H

#include "common/cache/cache.h"
#include "train/fit/evaluate.h"
#include "train/head/head_io.h"
#include "train/results/record.h"
#include <stdio.h>

enum {
    REPORT_MISTAKES = 30, /* so many are listed, the most confident */
    REPORT_PIXELS_MAX =
        1 << 24 /* in the pictures of one page; where they are more, fewer mistakes have one */
};

/* The test images of a data set. */
struct report_images;

/* Opens the test images in `folder` and reads them once, to learn that the cache `info`, called `cache_path`
 * in messages, was made from them. STATUS_MISMATCH when it was not, naming both; what idx_open() and
 * idx_scan() say. */
enum status report_images_open(struct report_images **images_ret, const char *folder,
                               const struct cache_info *info, const char *cache_path);
void report_images_close(struct report_images *images); /* NULL is allowed */

/* All that the page shows; borrowed. */
struct report_input {
    const char *const *argv;              /* of the command, NULL at the end */
    const struct record_results *results; /* history NULL: nothing was fitted */
    size_t kept; /* the index in the history of the epoch whose weights the head has */
    const struct head_io_training *training;
    const struct cache_info *info;
    const char *head_path, *cache_path;
    size_t classes;
    const uint16_t *labels, *predicted; /* [test rows] */
    const float *probabilities;         /* [test rows]: of the class that was predicted, */
    const float *label_probabilities;   /* [test rows]: and of the row's own */
    const struct evaluate_class *per_class;
    const size_t *matrix;         /* [classes][classes] (row: label), used up to TABLE_MATRIX_MAX classes */
    struct report_images *images; /* NULL: no pictures */
};

#endif
