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

#include "train/report/report_input.h"

/* Writes the page. STATUS_NO_MEMORY; what idx_read() says. Errors of the stream are left to its owner. */
enum status report_write(FILE *stream, const struct report_input *input);

#endif
