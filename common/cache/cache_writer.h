/* cache_writer: makes a cache, or continues one that was interrupted.
 *
 * Safety. A cache is made as PATH.partial and gets its name when it is complete. All its metadata and space are on
 * the disk before the first row, so a file that was killed at any moment opens. Rows are flushed before the progress
 * that counts them; the checksums find any other damage. One writer at a time holds a lock on the partial file. */
#ifndef COMMON_CACHE_CACHE_WRITER_H
#define COMMON_CACHE_CACHE_WRITER_H

#include "common/base/status.h"
#include "common/cache/cache_schema.h"

struct cache_writer; /* one thread at a time */

/* Makes the cache `path`, or finds what was made of it. Wanted is `want`: dim, classes, rows, block_rows and all
 * attributes; `complete` and progress are ignored. What is there decides:
 *
 *   a complete cache that matches       *writer_ret = NULL: there is nothing to do
 *   a partial file that matches         goes on behind its last good row (cache_writer_progress())
 *   nothing                             begins, all space reserved at once
 *   one that does not match             STATUS_MISMATCH, naming each attribute that differs
 *   one that another process writes     STATUS_BUSY
 *   no cache, or a damaged one          STATUS_FORMAT
 *
 * With `force` a complete file at `path` is ignored (finishing replaces it), and a partial one that does not match or
 * is damaged is discarded. STATUS_IO when the disk is full or access is denied, or when the file system has no locks:
 * then VGGCACHE_LOCKS=optional in the environment lets it go on without. */
enum status cache_writer_open(struct cache_writer **writer_ret, const char *path,
                              const struct cache_info *want, bool force);

/* The rows of a split that are there; the next append begins after them. A multiple of block_rows, or all rows. */
uint64_t cache_writer_progress(const struct cache_writer *writer, enum cache_split split);

/* Appends features[count][dim] and labels[count]: block_rows rows, or the last of the split. After STATUS_OK the rows
 * survive a kill. */
enum status cache_writer_append(struct cache_writer *writer, enum cache_split split, uint64_t count,
                                const float *features, const uint16_t *labels);

/* Marks a cache as complete when all its rows are there, synchronises it, gives it its name, and closes it (also
 * after a failure). */
enum status cache_writer_finish(struct cache_writer *writer);

/* Closes without finishing. The partial file stays, so that a later run can continue it, unless it holds no row.
 * NULL is allowed. */
void cache_writer_close(struct cache_writer *writer);

#endif
