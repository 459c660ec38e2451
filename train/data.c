/* data: rows of features with their labels, in memory. */
#include "train/data.h"
#include "common/mem.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Moves rows from [count][dim] to [count][stride], the last first, and fills up with zeros. */
static void spread(struct data_split *data) {
    for (size_t r = data->count; r-- > 0;) {
        float *row = data->features + r * data->stride;
        memmove(row, data->features + r * data->dim, data->dim * sizeof(float));
        memset(row + data->dim, 0, (data->stride - data->dim) * sizeof(float));
    }
}

enum status data_load(struct cache *cache, enum cache_split split, struct data_split *data_ret) {
    const struct cache_info *info = cache_info(cache);
    size_t count = info->splits[split].rows, dim = info->dim;
    struct data_split data = {.count = count, .dim = dim, .stride = (dim + 15) / 16 * 16};
    size_t nbytes;
    if (__builtin_mul_overflow(count, data.stride * sizeof(float), &nbytes))
        return status_set_no_memory(SIZE_MAX, cache_split_names[split]);
    data.features = mem_alloc(count, data.stride * sizeof(float));
    data.labels = mem_alloc(count, sizeof(uint16_t));
    enum status status;
    if (data.features == NULL || data.labels == NULL)
        status = status_set_no_memory(nbytes, cache_split_names[split]);
    else if (count == 0)
        status = STATUS_OK;
    else
        status = cache_read(cache, split, 0, count, data.features, data.labels);
    if (status != STATUS_OK) {
        data_unload(&data);
        return status;
    }
    if (data.stride != dim)
        spread(&data);
    *data_ret = data;
    return STATUS_OK;
}

void data_unload(struct data_split *data) {
    mem_free(data->features);
    mem_free(data->labels);
    *data = (struct data_split){0};
}

struct data_rows data_slice(const struct data_split *data, size_t first, size_t count) {
    assert(first <= data->count && count <= data->count - first);
    return (struct data_rows){.features = data->features + first * data->stride,
                              .labels = data->labels + first,
                              .count = count,
                              .dim = data->dim,
                              .stride = data->stride};
}

size_t data_find_not_finite(struct data_rows rows) {
    for (size_t r = 0; r < rows.count; r++)
        for (size_t d = 0; d < rows.dim; d++)
            if (!isfinite(rows.features[r * rows.stride + d]))
                return r;
    return rows.count;
}

enum status data_check_finite(struct data_rows rows, size_t first) {
    size_t row = data_find_not_finite(rows);
    if (row == rows.count)
        return STATUS_OK;
    return status_set(STATUS_NOT_FINITE,
                      "the features of training row %zu are not finite numbers; remake the cache",
                      first + row);
}
