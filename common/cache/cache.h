/* cache: the feature cache as its readers see it: the one thing that passes between the two programs. The format is
 * that of cache_schema.h; cache_writer.h makes caches. */
#ifndef COMMON_CACHE_CACHE_H
#define COMMON_CACHE_CACHE_H

#include "common/base/status.h"
#include "common/cache/cache_schema.h"

struct cache; /* an open cache; one thread at a time */

/* Opens a cache, or the partial file of one that was interrupted, and checks its whole structure against the
 * schema above and against the file's size; rows are not read yet. STATUS_IO, STATUS_FORMAT. */
enum status cache_open(struct cache **cache_ret, const char *path);
void cache_close(struct cache *cache);                          /* NULL is allowed */
const struct cache_info *cache_info(const struct cache *cache); /* lives as long as the cache */

/* Reads rows first..first+count-1 of a split into features[count][dim] and labels[count]
 * and checks each of their blocks: STATUS_CORRUPT names the rows of a block whose checksum differs, or a
 * label out of range. `first` is a multiple of block_rows; `count` too, unless the rows end at progress. */
enum status cache_read(struct cache *cache, enum cache_split split, uint64_t first, uint64_t count,
                       float *features, uint16_t *labels);

/* The name of the cache `path` while it grows, from malloc(): that of the file it leads to, with ".partial". NULL when
 * links go round in a circle, and without memory. */
char *cache_partial_path(const char *path);

#endif
