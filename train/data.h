/* data: rows of features with their labels, in memory. */
#ifndef TRAIN_DATA_H
#define TRAIN_DATA_H

#include "common/cache.h"

/* Borrowed rows: features[count][stride], labels[count]. stride is dim rounded up to a multiple of 16, and
 * zeros stand between, so that no kernel has to care. */
struct data_rows {
    const float *features;
    const uint16_t *labels;
    size_t count, dim, stride;
};

/* One split of a cache, owned. All zero: nothing loaded. */
struct data_split {
    float *features; /* [count][stride] */
    uint16_t *labels;
    size_t count, dim, stride;
};

/* Reads and verifies a whole split; free with data_unload(). STATUS_NO_MEMORY, or what cache_read() says. */
enum status data_load(struct cache *cache, enum cache_split split, struct data_split *data_ret);
void data_unload(struct data_split *data);

/* Rows first..first+count-1 of a loaded split. */
struct data_rows data_slice(const struct data_split *data, size_t first, size_t count);

/* The first row with a feature that is not a finite number, or rows.count. */
size_t data_find_not_finite(struct data_rows rows);

/* STATUS_NOT_FINITE, naming the row (row 0 of `rows` is called `first`), when there is such a feature. */
enum status data_check_finite(struct data_rows rows, size_t first);

#endif
