/* idx: MNIST's IDX files, plain or gzipped, read from front to back. It never believes a header: each is held
 * against the file's real size, and a gzip stream against its own end and checksum.
 *
 * Format (all numbers big-endian): u16 0, u8 type (8: unsigned byte), u8 rank, u32 dims[rank], then the
 * bytes. Images are rank 3 (magic 2051): count, rows, columns. Labels are rank 1 (magic 2049): count. */
#ifndef COMMON_IMAGES_IDX_H
#define COMMON_IMAGES_IDX_H

#include "common/base/digest.h"
#include "common/base/status.h"
#include <stddef.h>
#include <stdint.h>

enum { IDX_SIDE_MAX = 4096 };

enum idx_kind { IDX_LABELS = 1, IDX_IMAGES = 3 }; /* the value is the rank */

struct idx; /* an open file; one thread at a time */

/* Opens FOLDER/NAME, or else FOLDER/NAME.gz, and reads its header. STATUS_IO when neither is there,
 * STATUS_FORMAT when the header is wrong or does not fit the size of a plain file. */
enum status idx_open(struct idx **idx_ret, const char *folder, const char *name, enum idx_kind kind);
void idx_close(struct idx *idx); /* NULL is allowed */

size_t idx_count(const struct idx *idx);     /* items: images or labels, at least 1 */
size_t idx_height(const struct idx *idx);    /* 1..IDX_SIDE_MAX; 1 for labels */
size_t idx_width(const struct idx *idx);     /* 1..IDX_SIDE_MAX; 1 for labels */
const char *idx_path(const struct idx *idx); /* the file that was found */

/* Reads the file to its very end, which checks it all, and goes back to the first item. `sha256` is over the
 * bytes of the first `count` items; *largest_ret is the largest byte of all items (the largest label).
 * STATUS_FORMAT when the file is cut short, damaged, or longer than its header says. */
enum status idx_scan(struct idx *idx, size_t count, char sha256[DIGEST_HEX_SIZE], uint8_t *largest_ret);

/* The next `count` items into items[count][height][width]; or skips them. STATUS_FORMAT when they are not
 * there. */
enum status idx_read(struct idx *idx, size_t count, uint8_t *items);
enum status idx_skip(struct idx *idx, size_t count);

#endif
