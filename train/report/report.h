/* report: one fit or evaluation as an HTML page that needs nothing but itself: curves, confusion, mistakes,
 * and how it all was made. It computes nothing that the other results do not have, and writes no file of its
 * own.
 *
 * The page is report.html, which the program carries inside; each {{name}} there is replaced. Everything is
 * in the text, also without JavaScript, which only adds the read-out under the pointer.
 *
 * Pictures of the mistakes come from the data set. This is the one place where `train` opens IDX files, only
 * with
 * --images, only for people to look at, and only when their SHA-256 is the one that the cache was made from:
 * no feature, fit or number depends on them. */
#ifndef TRAIN_REPORT_REPORT_H
#define TRAIN_REPORT_REPORT_H

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

/* Writes the page. STATUS_NO_MEMORY; what idx_read() says. Errors of the stream are left to its owner. */
enum status report_write(FILE *stream, const struct report_input *input);

#endif
