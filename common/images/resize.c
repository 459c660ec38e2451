/* resize: 8-bit gray images to a square, bit for bit as cv2.resize(..., INTER_LINEAR) does it. */
#include "common/images/resize.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_ONE = 2048 }; /* weights are in units of 2^-11 */

/* One output coordinate: the two source coordinates, and their weights. */
struct tap {
    size_t near, far;
    int32_t near_weight, far_weight;
};

struct resize {
    size_t height, width, size;
    struct tap *columns, *rows; /* [size] each */
    int32_t *above, *below;     /* [size]: two source rows after the horizontal pass */
};

/* The taps of one axis. The scale is the reciprocal of target/source, and f is rounded to float, as there.
 * Only the horizontal axis gives a coordinate outside the image its border pixel's full weight; the vertical
 * axis keeps the fraction and reads the border row twice, which rounds differently. */
static void make_taps(struct tap *taps, size_t source, size_t target, bool horizontal) {
    double scale = 1.0 / ((double)target / (double)source);
    for (size_t d = 0; d < target; d++) {
        float f = (float)(((double)d + 0.5) * scale - 0.5);
        long s = (long)floorf(f);
        long last = (long)source - 1;
        f -= (float)s;
        if (horizontal && (s < 0 || s >= last)) {
            f = 0;
            s = s < 0 ? 0 : last;
        }
        taps[d].near = (size_t)(s < 0 ? 0 : s > last ? last : s);
        taps[d].far = (size_t)(s + 1 < 0 ? 0 : s + 1 > last ? last : s + 1);
        taps[d].near_weight = (int32_t)lrintf((1.0f - f) * WEIGHT_ONE);
        taps[d].far_weight = (int32_t)lrintf(f * WEIGHT_ONE);
    }
}

enum status resize_create(struct resize **resize_ret, size_t height, size_t width, size_t size) {
    struct resize *resize = calloc(1, sizeof *resize);
    if (resize != NULL) {
        resize->height = height;
        resize->width = width;
        resize->size = size;
        resize->columns = calloc(size, sizeof *resize->columns);
        resize->rows = calloc(size, sizeof *resize->rows);
        resize->above = calloc(size, sizeof *resize->above);
        resize->below = calloc(size, sizeof *resize->below);
    }
    if (resize == NULL || !resize->columns || !resize->rows || !resize->above || !resize->below) {
        resize_free(resize);
        return status_set_no_memory(size * sizeof(struct tap), "resize");
    }
    make_taps(resize->columns, width, size, true);
    make_taps(resize->rows, height, size, false);
    *resize_ret = resize;
    return STATUS_OK;
}

void resize_free(struct resize *resize) {
    if (resize == NULL)
        return;
    free(resize->columns);
    free(resize->rows);
    free(resize->above);
    free(resize->below);
    free(resize);
}

static void horizontal(const struct resize *resize, const uint8_t *row, int32_t *out) {
    for (size_t x = 0; x < resize->size; x++) {
        const struct tap *tap = &resize->columns[x];
        out[x] = row[tap->near] * tap->near_weight + row[tap->far] * tap->far_weight;
    }
}

static void halve(const struct resize *resize, const uint8_t *in, uint8_t *out) {
    for (size_t y = 0; y < resize->size; y++) {
        const uint8_t *above = in + 2 * y * resize->width, *below = above + resize->width;
        for (size_t x = 0; x < resize->size; x++)
            out[y * resize->size + x] =
                (uint8_t)((above[2 * x] + above[2 * x + 1] + below[2 * x] + below[2 * x + 1] + 2) >> 2);
    }
}

void resize_run(struct resize *resize, const uint8_t *in, uint8_t *out) {
    size_t size = resize->size, width = resize->width;
    if (resize->height == size && width == size) {
        memcpy(out, in, size * size);
        return;
    }
    if (resize->height == 2 * size && width == 2 * size) {
        halve(resize, in, out);
        return;
    }
    for (size_t y = 0; y < size; y++) {
        const struct tap *tap = &resize->rows[y];
        horizontal(resize, in + tap->near * width, resize->above);
        horizontal(resize, in + tap->far * width, resize->below);
        for (size_t x = 0; x < size; x++) {
            int32_t near = (tap->near_weight * (resize->above[x] >> 4)) >> 16;
            int32_t far = (tap->far_weight * (resize->below[x] >> 4)) >> 16;
            out[y * size + x] = (uint8_t)((near + far + 2) >> 2);
        }
    }
}
