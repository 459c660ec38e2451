/* cache: the reading side of the feature cache. */
#include "common/cache/cache.h"
#include "common/base/output.h"
#include "common/cache/cache_file.h"

#include <stdio.h>
#include <stdlib.h>

struct cache {
    struct cache_file file;
};

enum status cache_open(struct cache **cache_ret, const char *path) {
    struct cache *cache = malloc(sizeof *cache);
    if (cache == NULL)
        return status_set_no_memory(sizeof *cache, path);
    enum status status = cache_file_open(&cache->file, path, false);
    if (status != STATUS_OK) {
        free(cache);
        return status;
    }
    *cache_ret = cache;
    return STATUS_OK;
}

void cache_close(struct cache *cache) {
    if (cache != NULL)
        cache_file_close(&cache->file);
    free(cache);
}

const struct cache_info *cache_info(const struct cache *cache) {
    return &cache->file.info;
}

enum status cache_read(struct cache *cache, enum cache_split split, uint64_t first, uint64_t count,
                       float *features, uint16_t *labels) {
    uint64_t good;
    return cache_file_read(&cache->file, split, first, count, features, labels, &good);
}

char *cache_partial_path(const char *path) {
    char *target = NULL, *partial = NULL;
    if (output_target(&target, path) == STATUS_OK && asprintf(&partial, "%s.partial", target) < 0)
        partial = NULL;
    free(target);
    return partial;
}
