/* run_inspect: the jobs that look at a cache: they print what is in it, or check that every row is as it was
 * written. */
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/cache/cache.h"
#include "extract/run.h"

#include <inttypes.h>
#include <stdio.h>

static void print_line(const char *name, const char *value) {
    printf("%-16s ", name);
    text_print(stdout, value);
    putchar('\n');
}

/* Prints the provenance by name, then each split. */
enum status run_info(const struct options *options) {
    const char *path = options->info;
    struct cache *cache;
    char text[CACHE_SOURCE];
    enum status status = cache_open(&cache, path);
    if (status != STATUS_OK)
        return status;
    const struct cache_info *info = cache_info(cache);
    uint64_t rows = 0, progress = 0;
    for (int s = 0; s < CACHE_SPLITS; s++) {
        rows += info->splits[s].rows;
        progress += info->splits[s].progress;
    }
    print_line("cache", path);
    if (info->complete)
        snprintf(text, sizeof text, "complete, %" PRIu64 " rows of %" PRIu64 " features", rows, info->dim);
    else
        snprintf(text, sizeof text, "unfinished, %" PRIu64 " of %" PRIu64 " rows of %" PRIu64 " features",
                 progress, rows, info->dim);
    print_line("state", text);
    snprintf(text, sizeof text, "%" PRIu64, info->classes);
    print_line("classes", text);
    for (size_t i = 0; i < cache_provenance_count(); i++) {
        const char *name = cache_provenance(info, i, text);
        print_line(name, text);
    }
    print_line("weights_source", info->weights_source);
    print_line("engine", info->engine);
    print_line("isa", info->isa);
    print_line("created_by", info->created_by);
    for (int s = 0; s < CACHE_SPLITS; s++) {
        const struct cache_split_info *split = &info->splits[s];
        printf("\n%s\n", cache_split_names[s]);
        snprintf(text, sizeof text, "%" PRIu64 " of %" PRIu64 ", checked in blocks of %" PRIu64,
                 split->progress, split->rows, split->block_rows);
        print_line("  rows", text);
        snprintf(text, sizeof text, "%" PRIu64 " x %" PRIu64 " pixels", split->image_height,
                 split->image_width);
        print_line("  images", text);
        print_line("  source", split->source);
        print_line("  images_sha256", split->images_sha256);
        print_line("  labels_sha256", split->labels_sha256);
    }
    cache_close(cache);
    return STATUS_OK;
}

static enum status verify_split(struct cache *cache, int s) {
    const struct cache_info *info = cache_info(cache);
    const struct cache_split_info *split = &info->splits[s];
    float *features = mem_alloc(split->block_rows * info->dim, sizeof *features);
    uint16_t *labels = mem_alloc(split->block_rows, sizeof *labels);
    enum status status = STATUS_OK;
    if (features == NULL || labels == NULL)
        status = status_set_no_memory(split->block_rows * info->dim * sizeof *features, "block of the cache");
    for (uint64_t at = 0; at < split->progress && status == STATUS_OK; at += split->block_rows) {
        uint64_t left = split->progress - at, rows = left < split->block_rows ? left : split->block_rows;
        status = cache_read(cache, (enum cache_split)s, at, rows, features, labels);
    }
    mem_free(features);
    mem_free(labels);
    return status;
}

enum status run_verify(const struct options *options) {
    const char *path = options->verify;
    struct cache *cache;
    enum status status = cache_open(&cache, path);
    if (status != STATUS_OK)
        return status;
    const struct cache_info *info = cache_info(cache);
    for (int s = 0; s < CACHE_SPLITS && status == STATUS_OK; s++)
        status = verify_split(cache, s);
    if (status == STATUS_OK) {
        text_print(stdout, path);
        printf(": %s; %" PRIu64 " training rows and %" PRIu64 " test rows are as they were written\n",
               info->complete ? "complete" : "unfinished", info->splits[CACHE_TRAIN].progress,
               info->splits[CACHE_TEST].progress);
    }
    cache_close(cache);
    return status;
}
