/* cache_file: what cache.c (reading) and cache_writer.c (writing) share: the handles of an open cache file,
 * and the schema of cache.h as a table. Private to the two. */
#ifndef COMMON_CACHE_CACHE_FILE_H
#define COMMON_CACHE_CACHE_FILE_H

#include "common/base/h5.h"
#include "common/cache/cache.h"

struct cache_file {
    hid_t file;
    struct cache_info info;
    struct cache_handles {
        hid_t features, labels, checksums, progress;
    } splits[CACHE_SPLITS];
};

/* An attribute that is a member of struct cache_info or struct cache_split_info. */
struct cache_field {
    const char *name;
    size_t offset;
    size_t text_size; /* 0: a uint64_t */
    enum {
        CACHE_NOTE,
        CACHE_IDENTITY,
        CACHE_PROVENANCE
    } role;             /* not compared; compared; also kept in heads */
    const char *option; /* what of a command sets it, for messages; NULL: nothing */
};

/* The attributes of "/" and of "/SPLIT". */
extern const struct cache_field cache_root_fields[], cache_split_fields[];
extern const size_t cache_root_field_count, cache_split_field_count;

/* The value of a field of `info` (a struct cache_info or cache_split_info) as text. */
const char *cache_field_text(const struct cache_field *field, const void *info, char text[CACHE_SOURCE]);

/* Opens and checks everything but the rows. On failure nothing stays open. */
enum status cache_file_open(struct cache_file *cache, const char *path, bool writable);
void cache_file_close(struct cache_file *cache); /* without caring for what was written */
void cache_file_init(struct cache_file *cache);  /* every handle invalid */

/* Reads whole blocks and checks them; like cache_read(), with *good_ret = rows of whole good blocks found
 * before the first bad one. */
enum status cache_file_read(struct cache_file *cache, enum cache_split split, uint64_t first, uint64_t count,
                            float *features, uint16_t *labels, uint64_t *good_ret);

/* CRC-32C of one block: its features, then its labels in the width that the file has. */
uint32_t cache_block_checksum(const struct cache_info *info, uint64_t count, const float *features,
                              const uint16_t *labels);

#endif
