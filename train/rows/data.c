/* data: rows of features with their labels. */
#include "train/rows/data.h"
#include "common/base/mem.h"
#include "train/rows/scale.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t stride_of(size_t dim) {
    return (dim + 15) / 16 * 16;
}

/* Moves rows from [count][dim] to [count][stride], the last first, and fills up with zeros. */
static void spread(float *features, size_t count, size_t dim, size_t stride) {
    if (stride == dim)
        return;
    for (size_t r = count; r-- > 0;) {
        float *row = features + r * stride;
        memmove(row, features + r * dim, dim * sizeof(float));
        memset(row + dim, 0, (stride - dim) * sizeof(float));
    }
}

size_t data_nbytes(const struct cache_info *info, enum cache_split split) {
    size_t nbytes;
    return __builtin_mul_overflow(info->splits[split].rows, stride_of(info->dim) * sizeof(float), &nbytes)
               ? SIZE_MAX
               : nbytes;
}

enum status data_load(struct cache *cache, enum cache_split split, struct data_split *data_ret) {
    const struct cache_info *info = cache_info(cache);
    size_t count = info->splits[split].rows, nbytes = data_nbytes(info, split);
    struct data_split data = {.count = count, .dim = info->dim, .stride = stride_of(info->dim)};
    if (nbytes == SIZE_MAX)
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
    spread(data.features, count, data.dim, data.stride);
    *data_ret = data;
    return STATUS_OK;
}

/* Reads window_rows rows at a time, `first` being a multiple of the cache's block_rows. */
static enum status read_window(struct data_file *file, size_t first, size_t count) {
    size_t dim = cache_info(file->cache)->dim;
    enum status status = cache_read(file->cache, file->split, first, count, file->features, file->labels);
    if (status == STATUS_OK)
        spread(file->features, count, dim, stride_of(dim));
    return status;
}

static enum status read_labels(struct data_split *data) {
    struct data_file *file = data->file;
    enum status status = STATUS_OK;
    for (size_t first = 0; first < data->count && status == STATUS_OK; first += file->window_rows) {
        size_t left = data->count - first, count = left < file->window_rows ? left : file->window_rows;
        status = read_window(file, first, count);
        if (status == STATUS_OK)
            memcpy(data->labels + first, file->labels, count * sizeof *data->labels);
    }
    return status;
}

size_t data_row_nbytes(const struct cache_info *info) {
    return stride_of(info->dim) * sizeof(float);
}

size_t data_window_rows(const struct cache_info *info, enum cache_split split, size_t window_nbytes) {
    size_t rows = info->splits[split].rows, block = info->splits[split].block_rows;
    size_t all = rows / block + (rows % block != 0), least = DATA_WINDOW_MIN / block + 2;
    size_t blocks = window_nbytes / data_row_nbytes(info) / block;
    blocks = blocks > least ? blocks : least;
    return block * (blocks < all ? blocks : all);
}

enum status data_open(struct cache *cache, enum cache_split split, size_t window_nbytes,
                      struct data_split *data_ret) {
    const struct cache_info *info = cache_info(cache);
    size_t row_nbytes = data_row_nbytes(info);
    struct data_split data = {
        .count = info->splits[split].rows, .dim = info->dim, .stride = stride_of(info->dim)};
    struct data_file *file = data.file = calloc(1, sizeof *file);
    if (file == NULL)
        return status_set_no_memory(sizeof *file, cache_split_names[split]);
    *file = (struct data_file){
        .cache = cache, .split = split, .window_rows = data_window_rows(info, split, window_nbytes)};
    file->features = mem_alloc(file->window_rows, row_nbytes);
    file->labels = mem_alloc(file->window_rows, sizeof *file->labels);
    data.labels = mem_alloc(data.count, sizeof *data.labels);
    enum status status;
    if (file->features == NULL || file->labels == NULL || data.labels == NULL)
        status = status_set_no_memory(file->window_rows * row_nbytes, cache_split_names[split]);
    else
        status = read_labels(&data);
    if (status == STATUS_OK)
        *data_ret = data;
    else
        data_unload(&data);
    return status;
}

void data_unload(struct data_split *data) {
    if (data->file != NULL) {
        mem_free(data->file->features);
        mem_free(data->file->labels);
        free(data->file);
    }
    mem_free(data->features);
    mem_free(data->labels);
    *data = (struct data_split){0};
}

struct data_rows data_slice(const struct data_split *data, size_t first, size_t count) {
    assert(first <= data->count && count <= data->count - first);
    return (struct data_rows){.features = data->features ? data->features + first * data->stride : NULL,
                              .labels = data->labels + first,
                              .count = count,
                              .dim = data->dim,
                              .stride = data->stride,
                              .file = data->file,
                              .first = first};
}

enum status data_window(struct data_rows rows, size_t first, size_t most, struct data_rows *window_ret) {
    assert(first < rows.count && most > 0);
    struct data_file *file = rows.file;
    size_t count = rows.count - first < most ? rows.count - first : most;
    struct data_rows window = {
        .labels = rows.labels + first, .count = count, .dim = rows.dim, .stride = rows.stride};
    enum status status = STATUS_OK;
    if (rows.features != NULL) {
        window.features = rows.features + first * rows.stride;
    } else {
        const struct cache_split_info *split = &cache_info(file->cache)->splits[file->split];
        size_t block = split->block_rows, wanted = rows.first + first, begin = wanted / block * block;
        size_t end = (wanted + count + block - 1) / block * block;
        end = end < split->rows ? end : split->rows;
        end = end - begin < file->window_rows ? end : begin + file->window_rows;
        window.count = end - wanted < count ? end - wanted : count;
        window.features = file->features + (wanted - begin) * rows.stride;
        status = read_window(file, begin, end - begin);
        if (status == STATUS_OK && file->scale != NULL)
            scale_rows(file->scale, file->features, end - begin, rows.stride, 1);
    }
    *window_ret = window;
    return status;
}

void data_scale(struct data_split *data, const struct scale *scale, int threads) {
    assert(data->dim == scale->dim);
    if (data->features == NULL)
        data->file->scale = scale;
    else
        scale_rows(scale, data->features, data->count, data->stride, threads);
}

size_t data_find_not_finite(struct data_rows rows) {
    for (size_t r = 0; r < rows.count; r++)
        for (size_t d = 0; d < rows.dim; d++)
            if (!isfinite(rows.features[r * rows.stride + d]))
                return r;
    return rows.count;
}

enum status data_check_finite(struct data_rows rows, size_t first) {
    struct data_rows window;
    for (size_t at = 0; at < rows.count; at += window.count) {
        enum status status = data_window(rows, at, SIZE_MAX, &window);
        if (status != STATUS_OK)
            return status;
        size_t row = data_find_not_finite(window);
        if (row < window.count)
            return status_set(STATUS_NOT_FINITE,
                              "the features of training row %zu are not finite numbers; remake the cache",
                              first + at + row);
    }
    return STATUS_OK;
}
