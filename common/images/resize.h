/* resize: 8-bit gray images to a square, bit for bit as cv2.resize(..., INTER_LINEAR) does it (OpenCV 4,
 * modules/imgproc/src/resize.cpp; other builds of OpenCV, on ARM phones for one, round differently).
 *
 * Per axis, output pixel d lies at f = (d + 0.5) * source/target - 0.5 between two source pixels, with
 * weights of 11 bits. The horizontal pass is exact; the vertical one cuts 4 bits before and 16 bits after the
 * product, and rounds the last two. Two special cases, as there: the same size is a copy, and exactly half
 * the size in both directions is the mean of 2x2 pixels. */
#ifndef COMMON_IMAGES_RESIZE_H
#define COMMON_IMAGES_RESIZE_H

#include "common/base/status.h"
#include <stddef.h>
#include <stdint.h>

/* What cv2 calls this; stored in the cache. */
#define RESIZE_NAME "cv2 INTER_LINEAR"

struct resize; /* tables for one pair of sizes, and rows of workspace: one thread at a time */

/* From `height` x `width` pixels to `size` x `size`, each 1..65535. STATUS_NO_MEMORY. */
enum status resize_create(struct resize **resize_ret, size_t height, size_t width, size_t size);
void resize_free(struct resize *resize); /* NULL is allowed */

/* in[height][width] -> out[size][size]; they do not overlap. */
void resize_run(struct resize *resize, const uint8_t *in, uint8_t *out);

#endif
