/* pipeline: a data set through the network into a cache.
 *
 * The rows of a split are cut into blocks, the cache's own. A block goes through three OpenMP tasks, read ->
 * compute -> append, which wait for each other through `depend`: reads follow each other in order, and so do
 * appends, while computes run on all threads. A block lives in a slot; there are two slots per thread, which
 * bounds the memory. So rows are in order and the same bits come out for any number of threads. */
#include "extract/pipeline.h"
#include "common/base/interrupt.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/cache/cache.h"
#include "common/cache/cache_writer.h"
#include "common/images/idx.h"
#include "common/images/resize.h"
#include "common/network/vgg16.h"
#include "common/network/weights.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *images, *labels;
} file_names[CACHE_SPLITS] = {
    [CACHE_TRAIN] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
    [CACHE_TEST] = {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
};

/* A split's two files and the tables to resize its images. */
struct source {
    struct idx *images, *labels;
    struct resize *resize;
    uint8_t *image; /* [height][width]: one image as read */
};

struct slot {
    uint8_t *gray;    /* [block_rows][size][size] */
    uint16_t *labels; /* [block_rows] */
    float *features;  /* [block_rows][dim] */
    bool computed;    /* the features are there */
};

struct pipeline {
    const struct pipeline_options *options;
    struct weights weights;
    struct vgg16 *vgg16;
    struct cache_writer *writer;
    struct cache_info info;
    struct source sources[CACHE_SPLITS];
    struct slot *slots;
    void **workspaces; /* [threads] */
    size_t threads, slot_count, block_rows, done, total;
    _Atomic(enum status) status; /* of the first task that failed */
};

/* Rows of a block: enough to read the late layers' weights once for many images, few enough to stop soon. */
static size_t choose_block_rows(size_t size) {
    size_t rows = 64 * 56 * 56 / (size * size);
    return rows > 64 ? 64 : rows < 4 ? 4 : rows;
}

static enum status open_source(struct source *source, const struct pipeline_options *options, int s,
                               struct cache_info *info) {
    struct cache_split_info *split = &info->splits[s];
    uint8_t largest_pixel, largest_label;
    enum status status = idx_open(&source->images, options->dataset, file_names[s].images, IDX_IMAGES);
    if (status == STATUS_OK)
        status = idx_open(&source->labels, options->dataset, file_names[s].labels, IDX_LABELS);
    if (status != STATUS_OK)
        return status;
    size_t count = idx_count(source->images);
    if (count != idx_count(source->labels))
        return status_set(
            STATUS_FORMAT, "%s: %zu images, but %s has %zu labels; they must be of the same data set",
            idx_path(source->images), count, idx_path(source->labels), idx_count(source->labels));
    split->rows = options->limit > 0 && options->limit < count ? options->limit : count;
    split->block_rows = choose_block_rows(options->size);
    split->image_height = idx_height(source->images);
    split->image_width = idx_width(source->images);
    snprintf(split->source, sizeof split->source, "%s", idx_path(source->images));
    status = idx_scan(source->images, split->rows, split->images_sha256, &largest_pixel);
    if (status == STATUS_OK)
        status = idx_scan(source->labels, split->rows, split->labels_sha256, &largest_label);
    if (status == STATUS_OK)
        status = resize_create(&source->resize, split->image_height, split->image_width, options->size);
    source->image = malloc(split->image_height * split->image_width);
    if (status == STATUS_OK && source->image == NULL)
        status = status_set_no_memory(split->image_height * split->image_width, split->source);
    if (status == STATUS_OK && largest_label + 1u > info->classes)
        info->classes = largest_label + 1u;
    return status;
}

static void describe(struct cache_info *info, const struct pipeline_options *options) {
    info->dim = backbone_dim(options->size);
    info->input_size = options->size;
    snprintf(info->created_by, CACHE_TEXT, "vggcache " VGGCACHE_VERSION);
    snprintf(info->backbone, CACHE_TEXT, "vgg16");
    snprintf(info->layer, CACHE_TEXT, "block5_pool");
    snprintf(info->resize, CACHE_TEXT, RESIZE_NAME);
    snprintf(info->preprocess, CACHE_TEXT, "%s", preprocess_names[options->preprocess]);
    snprintf(info->engine, CACHE_TEXT, "%s", options->engine->name);
    snprintf(info->isa, CACHE_TEXT, "%s", options->isa);
}

/* The threads that the memory is enough for, a workspace and two slots each. The result does not depend on them. */
static enum status choose_threads(struct pipeline *pipeline, size_t workspace_nbytes) {
    const struct pipeline_options *options = pipeline->options;
    size_t rows = pipeline->block_rows, gray = rows * options->size * options->size;
    size_t slot_nbytes = mem_block_nbytes(gray) + mem_block_nbytes(rows * pipeline->info.dim * sizeof(float));
    size_t thread_nbytes = mem_block_nbytes(workspace_nbytes) + 2 * slot_nbytes;
    size_t available = mem_available_nbytes() / 8 * 7, threads = available / thread_nbytes;
    if (threads == 0)
        return status_set(
            STATUS_NO_MEMORY,
            "one thread needs %zu MB of memory at --size=%zu, and the machine, its control group or "
            "ulimit -v leave %zu MB to this process",
            (thread_nbytes >> 20) + 1, options->size, available >> 20);
    pipeline->threads = threads < options->threads ? threads : options->threads;
    if (threads < options->threads)
        log_info("%zu of %zu threads: each needs %zu MB of memory, and %zu MB are left to this process",
                 threads, options->threads, (thread_nbytes >> 20) + 1, available >> 20);
    return STATUS_OK;
}

/* Slots and workspaces, all the memory of the run. */
static enum status allocate(struct pipeline *pipeline) {
    const struct pipeline_options *options = pipeline->options;
    size_t rows = pipeline->block_rows, pixels = options->size * options->size;
    size_t workspace_nbytes = vgg16_workspace_nbytes(pipeline->vgg16, rows);
    enum status status = choose_threads(pipeline, workspace_nbytes);
    if (status != STATUS_OK)
        return status;
    pipeline->slot_count = 2 * pipeline->threads;
    pipeline->slots = calloc(pipeline->slot_count, sizeof *pipeline->slots);
    pipeline->workspaces = calloc(pipeline->threads, sizeof *pipeline->workspaces);
    if (pipeline->slots == NULL || pipeline->workspaces == NULL)
        return status_set_no_memory(pipeline->slot_count * sizeof *pipeline->slots, "blocks of images");
    for (size_t i = 0; i < pipeline->slot_count; i++) {
        struct slot *slot = &pipeline->slots[i];
        slot->gray = mem_alloc(rows, pixels);
        slot->labels = mem_alloc(rows, sizeof *slot->labels);
        slot->features = mem_alloc(rows * pipeline->info.dim, sizeof *slot->features);
        if (slot->gray == NULL || slot->labels == NULL || slot->features == NULL)
            return status_set_no_memory(rows * pixels, "blocks of images; a smaller --size or fewer "
                                                       "--threads need less");
    }
    for (size_t i = 0; i < pipeline->threads; i++)
        if ((pipeline->workspaces[i] = mem_alloc(workspace_nbytes, 1)) == NULL)
            return status_set_no_memory(workspace_nbytes, "workspace of a thread; a smaller --size or fewer "
                                                          "--threads need less");
    return STATUS_OK;
}

static void release(struct pipeline *pipeline) {
    for (size_t i = 0; i < pipeline->slot_count && pipeline->slots != NULL; i++) {
        mem_free(pipeline->slots[i].gray);
        mem_free(pipeline->slots[i].labels);
        mem_free(pipeline->slots[i].features);
    }
    free(pipeline->slots);
    for (size_t i = 0; i < pipeline->threads && pipeline->workspaces != NULL; i++)
        mem_free(pipeline->workspaces[i]);
    free(pipeline->workspaces);
    for (int s = 0; s < CACHE_SPLITS; s++) {
        idx_close(pipeline->sources[s].images);
        idx_close(pipeline->sources[s].labels);
        resize_free(pipeline->sources[s].resize);
        free(pipeline->sources[s].image);
    }
    vgg16_free(pipeline->vgg16);
    weights_free(&pipeline->weights);
    cache_writer_close(pipeline->writer);
}

/* Keeps the first failure (or the interruption). */
static void record(struct pipeline *pipeline, enum status status) {
    enum status none = STATUS_OK;
    atomic_compare_exchange_strong(&pipeline->status, &none, status);
}

/* The three tasks of a block. Once something failed, all that follow do nothing; after an interruption the
 * blocks whose computing has begun are still finished and kept, as far as no gap is before them. */
static void read_block(struct pipeline *pipeline, struct slot *slot, int s, size_t rows) {
    struct source *source = &pipeline->sources[s];
    size_t pixels = pipeline->options->size * pipeline->options->size;
    if (interrupt_signal() != 0)
        record(pipeline, STATUS_INTERRUPTED);
    for (size_t i = 0; i < rows && pipeline->status == STATUS_OK; i++) {
        uint8_t label;
        enum status status = idx_read(source->images, 1, source->image);
        if (status == STATUS_OK)
            status = idx_read(source->labels, 1, &label);
        if (status != STATUS_OK) {
            record(pipeline, status);
            return;
        }
        resize_run(source->resize, source->image, slot->gray + i * pixels);
        slot->labels[i] = label;
    }
}

static void compute_block(struct pipeline *pipeline, struct slot *slot, size_t rows) {
    slot->computed = pipeline->status == STATUS_OK;
    if (slot->computed)
        vgg16_run(pipeline->vgg16, rows, slot->gray, slot->features,
                  pipeline->workspaces[omp_get_thread_num()]);
}

static void append_block(struct pipeline *pipeline, const struct slot *slot, int s, size_t first,
                         size_t rows) {
    enum status status = pipeline->status;
    if (status == STATUS_INTERRUPTED && slot->computed &&
        first == cache_writer_progress(pipeline->writer, (enum cache_split)s))
        status = STATUS_OK;
    if (status != STATUS_OK)
        return;
    size_t dim = pipeline->info.dim;
    for (size_t i = 0; i < rows * dim && status == STATUS_OK; i++)
        if (!isfinite(slot->features[i]))
            status = status_set(STATUS_NOT_FINITE,
                                "image %zu of %s: a feature is not finite; the weights are too large for "
                                "float32 (%s)",
                                first + i / dim, cache_split_names[s], pipeline->info.weights_source);
    if (status == STATUS_OK)
        status =
            cache_writer_append(pipeline->writer, (enum cache_split)s, rows, slot->features, slot->labels);
    if (status != STATUS_OK) {
        record(pipeline, status);
        return;
    }
    pipeline->done += rows;
    progress_update(pipeline->done);
}

/* Creates the tasks of all blocks of a split that are not done; the tasks outlive the call. */
static void spawn_split(struct pipeline *pipeline, int s, size_t *next_slot) {
    size_t rows = pipeline->info.splits[s].rows, block = pipeline->block_rows;
    char *input = (char *)&pipeline->sources,
         *output = (char *)&pipeline->writer; /* names for `depend` alone */
    (void)input, (void)output;
    for (size_t first = cache_writer_progress(pipeline->writer, (enum cache_split)s); first < rows;
         first += block) {
        size_t count = rows - first < block ? rows - first : block;
        struct slot *slot = &pipeline->slots[(*next_slot)++ % pipeline->slot_count];
        char *held = (char *)slot;
        (void)held;
        if (pipeline->status != STATUS_OK)
            return;
#pragma omp task depend(inout : input[0], held[0]) firstprivate(slot, s, count)
        read_block(pipeline, slot, s, count);
#pragma omp task depend(inout : held[0]) firstprivate(slot, count)
        compute_block(pipeline, slot, count);
#pragma omp task depend(inout : output[0], held[0]) firstprivate(slot, s, first, count)
        append_block(pipeline, slot, s, first, count);
    }
}

static enum status run_blocks(struct pipeline *pipeline, struct pipeline_result *result) {
    size_t next_slot = 0, progress[CACHE_SPLITS];
    for (int s = 0; s < CACHE_SPLITS; s++) {
        progress[s] = cache_writer_progress(pipeline->writer, (enum cache_split)s);
        pipeline->total += pipeline->info.splits[s].rows;
        pipeline->done += progress[s];
        enum status status = idx_skip(pipeline->sources[s].images, progress[s]);
        if (status == STATUS_OK)
            status = idx_skip(pipeline->sources[s].labels, progress[s]);
        if (status != STATUS_OK)
            return status;
    }
    result->resumed = pipeline->done;
    if (pipeline->done > 0)
        log_info("%s: going on behind %zu of %zu images", pipeline->options->cache, pipeline->done,
                 pipeline->total);
    double begin = progress_clock();
    progress_begin("images", pipeline->done, pipeline->total);
#pragma omp parallel num_threads((int)pipeline->threads)
#pragma omp single
    for (int s = 0; s < CACHE_SPLITS; s++)
        spawn_split(pipeline, s, &next_slot);
    progress_end();
    result->seconds = progress_clock() - begin;
    result->images = pipeline->done - result->resumed;
    result->threads = pipeline->threads;
    if (pipeline->status == STATUS_INTERRUPTED)
        return status_set(STATUS_INTERRUPTED,
                          "%s: interrupted after %zu of %zu images; the same command goes on there",
                          pipeline->options->cache, pipeline->done, pipeline->total);
    return pipeline->status;
}

enum status pipeline_run(const struct pipeline_options *options, struct pipeline_result *result) {
    struct pipeline pipeline = {.options = options, .block_rows = choose_block_rows(options->size)};
    *result = (struct pipeline_result){.threads = options->threads};
    enum status status = STATUS_OK;
    for (int s = 0; s < CACHE_SPLITS && status == STATUS_OK; s++)
        status = open_source(&pipeline.sources[s], options, s, &pipeline.info);
    if (status == STATUS_OK)
        status = weights_load(&pipeline.weights, options->weights);
    if (status != STATUS_OK)
        goto out;
    describe(&pipeline.info, options);
    memcpy(pipeline.info.weights_sha256, pipeline.weights.sha256, sizeof pipeline.weights.sha256);
    memcpy(pipeline.info.weights_source, pipeline.weights.source, sizeof pipeline.weights.source);
    status = cache_writer_open(&pipeline.writer, options->cache, &pipeline.info, options->force);
    if (status != STATUS_OK)
        goto out;
    if (pipeline.writer == NULL) {
        result->resumed =
            (size_t)(pipeline.info.splits[CACHE_TRAIN].rows + pipeline.info.splits[CACHE_TEST].rows);
        goto out;
    }
    status = vgg16_create(&pipeline.vgg16, options->engine, options->size, options->preprocess,
                          &pipeline.weights.tensors);
    weights_free(&pipeline.weights); /* the plans have their own */
    if (status == STATUS_OK)
        status = allocate(&pipeline);
    if (status == STATUS_OK)
        status = run_blocks(&pipeline, result);
    if (status == STATUS_OK) {
        status = cache_writer_finish(pipeline.writer);
        pipeline.writer = NULL;
    }
out:
    release(&pipeline);
    return status;
}
