/* stream: runs pictures through the network and gives their features, in order. It owns the threads, the memory of
 * blocks, and the stop after a signal. It does not know what its caller does with the features. Memory does not grow
 * with the number of pictures. */
#ifndef COMMON_STREAM_H
#define COMMON_STREAM_H

#include "common/base/status.h"
#include "common/images/images.h"
#include "common/network/vgg16.h"
#include <stddef.h>
#include <stdint.h>

/* Takes rows first..first+count-1 of a split: features[count][dim] and labels[count]. It is called in the order of
 * rows, on one thread at a time. A status that is not STATUS_OK ends the stream. */
typedef enum status (*stream_sink)(void *context, enum images_split split, size_t first, size_t count,
                                   const float *features, const uint16_t *labels);

struct stream_options {
    struct images *images;       /* opened with `size` */
    const struct vgg16 *network; /* of `size` */
    size_t size, dim, threads;
    size_t block_rows;           /* stream_block_rows(size), or that of the cache to continue */
    size_t first[IMAGES_SPLITS]; /* the row to begin with; a multiple of block_rows, or all rows */
    size_t done;                 /* rows that an earlier run did, for the progress */
    stream_sink sink;
    void *context;
    const char *weights; /* for messages: where the weights came from */
};

struct stream_result {
    size_t rows;    /* given to the sink */
    size_t threads; /* options->threads, or fewer when the memory is not enough for them */
};

/* Rows of a block: enough to read the weights of late layers once for many images, and few enough to stop soon. */
size_t stream_block_rows(size_t size);

/* Runs all rows from `first` on through the network. After a signal, the blocks that were begun are still given to
 * the sink, if no block before them is missing: STATUS_INTERRUPTED. STATUS_NOT_FINITE names the image.
 * STATUS_NO_MEMORY, and those of images_read() and the sink. The caller calls progress_begin() and progress_end();
 * the unit is rows. */
enum status stream_run(const struct stream_options *options, struct stream_result *result);

#endif
