/* cache_fixture: a small cache for tests: 11 training and 5 test rows of 6 features in blocks of 4. Each value
 * depends on its split, row and column. */
#ifndef TESTS_UNIT_CACHE_FIXTURE_H
#define TESTS_UNIT_CACHE_FIXTURE_H

#include "common/base/h5.h"
#include "common/cache/cache.h"
#include "common/cache/cache_writer.h"
#include "tests/unit/unit.h"

enum { FIXTURE_DIM = 6, FIXTURE_BLOCK = 4, FIXTURE_TRAIN = 11, FIXTURE_TEST = 5, FIXTURE_BLOCKS = 3 + 2 };

static inline struct cache_info fixture_info(void) {
    struct cache_info info = {
        .dim = FIXTURE_DIM,
        .classes = 10,
        .input_size = 56,
        .created_by = "vggcache test",
        .backbone = "vgg16",
        .layer = "block5_pool",
        .resize = "cv2 INTER_LINEAR",
        .preprocess = "rescale",
        .weights_source = "random:0",
        .engine = "gemm",
        .isa = "Haswell",
    };
    memset(info.weights_sha256, 'a', DIGEST_HEX_SIZE - 1);
    for (int s = 0; s < CACHE_SPLITS; s++) {
        struct cache_split_info *split = &info.splits[s];
        split->rows = s == CACHE_TRAIN ? FIXTURE_TRAIN : FIXTURE_TEST;
        split->block_rows = FIXTURE_BLOCK;
        split->image_height = 28;
        split->image_width = 27;
        memset(split->images_sha256, 'b' + s, DIGEST_HEX_SIZE - 1);
        memset(split->labels_sha256, 'd' + s, DIGEST_HEX_SIZE - 1);
        snprintf(split->source, sizeof split->source, "folder/%s", cache_split_names[s]);
    }
    return info;
}

static inline float fixture_feature(int split, uint64_t row, uint64_t column) {
    return (float)(split + 1) * 1000 + (float)row + (float)column / 16;
}

static inline uint16_t fixture_label(const struct cache_info *info, int split, uint64_t row) {
    return (uint16_t)((7 * row + 3 * (uint64_t)split + info->classes - 1) % info->classes);
}

/* Appends the block that comes next in `split`. */
static inline enum status fixture_append(struct cache_writer *writer, const struct cache_info *info,
                                         int split) {
    float features[FIXTURE_BLOCK * FIXTURE_DIM];
    uint16_t labels[FIXTURE_BLOCK];
    uint64_t first = cache_writer_progress(writer, (enum cache_split)split),
             left = info->splits[split].rows - first;
    uint64_t count = left < FIXTURE_BLOCK ? left : FIXTURE_BLOCK;
    for (uint64_t i = 0; i < count; i++) {
        labels[i] = fixture_label(info, split, first + i);
        for (uint64_t j = 0; j < FIXTURE_DIM; j++)
            features[i * FIXTURE_DIM + j] = fixture_feature(split, first + i, j);
    }
    return cache_writer_append(writer, (enum cache_split)split, count, features, labels);
}

/* Writes what is missing of the cache `path`: at most `blocks` blocks and then stops without finishing, or all of
 * them and finishes. */
static inline enum status fixture_write(const char *path, const struct cache_info *info, int blocks,
                                        bool force) {
    struct cache_writer *writer;
    enum status status = cache_writer_open(&writer, path, info, force);
    if (status != STATUS_OK || writer == NULL)
        return status;
    for (int s = 0; s < CACHE_SPLITS && status == STATUS_OK; s++)
        while (status == STATUS_OK &&
               cache_writer_progress(writer, (enum cache_split)s) < info->splits[s].rows) {
            if (blocks-- == 0) {
                cache_writer_close(writer);
                return STATUS_OK;
            }
            status = fixture_append(writer, info, s);
        }
    if (status == STATUS_OK)
        return cache_writer_finish(writer);
    cache_writer_close(writer);
    return status;
}

/* Reads all rows up to the progress of an open cache: STATUS_MISMATCH when a value is not the fixture's. */
static inline enum status fixture_read(struct cache *cache) {
    const struct cache_info *info = cache_info(cache);
    for (int s = 0; s < CACHE_SPLITS; s++) {
        uint64_t rows = info->splits[s].progress;
        float *features = malloc((rows + 1) * info->dim * sizeof *features);
        uint16_t *labels = malloc((rows + 1) * sizeof *labels);
        if (features == NULL || labels == NULL)
            abort();
        enum status status = cache_read(cache, (enum cache_split)s, 0, rows, features, labels);
        for (uint64_t i = 0; i < rows && status == STATUS_OK; i++) {
            if (labels[i] != fixture_label(info, s, i))
                status = status_set(STATUS_MISMATCH, "label %d of %d", (int)i, s);
            for (uint64_t j = 0; j < info->dim; j++)
                if (features[i * info->dim + j] != fixture_feature(s, i, j))
                    status = status_set(STATUS_MISMATCH, "feature %d, %d of %d", (int)i, (int)j, s);
        }
        free(features);
        free(labels);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* Opens the cache `path` and reads all of it; *progress_ret is the number of its rows. */
static inline enum status fixture_check(const char *path, uint64_t *progress_ret) {
    struct cache *cache = NULL;
    enum status status = cache_open(&cache, path);
    if (status != STATUS_OK)
        return status;
    const struct cache_info *info = cache_info(cache);
    *progress_ret = info->splits[0].progress + info->splits[1].progress;
    status = fixture_read(cache);
    cache_close(cache);
    return status;
}

/* Where a dataset's bytes stand in the file. */
static inline void fixture_place(const char *path, const char *name, size_t *offset_ret, size_t *nbytes_ret) {
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    assert_true(dataset >= 0);
    *offset_ret = (size_t)H5Dget_offset(dataset);
    *nbytes_ret = (size_t)H5Dget_storage_size(dataset);
    H5Dclose(dataset);
    H5Fclose(file);
}

#endif
