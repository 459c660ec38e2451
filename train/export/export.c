/* export: the features and labels of a cache in files for other software. */
#include "train/export/export.h"
#include "common/base/interrupt.h"
#include "common/base/mem.h"
#include "common/base/output.h"
#include "common/base/progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

const char *const export_names[EXPORT_FORMATS + 1] = {
    [EXPORT_NPY] = "npy", [EXPORT_SVMLIGHT] = "svmlight", [EXPORT_ONNX] = "onnx", [EXPORT_KERAS] = "keras"};

enum { CHUNK_NBYTES = 16 << 20, NPY_HEADER = 128 };

/* The files of one split: features and labels, or both in the first. */
struct files {
    struct output features, labels;
};

static bool same_file(const char *a, const char *b) {
    struct stat stat_a, stat_b;
    return stat(a, &stat_a) == 0 && stat(b, &stat_b) == 0 && stat_a.st_dev == stat_b.st_dev &&
           stat_a.st_ino == stat_b.st_ino;
}

static enum status open_file(struct output *output, const char *cache_path, const char *prefix,
                             enum cache_split split, const char *suffix) {
    char *path = NULL;
    if (asprintf(&path, "%s-%s%s", prefix, cache_split_names[split], suffix) < 0)
        return status_set_no_memory(CACHE_TEXT, prefix);
    enum status status = same_file(path, cache_path)
                             ? status_set(STATUS_IO, "%s: is the cache; choose another --output", path)
                             : output_open(output, path);
    free(path);
    return status;
}

/* The 128 bytes before the data: magic, version 1.0, the length of the rest, and a Python literal padded with
 * spaces, of which a newline is the last. */
static void write_npy_header(FILE *stream, const char *type, const char *shape) {
    static const unsigned char start[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, NPY_HEADER - 10, 0};
    char text[NPY_HEADER - 10];
    snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", type, shape);
    fwrite(start, 1, sizeof start, stream);
    fprintf(stream, "%-*s\n", NPY_HEADER - 10 - 1, text);
}

static enum status open_split(struct files *files, const struct cache_info *info, const char *cache_path,
                              enum cache_split split, enum export_format format, const char *prefix) {
    if (format == EXPORT_SVMLIGHT)
        return open_file(&files->features, cache_path, prefix, split, ".svmlight");
    enum status status = open_file(&files->features, cache_path, prefix, split, "-features.npy");
    if (status == STATUS_OK)
        status = open_file(&files->labels, cache_path, prefix, split, "-labels.npy");
    if (status != STATUS_OK)
        return status;
    char shape[64];
    snprintf(shape, sizeof shape, "%" PRIu64 ", %" PRIu64, info->splits[split].rows, info->dim);
    write_npy_header(files->features.stream, "<f4", shape);
    snprintf(shape, sizeof shape, "%" PRIu64 ",", info->splits[split].rows);
    write_npy_header(files->labels.stream, info->classes > 256 ? "<u2" : "|u1", shape);
    return STATUS_OK;
}

static void write_npy(struct files *files, uint64_t count, const struct cache_info *info,
                      const float *features, const uint16_t *labels) {
    fwrite(features, sizeof *features, count * info->dim, files->features.stream);
    if (info->classes > 256)
        fwrite(labels, sizeof *labels, count, files->labels.stream);
    else
        for (uint64_t r = 0; r < count; r++)
            putc_unlocked(labels[r], files->labels.stream);
}

/* Readers differ in what they make of "nan", and most make nothing good of it. */
static enum status write_svmlight(struct files *files, enum cache_split split, uint64_t first, uint64_t count,
                                  uint64_t dim, const float *features, const uint16_t *labels) {
    FILE *stream = files->features.stream;
    for (uint64_t r = 0; r < count; r++) {
        const float *row = features + r * dim;
        fprintf(stream, "%u", labels[r]);
        for (uint64_t d = 0; d < dim; d++) {
            if (!isfinite(row[d]))
                return status_set(STATUS_NOT_FINITE,
                                  "feature %" PRIu64 " of %s row %" PRIu64 " is not a finite number; remake "
                                  "the cache, or export npy",
                                  d, cache_split_names[split], first + r);
            if (row[d] != 0)
                fprintf(stream, " %" PRIu64 ":%.9g", d + 1, (double)row[d]);
        }
        putc_unlocked('\n', stream);
    }
    return STATUS_OK;
}

static enum status write_split(struct files *files, struct cache *cache, enum cache_split split,
                               enum export_format format, uint64_t before) {
    const struct cache_info *info = cache_info(cache);
    uint64_t rows = info->splits[split].rows, block = info->splits[split].block_rows;
    uint64_t blocks = CHUNK_NBYTES / (block * info->dim * sizeof(float));
    uint64_t chunk = block * (blocks > 0 ? blocks : 1);
    chunk = chunk < rows ? chunk : rows;
    float *features = mem_alloc(chunk * info->dim, sizeof *features);
    uint16_t *labels = mem_alloc(chunk, sizeof *labels);
    enum status status = STATUS_OK;
    if (features == NULL || labels == NULL)
        status = status_set_no_memory(chunk * info->dim * sizeof *features, cache_split_names[split]);
    for (uint64_t first = 0; status == STATUS_OK && first < rows; first += chunk) {
        uint64_t count = rows - first < chunk ? rows - first : chunk;
        status = cache_read(cache, split, first, count, features, labels);
        if (status == STATUS_OK && format == EXPORT_SVMLIGHT)
            status = write_svmlight(files, split, first, count, info->dim, features, labels);
        else if (status == STATUS_OK)
            write_npy(files, count, info, features, labels);
        if (status == STATUS_OK) /* a full disk is noticed now, and not at the end */
            status = output_check(&files->features);
        if (status == STATUS_OK && format == EXPORT_NPY)
            status = output_check(&files->labels);
        if (status == STATUS_OK && interrupt_signal())
            status = status_set(STATUS_INTERRUPTED, "interrupted; nothing was exported");
        progress_update(before + first + count);
    }
    mem_free(labels);
    mem_free(features);
    return status;
}

enum status export_run(struct cache *cache, const char *cache_path, enum export_format format,
                       const char *prefix) {
    const struct cache_info *info = cache_info(cache);
    struct files files[CACHE_SPLITS] = {0};
    uint64_t before = 0;
    enum status status = STATUS_OK;
    for (int s = 0; s < CACHE_SPLITS && status == STATUS_OK; s++)
        status = open_split(&files[s], info, cache_path, (enum cache_split)s, format, prefix);
    progress_begin("rows", 0, info->splits[CACHE_TRAIN].rows + info->splits[CACHE_TEST].rows);
    for (int s = 0; s < CACHE_SPLITS && status == STATUS_OK; s++) {
        status = write_split(&files[s], cache, (enum cache_split)s, format, before);
        before += info->splits[s].rows;
    }
    progress_end();
    for (int s = 0; s < CACHE_SPLITS && status == STATUS_OK; s++) {
        status = output_commit(&files[s].features);
        if (status == STATUS_OK && format == EXPORT_NPY)
            status = output_commit(&files[s].labels);
    }
    for (int s = 0; s < CACHE_SPLITS; s++) {
        output_abort(&files[s].features);
        output_abort(&files[s].labels);
    }
    return status;
}
