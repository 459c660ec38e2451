/* cache_file: an open cache file: its handles, the checks of its structure, and checked reads of its rows. cache.c
 * (reading) and cache_writer.c (writing) share it; nothing else uses it. */
#ifndef COMMON_CACHE_CACHE_FILE_H
#define COMMON_CACHE_CACHE_FILE_H

#include "common/base/h5.h"
#include "common/cache/cache_schema.h"

struct cache_file {
    hid_t file;
    struct cache_info info;
    struct cache_handles {
        hid_t features, labels, checksums, progress;
    } splits[CACHE_SPLITS];
};

/* Opens and checks everything but the rows. On failure nothing stays open. */
enum status cache_file_open(struct cache_file *cache, const char *path, bool writable);
void cache_file_close(struct cache_file *cache); /* does not check what was written */
void cache_file_init(struct cache_file *cache);  /* every handle invalid */

/* Reads rows first..first+count-1 of a split into features[count][dim] and labels[count]: whole blocks, but the last
 * may end at progress. It checks each block: STATUS_CORRUPT names the rows of one whose checksum differs,
 * STATUS_FORMAT names a label out of range. *good_ret: rows of whole good blocks before the first bad one. */
enum status cache_file_read(struct cache_file *cache, enum cache_split split, uint64_t first, uint64_t count,
                            float *features, uint16_t *labels, uint64_t *good_ret);

/* CRC-32C of one block: its features, then its labels in the width that the file has. */
uint32_t cache_block_checksum(const struct cache_info *info, uint64_t count, const float *features,
                              const uint16_t *labels);

#endif
