/* rows_fixture: rows of features to learn from, for tests: in memory, and in a cache. */
#ifndef TESTS_UNIT_ROWS_FIXTURE_H
#define TESTS_UNIT_ROWS_FIXTURE_H

#include "common/base/mem.h"
#include "tests/unit/cache_fixture.h"
#include "train/rows/data.h"

enum { ROWS_CLASSES = 10, ROWS_TEST = 3 }; /* of a cache: classes, and rows of its test split */

/* Rows in overlapping clusters, one per class. Half of their features are 0, as after a rectifier. Feature 0
 * identifies the row: r + 1 over 4096. Free with data_unload(). */
static inline struct data_split rows_make(size_t count, size_t dim, size_t classes, uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed, 77);
    struct data_split data = {.count = count, .dim = dim, .stride = (dim + 15) / 16 * 16};
    data.features = mem_alloc(count * data.stride, sizeof(float));
    data.labels = mem_alloc(count, sizeof *data.labels);
    memset(data.features, 0, count * data.stride * sizeof(float));
    for (size_t r = 0; r < count; r++) {
        float *row = data.features + r * data.stride;
        data.labels[r] = (uint16_t)rng_below(&rng, classes);
        for (size_t d = 1; d < dim; d++) {
            double x = rng_normal(&rng) + (d % classes == data.labels[r] ? 1 : 0);
            row[d] = x > 0 ? (float)x : 0;
        }
        row[0] = (float)(r + 1) / 4096;
    }
    return data;
}

static inline size_t rows_number(const float *row) {
    return (size_t)(row[0] * 4096) - 1;
}

static inline struct data_rows rows_all(const struct data_split *data) {
    return data_slice(data, 0, data->count);
}

/* Writes a cache whose training rows are `data` (classes: ROWS_CLASSES), in blocks of block_rows. */
static inline void rows_write_cache(const char *path, const struct data_split *data, size_t block_rows) {
    struct cache_info info = fixture_info();
    struct cache_writer *writer = NULL;
    float *features = malloc(block_rows * data->dim * sizeof *features);
    assert_non_null(features);
    info.dim = data->dim;
    info.splits[CACHE_TRAIN].rows = data->count;
    info.splits[CACHE_TEST].rows = ROWS_TEST;
    info.splits[CACHE_TRAIN].block_rows = info.splits[CACHE_TEST].block_rows = block_rows;
    assert_ok(cache_writer_open(&writer, path, &info, true));
    for (size_t first = 0, count; first < data->count; first += count) {
        count = data->count - first < block_rows ? data->count - first : block_rows;
        for (size_t i = 0; i < count; i++)
            memcpy(features + i * data->dim, data->features + (first + i) * data->stride,
                   data->dim * sizeof *features);
        assert_ok(cache_writer_append(writer, CACHE_TRAIN, count, features, data->labels + first));
    }
    static const uint16_t labels[ROWS_TEST];
    memset(features, 0, block_rows * data->dim * sizeof *features);
    for (size_t first = 0, count; first < ROWS_TEST; first += count) {
        count = ROWS_TEST - first < block_rows ? ROWS_TEST - first : block_rows;
        assert_ok(cache_writer_append(writer, CACHE_TEST, count, features, labels));
    }
    assert_ok(cache_writer_finish(writer));
    free(features);
}

#endif
