/* cache: the feature cache, the one thing that passes between the two programs.
 *
 * Format, version 1. An HDF5 file that any reader opens:
 *
 *   1. /                   attributes: format = "vggcache", format_version = 1, complete = 0 | 1, created_by,
 *                          backbone = "vgg16", layer = "block5_pool", input_size (pixels, the side of the
 * square), resize, preprocess, weights_sha256, weights_source, engine, isa, classes
 *   2. /train, /test       attributes: images_sha256 (over the raw pixels of the rows), labels_sha256,
 * source, image_height, image_width, block_rows
 *   3. /SPLIT/features     float32 little-endian [rows][dim], contiguous; row i is image i of the data set
 *   4. /SPLIT/labels       uint8 [rows] (uint16 little-endian past 256 classes)
 *   5. /SPLIT/checksums    uint32 [ceil(rows / block_rows)]: CRC-32C of the features, then the labels, of
 * each block of block_rows rows, as they stand in the file
 *   6. /SPLIT/progress     uint64 [1]: rows written, counted from the first; never ahead of the data
 *
 * All that changes a feature stands in the attributes. created_by, weights_source and source tell people
 * where things came from and are not compared. No object carries a time: equal content gives equal bytes.
 *
 * Safety. A cache is made as PATH.partial and gets its name when it is complete. All its metadata and space
 * are on the disk before the first row, so that a file killed at any instant opens; rows are flushed before
 * the progress that counts them, and their checksums find the rest. One writer at a time holds a lock on the
 * partial file. Only machines of little-endian order are supported: the checksums are over bytes. */
#ifndef COMMON_CACHE_H
#define COMMON_CACHE_H

#include "common/digest.h"
#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cache_split { CACHE_TRAIN, CACHE_TEST, CACHE_SPLITS };

/* "train", "test". */
extern const char *const cache_split_names[CACHE_SPLITS];

enum { CACHE_TEXT = 64, CACHE_SOURCE = 1024, CACHE_CLASSES_MAX = 65536, CACHE_BLOCK_ROWS_MAX = 1 << 20 };

/* One half of a cache: what its rows were made from, and how many are there. */
struct cache_split_info {
    uint64_t rows;       /* in the whole split */
    uint64_t progress;   /* rows written so far; rows when the cache is complete */
    uint64_t block_rows; /* 1..CACHE_BLOCK_ROWS_MAX: rows per checksum, and per append */
    uint64_t image_height, image_width;
    char images_sha256[DIGEST_HEX_SIZE], labels_sha256[DIGEST_HEX_SIZE];
    char source[CACHE_SOURCE];
};

/* What a cache is and how it was made; the attributes of the format, one to one. */
struct cache_info {
    bool complete;
    uint64_t dim;        /* features per row */
    uint64_t classes;    /* labels are 0..classes-1 */
    uint64_t input_size; /* pixels */
    char created_by[CACHE_TEXT], backbone[CACHE_TEXT], layer[CACHE_TEXT], resize[CACHE_TEXT];
    char preprocess[CACHE_TEXT], weights_sha256[DIGEST_HEX_SIZE], weights_source[CACHE_SOURCE];
    char engine[CACHE_TEXT], isa[CACHE_TEXT];
    struct cache_split_info splits[CACHE_SPLITS];
};

/* The number of attributes that tell how features were made, and the name and value (as text into
 * value[CACHE_SOURCE]) of the i-th: what a head records as its provenance and what two caches must share for
 * their features to be the same kind. Rows and digests of the images are not among them. */
size_t cache_provenance_count(void);
const char *cache_provenance(const struct cache_info *info, size_t i, char value[CACHE_SOURCE]);

/* ---- reading ---- */

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

/* ---- writing ---- */

struct cache_writer; /* one thread at a time */

/* The name of the cache `path` while it grows, from malloc(): that of the file it leads to, with ".partial". NULL
 * when links go round in a circle, and without memory. */
char *cache_partial_path(const char *path);

/* Makes the cache `path`, or finds what was made of it, wanted being `want` (dim, classes, rows, block_rows
 * and all attributes; `complete` and progress are ignored): a complete cache that matches is there
 * *writer_ret = NULL: there is nothing to do a partial file that matches is there            goes on behind
 * its last good row (see cache_writer_progress) nothing is there                                begins, all
 * space reserved at once what is there does not match                    STATUS_MISMATCH, naming each
 * attribute that differs another process is writing it                   STATUS_BUSY what is there is no
 * cache, or damaged           STATUS_FORMAT With `force` a complete file at `path` is ignored (finishing
 * replaces it) and a partial one that does not match or is damaged is discarded. STATUS_IO when the disk is
 * full or access is denied, or when the file system has no locks: then VGGCACHE_LOCKS=optional in the environment
 * lets it go on without. */
enum status cache_writer_open(struct cache_writer **writer_ret, const char *path,
                              const struct cache_info *want, bool force);

/* Rows of a split that are there: the next append begins here. A multiple of block_rows, or all rows. */
uint64_t cache_writer_progress(const struct cache_writer *writer, enum cache_split split);

/* Appends features[count][dim] and labels[count]: block_rows rows, or the last of the split. Once this
 * returns STATUS_OK the rows survive a kill. */
enum status cache_writer_append(struct cache_writer *writer, enum cache_split split, uint64_t count,
                                const float *features, const uint16_t *labels);

/* Marks a cache whose rows are all there as complete, synchronises it, gives it its name, and closes it (also
 * on failure). */
enum status cache_writer_finish(struct cache_writer *writer);

/* Closes without finishing: the partial file stays, to be gone on with, unless it holds no row. NULL is
 * allowed. */
void cache_writer_close(struct cache_writer *writer);

#endif
