/* pipeline: runs a data set through the network into a cache. common/stream.h does the work itself. */
#include "extract/pipeline.h"
#include "common/base/log.h"
#include "common/base/progress.h"
#include "common/cache/cache_writer.h"
#include "common/images/images.h"
#include "common/network/weights.h"
#include "common/stream.h"

#include <stdio.h>
#include <string.h>

struct pipeline {
    const struct pipeline_options *options;
    struct images *images;
    struct weights weights;
    struct vgg16 *network;
    struct cache_writer *writer;
    struct cache_info info;
};

/* Describes the cache: everything that changes a feature, and where it all comes from. */
static void describe(struct pipeline *pipeline) {
    const struct pipeline_options *options = pipeline->options;
    const struct images_info *images = images_info(pipeline->images);
    struct cache_info *info = &pipeline->info;
    info->dim = backbone_dim(options->size);
    info->classes = images->classes;
    info->input_size = options->size;
    snprintf(info->created_by, CACHE_TEXT, "vggcache " VGGCACHE_VERSION);
    snprintf(info->backbone, CACHE_TEXT, "vgg16");
    snprintf(info->layer, CACHE_TEXT, "block5_pool");
    snprintf(info->resize, CACHE_TEXT, "%s", images->resize);
    snprintf(info->preprocess, CACHE_TEXT, "%s", preprocess_names[options->preprocess]);
    snprintf(info->engine, CACHE_TEXT, "%s", options->engine->name);
    snprintf(info->isa, CACHE_TEXT, "%s", options->isa);
    memcpy(info->weights_sha256, pipeline->weights.sha256, sizeof info->weights_sha256);
    snprintf(info->weights_source, sizeof info->weights_source, "%s", pipeline->weights.source);
    for (int s = 0; s < CACHE_SPLITS; s++) {
        const struct images_part *part = &images->parts[s];
        struct cache_split_info *split = &info->splits[s];
        split->rows = part->rows;
        split->block_rows = stream_block_rows(options->size);
        split->image_height = part->height;
        split->image_width = part->width;
        memcpy(split->images_sha256, part->pixels_sha256, sizeof split->images_sha256);
        memcpy(split->labels_sha256, part->labels_sha256, sizeof split->labels_sha256);
        snprintf(split->source, sizeof split->source, "%s", part->source);
    }
}

static enum status append(void *context, enum images_split split, size_t first, size_t count,
                          const float *features, const uint16_t *labels) {
    (void)first;
    return cache_writer_append(context, (enum cache_split)split, count, features, labels);
}

static size_t total_rows(const struct pipeline *pipeline) {
    return (size_t)(pipeline->info.splits[CACHE_TRAIN].rows + pipeline->info.splits[CACHE_TEST].rows);
}

/* Runs what the cache lacks through the network. */
static enum status fill(struct pipeline *pipeline, struct pipeline_result *result) {
    const struct pipeline_options *options = pipeline->options;
    struct stream_result done;
    struct stream_options stream = {.images = pipeline->images,
                                    .network = pipeline->network,
                                    .size = options->size,
                                    .dim = pipeline->info.dim,
                                    .threads = options->threads,
                                    .block_rows = stream_block_rows(options->size),
                                    .sink = append,
                                    .context = pipeline->writer,
                                    .weights = pipeline->info.weights_source};
    size_t total = total_rows(pipeline);
    for (int s = 0; s < CACHE_SPLITS; s++) {
        stream.first[s] = cache_writer_progress(pipeline->writer, (enum cache_split)s);
        stream.done += stream.first[s];
    }
    if (stream.done > 0)
        log_info("%s: going on after %zu of %zu images", options->cache, stream.done, total);
    double begin = progress_clock();
    progress_begin("images", stream.done, total);
    enum status status = stream_run(&stream, &done);
    progress_end();
    *result = (struct pipeline_result){.images = done.rows,
                                       .resumed = stream.done,
                                       .threads = done.threads,
                                       .seconds = progress_clock() - begin};
    if (status == STATUS_INTERRUPTED)
        return status_set(STATUS_INTERRUPTED,
                          "%s: interrupted after %zu of %zu images; the same command goes on there",
                          options->cache, stream.done + done.rows, total);
    return status;
}

enum status pipeline_run(const struct pipeline_options *options, struct pipeline_result *result) {
    struct pipeline pipeline = {.options = options};
    const struct images_options images = {.size = options->size, .limit = options->limit};
    *result = (struct pipeline_result){.threads = options->threads};
    enum status status = images_open(&pipeline.images, options->dataset, &images);
    if (status == STATUS_OK)
        status = weights_load(&pipeline.weights, options->weights);
    if (status == STATUS_OK) {
        describe(&pipeline);
        status = cache_writer_open(&pipeline.writer, options->cache, &pipeline.info, options->force);
    }
    bool nothing_to_do = status == STATUS_OK && pipeline.writer == NULL;
    if (nothing_to_do)
        result->resumed = total_rows(&pipeline);
    if (status == STATUS_OK && !nothing_to_do)
        status = vgg16_create(&pipeline.network, options->engine, options->size, options->preprocess,
                              &pipeline.weights.tensors);
    weights_free(&pipeline.weights); /* the plans have copies */
    if (status == STATUS_OK && !nothing_to_do)
        status = fill(&pipeline, result);
    if (status == STATUS_OK && !nothing_to_do) {
        status = cache_writer_finish(pipeline.writer);
        pipeline.writer = NULL;
    }
    vgg16_free(pipeline.network);
    images_close(pipeline.images);
    cache_writer_close(pipeline.writer);
    return status;
}
