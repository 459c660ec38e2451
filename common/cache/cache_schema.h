/* cache_schema: what a cache file holds, as structs and as tables of its attributes. It opens no file.
 *
 * Format, version 1. An HDF5 file that any reader opens:
 *
 *   /                  attributes: format = "vggcache", format_version = 1, complete = 0 | 1, created_by,
 *                      backbone = "vgg16", layer = "block5_pool", input_size (pixels, the side of the square),
 *                      resize, preprocess, weights_sha256, weights_source, engine, isa, classes
 *   /train, /test      attributes: images_sha256 (over the raw pixels of the rows), labels_sha256, source,
 *                      image_height, image_width, block_rows
 *   /SPLIT/features    float32 little-endian [rows][dim], contiguous; row i is image i of the data set
 *   /SPLIT/labels      uint8 [rows] (uint16 little-endian above 256 classes)
 *   /SPLIT/checksums   uint32 [ceil(rows / block_rows)]: CRC-32C of the features, then the labels, of each block of
 *                      block_rows rows, as they are in the file
 *   /SPLIT/progress    uint64 [1]: rows written, counted from the first; never ahead of the data
 *
 * Everything that changes a feature is in the attributes. created_by, weights_source and source say where things came
 * from and are not compared. No object has a time: equal content gives equal bytes. Only little-endian machines are
 * supported, because the checksums are over bytes. */
#ifndef COMMON_CACHE_CACHE_SCHEMA_H
#define COMMON_CACHE_CACHE_SCHEMA_H

#include "common/base/digest.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cache_split { CACHE_TRAIN, CACHE_TEST, CACHE_SPLITS };

/* "train", "test". */
extern const char *const cache_split_names[CACHE_SPLITS];

enum { CACHE_TEXT = 64, CACHE_SOURCE = 1024, CACHE_CLASSES_MAX = 65536, CACHE_BLOCK_ROWS_MAX = 1 << 20 };

/* One split of a cache: what its rows were made from, and how many are there. */
struct cache_split_info {
    uint64_t rows;       /* in the whole split */
    uint64_t progress;   /* rows written so far; rows when the cache is complete */
    uint64_t block_rows; /* 1..CACHE_BLOCK_ROWS_MAX: rows per checksum, and per append */
    uint64_t image_height, image_width;
    char images_sha256[DIGEST_HEX_SIZE], labels_sha256[DIGEST_HEX_SIZE];
    char source[CACHE_SOURCE];
};

/* What a cache is and how it was made: the attributes of the format, one to one. */
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

/* The attributes that say how features were made: their number, and the name and value of the i-th; the value goes as
 * text into value[CACHE_SOURCE]. A head records them as its provenance, and two caches must share them if their
 * features shall be of the same kind. Rows and digests of the images are not among them. */
size_t cache_provenance_count(void);
const char *cache_provenance(const struct cache_info *info, size_t i, char value[CACHE_SOURCE]);

/* What an attribute is for: not compared; compared; compared and also kept in heads. */
enum cache_role { CACHE_NOTE, CACHE_IDENTITY, CACHE_PROVENANCE };

/* An attribute that is a member of struct cache_info or struct cache_split_info. */
struct cache_field {
    const char *name;
    size_t offset;
    size_t text_size; /* 0: a uint64_t */
    enum cache_role role;
    const char *option; /* the option or variable that sets it, for messages; NULL: none */
};

/* The attributes of "/" and of "/SPLIT". */
extern const struct cache_field cache_root_fields[], cache_split_fields[];
extern const size_t cache_root_field_count, cache_split_field_count;

/* The value of a field of `info` (a struct cache_info or cache_split_info) as text. */
const char *cache_field_text(const struct cache_field *field, const void *info, char text[CACHE_SOURCE]);

#endif
