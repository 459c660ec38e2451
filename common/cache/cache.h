/* cache: the feature cache as its readers see it. It is the only thing that passes between the two programs.
 * cache_schema.h has the format; cache_writer.h makes caches. */
#ifndef COMMON_CACHE_CACHE_H
#define COMMON_CACHE_CACHE_H

#include "common/base/status.h"
#include "common/cache/cache_schema.h"

struct cache; /* an open cache; one thread at a time */

/* Opens a cache, or the partial file of one that was interrupted. It checks the whole structure against
 * cache_schema.h and against the file's size; it does not read rows. STATUS_IO, STATUS_FORMAT. */
enum status cache_open(struct cache **cache_ret, const char *path);
void cache_close(struct cache *cache);                          /* NULL is allowed */
const struct cache_info *cache_info(const struct cache *cache); /* lives as long as the cache */

/* Reads rows first..first+count-1 of a split into features[count][dim] and labels[count], and checks each of their
 * blocks. STATUS_CORRUPT names the rows of a block whose checksum differs; STATUS_FORMAT names a label out of range.
 * `first` is a multiple of block_rows, and `count` too, unless the rows end at progress. */
enum status cache_read(struct cache *cache, enum cache_split split, uint64_t first, uint64_t count,
                       float *features, uint16_t *labels);

/* The name of the cache `path` while it is being written: the file that `path` leads to, with ".partial" added. From
 * malloc(); NULL when links go round in a circle, and without memory. */
char *cache_partial_path(const char *path);

#endif
