/* data: rows of features with their labels: in memory, or left in the cache and read a window at a time. */
#ifndef TRAIN_ROWS_DATA_H
#define TRAIN_ROWS_DATA_H

#include "common/cache/cache.h"

struct scale;

enum { DATA_WINDOW_MIN = 256 }; /* rows: a window of rows in a file has so many, unless the split ends */

/* Where rows are that are not in memory. */
struct data_file {
    struct cache *cache;
    enum cache_split split;
    float *features; /* [window_rows][stride]: what was read last */
    uint16_t *labels;
    size_t window_rows;        /* a multiple of the cache's block_rows */
    const struct scale *scale; /* applied to what is read; NULL: none */
};

/* Borrowed rows: features[count][stride], labels[count]. stride is dim rounded up to a multiple of 16, and
 * zeros stand between, so that no kernel has to care. Rows whose features are NULL are in `file`, where the
 * first of them is row `first`; only data_window() gets at them. */
struct data_rows {
    const float *features;
    const uint16_t *labels;
    size_t count, dim, stride;
    struct data_file *file;
    size_t first;
};

/* One split of a cache, owned. All zero: nothing loaded. */
struct data_split {
    float *features; /* [count][stride]; NULL: in `file` */
    uint16_t *labels;
    size_t count, dim, stride;
    struct data_file *file;
};

/* Bytes of the features of a split in memory; SIZE_MAX if that is more. */
size_t data_nbytes(const struct cache_info *info, enum cache_split split);

/* Bytes of one row in memory, and rows of the windows that data_open() makes. */
size_t data_row_nbytes(const struct cache_info *info);
size_t data_window_rows(const struct cache_info *info, enum cache_split split, size_t window_nbytes);

/* Reads and verifies a whole split; free with data_unload(). STATUS_NO_MEMORY, or what cache_read() says. */
enum status data_load(struct cache *cache, enum cache_split split, struct data_split *data_ret);

/* Like data_load(), but leaves the features in the cache, which must stay open, and works with windows of
 * about window_nbytes, at least of some hundred rows. */
enum status data_open(struct cache *cache, enum cache_split split, size_t window_nbytes,
                      struct data_split *data_ret);

void data_unload(struct data_split *data);

/* Rows first..first+count-1 of a split. */
struct data_rows data_slice(const struct data_split *data, size_t first, size_t count);

/* Rows first..first+n-1 of `rows` in memory, n being `most`, or what is left, or what a window holds, and
 * then at least DATA_WINDOW_MIN. What is in a file is read and verified again, and there until the next call.
 * STATUS_CORRUPT and what else cache_read() says. */
enum status data_window(struct data_rows rows, size_t first, size_t most, struct data_rows *window_ret);

/* Scales all rows of a split: in place, or, when they are in a file, whenever they are read from now on. */
void data_scale(struct data_split *data, const struct scale *scale, int threads);

/* The first row, in memory, with a feature that is not a finite number, or rows.count. */
size_t data_find_not_finite(struct data_rows rows);

/* STATUS_NOT_FINITE, naming the row (row 0 of `rows` is called `first`), when there is such a feature; what
 * data_window() says. */
enum status data_check_finite(struct data_rows rows, size_t first);

#endif
