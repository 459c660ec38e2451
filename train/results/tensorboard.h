/* tensorboard: event files of a fit, for TensorBoard, with the tags and steps of Keras' TensorBoard callback.
 * It measures nothing but the histograms of the weights.
 *
 *   DIR/train        epoch_loss, epoch_accuracy, epoch_learning_rate         step: the epoch, from 0
 *                    dense/kernel/histogram, dense/bias/histogram            step: the epoch, from 0
 *   DIR/validation   epoch_loss, epoch_accuracy                              step: the epoch, from 0
 *                    evaluation_loss_vs_iterations,
 *                    evaluation_accuracy_vs_iterations                       step: optimizer steps so far
 *
 * In each of the two, a fit makes one file events.out.tfevents.TIME.HOST.PID.N.v2 of records
 *
 *   u64 length; u32 mask(crc32c(the 8 bytes of length)); data[length]; u32 mask(crc32c(data))
 *   mask(c) = ((c >> 15) | (c << 17)) + 0xa282ead8 mod 2^32; all little-endian
 *
 * data being an Event of tensorboard.proto (record_writer.py and masked_crc.rs of tensorflow/tensorboard). An
 * epoch is one write() per file: a reader sees whole epochs while the fit goes on. Scalars are simple_value
 * and histograms histo, which every version of TensorBoard reads; TENSORBOARD_BUCKETS equal buckets lie
 * between the least weight and the greatest, as in Keras. */
#ifndef TRAIN_RESULTS_TENSORBOARD_H
#define TRAIN_RESULTS_TENSORBOARD_H

#include "common/base/status.h"
#include "train/fit/history.h"
#include "train/head/head.h"
#include <stdbool.h>

enum { TENSORBOARD_BUCKETS = 30 };

struct tensorboard; /* the event files of one fit; one thread at a time */

struct tensorboard_options {
    const char *folder;    /* made when it is not there, with the folders above it */
    bool validation;       /* there are validation rows */
    size_t histogram_freq; /* histograms every so many epochs, the first included; 0: none */
    size_t batches;        /* optimizer steps per epoch */
};

/* Begins a new file in each of the folders; files of earlier runs stay. Closed with tensorboard_close().
 * STATUS_IO, STATUS_NO_MEMORY. */
enum status tensorboard_open(struct tensorboard **board_ret, const struct tensorboard_options *options);

/* Appends what an epoch gave, `head` being as the epoch left it. STATUS_IO, STATUS_NO_MEMORY. */
enum status tensorboard_write(struct tensorboard *board, const struct fit_epoch *epoch,
                              const struct head *head);

/* Closes the files, which stay as they are. NULL is allowed. */
void tensorboard_close(struct tensorboard *board);

#endif
