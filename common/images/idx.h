/* idx: one IDX file, plain or gzipped, read from front to back. It trusts no header: it checks each against the
 * file's real size, and a gzip stream against its own end and checksum. idx_folder.h finds the files of a data set.
 *
 * Format (all numbers big-endian): u16 0, u8 type (8: unsigned byte), u8 rank, u32 dims[rank], then the bytes. Images
 * have rank 3 (magic 2051): count, rows, columns; or rank 4, with 3 channels (red, green, blue) last. Labels have
 * rank 1 (magic 2049): count. */
#ifndef COMMON_IMAGES_IDX_H
#define COMMON_IMAGES_IDX_H

#include "common/base/digest.h"
#include "common/base/status.h"
#include <stddef.h>
#include <stdint.h>

enum { IDX_SIDE_MAX = 4096 };

enum idx_kind { IDX_LABELS, IDX_IMAGES };

struct idx; /* an open file; one thread at a time */

/* Opens a file and reads its header. STATUS_IO when it cannot be opened. STATUS_FORMAT when it is not such a file
 * (the message says what it is instead, where possible), or when the header does not fit the size of a plain file. */
enum status idx_open(struct idx **idx_ret, const char *path, enum idx_kind kind);
void idx_close(struct idx *idx); /* NULL is allowed */

size_t idx_count(const struct idx *idx);    /* items: images or labels, at least 1 */
size_t idx_height(const struct idx *idx);   /* 1..IDX_SIDE_MAX; 1 for labels */
size_t idx_width(const struct idx *idx);    /* 1..IDX_SIDE_MAX; 1 for labels */
size_t idx_channels(const struct idx *idx); /* 1 or 3; 1 for labels */
const char *idx_path(const struct idx *idx);

/* Reads the file to its end, which checks all of it, and goes back to the first item. `sha256` is over the bytes of
 * the first `count` items; *largest_ret is the largest byte of all items (the largest label). STATUS_FORMAT when the
 * file is cut short, damaged, or longer than its header says. */
enum status idx_scan(struct idx *idx, size_t count, char sha256[DIGEST_HEX_SIZE], uint8_t *largest_ret);

/* Reads the next `count` items into items[count][height][width][channels]. STATUS_FORMAT when they are not there. */
enum status idx_read(struct idx *idx, size_t count, uint8_t *items);

/* Makes `item`, which is at most the count, the next one. This is cheap forwards. STATUS_FORMAT when it
 * is not there. */
enum status idx_seek(struct idx *idx, size_t item);

#endif
