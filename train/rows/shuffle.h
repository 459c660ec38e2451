/* shuffle: the order in which an epoch visits the rows, and where they are.
 *
 * Rows in memory: one part, all rows in the order rng_permutation() of stream `epoch` (from 1) of the seed.
 *
 * Rows in a file, of which only so many fit into memory: the cache's blocks of rows are put in a random
 * order, as many of them as fit are read at a time, and the rows read are put in a random order; all numbers
 * come from that same stream. Batches are cut from the sequence as if it stood in memory: what is left over
 * at the end of a part begins the next. So rows that are far apart in the cache meet in a batch, but not
 * every row meets every other; how many are mixed depends on the memory. */
#ifndef TRAIN_ROWS_SHUFFLE_H
#define TRAIN_ROWS_SHUFFLE_H

#include "common/base/rng.h"
#include "common/base/status.h"
#include "train/rows/data.h"

/* All zero: nothing. */
struct shuffle {
    struct data_rows rows;
    size_t batch;
    uint64_t seed;
    uint32_t *order; /* rows in memory: [rows.count]; else [part_rows] */
    /* of rows in a file alone */
    size_t block_rows, block_count, part_blocks,
        part_rows;           /* part_rows: a batch more than part_blocks blocks */
    uint32_t *blocks;        /* [block_count], this epoch's order */
    float *features, *spare; /* [part_rows][stride], [batch][stride] */
    uint16_t *labels, *spare_labels;
    /* this epoch */
    size_t epoch; /* 0: none */
    struct rng rng;
    size_t next; /* row in memory, or block, that comes next */
    size_t left; /* rows of the last part that did not fill a batch */
    size_t used; /* rows of the last part that did */
};

/* Rows of an epoch, in memory: the i-th is row order[i] of `rows`, i < count. count is a multiple of the
 * batch but in the last part, and 0 behind it. Both belong to the shuffle and last until its next call. */
struct shuffle_part {
    struct data_rows rows;
    const uint32_t *order;
    size_t count;
};

/* `nbytes`: of memory for rows that are in a file; at least a block's and a batch's are taken.
 * STATUS_NO_MEMORY. Freed with shuffle_free(). */
enum status shuffle_create(struct shuffle *shuffle_ret, struct data_rows rows, size_t batch, uint64_t seed,
                           size_t nbytes);
void shuffle_free(struct shuffle *shuffle);

/* Begins an epoch, from 1; one that has just begun stays as it is. */
void shuffle_begin(struct shuffle *shuffle, size_t epoch);

/* The next part of the epoch. What data_window() says. */
enum status shuffle_next(struct shuffle *shuffle, struct shuffle_part *part_ret);

#endif
