/* images: a data set of labelled pictures, of any kind, behind one reader: how many rows each part has, what they
 * are, and row i of it. Each kind is a file and a row of the table in images.c. A reader need not know the kinds.
 *
 * Rows keep the order of the data set. Nothing is shuffled or left out. */
#ifndef COMMON_IMAGES_IMAGES_H
#define COMMON_IMAGES_IMAGES_H

#include "common/base/status.h"
#include "common/images/images_info.h"
#include <stddef.h>
#include <stdint.h>

struct images; /* an open data set; one thread at a time */

/* Opens the data set `path` and reads all of it once, to find what is wrong with it and to compute its digests.
 * STATUS_IO, STATUS_FORMAT, STATUS_UNSUPPORTED, STATUS_NO_MEMORY. */
enum status images_open(struct images **images_ret, const char *path, const struct images_options *options);
void images_close(struct images *images); /* NULL is allowed */

const struct images_info *images_info(const struct images *images); /* lives as long as `images` */

/* Reads row `row` of a part: pixels[size][size][channels] (or [height][width][channels]) and its label. This is cheap
 * when rows are read in their order. STATUS_IO, STATUS_FORMAT. */
enum status images_read(struct images *images, enum images_split split, size_t row, uint8_t *pixels,
                        uint16_t *label_ret);

#endif
