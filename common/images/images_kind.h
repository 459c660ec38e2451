/* images_kind: what a kind of data set must give. Private to images*.c. */
#ifndef COMMON_IMAGES_IMAGES_KIND_H
#define COMMON_IMAGES_IMAGES_KIND_H

#include "common/base/status.h"
#include "common/images/images_info.h"
#include <stdint.h>

/* One kind. open() makes `data`; only this kind knows it. */
struct images_kind {
    const char *name;

    /* Opens `path`, reads all of it once, and fills channels, classes and parts of *info. Also after a failure,
     * *data_ret may be set, and close() follows. */
    enum status (*open)(void **data_ret, const char *path, const struct images_options *options,
                        struct images_info *info);
    void (*close)(void *data); /* NULL is allowed */

    /* Row `row`: pixels[height][width][channels] and its label. */
    enum status (*read)(void *data, enum images_split split, size_t row, uint8_t *pixels,
                        uint16_t *label_ret);
};

extern const struct images_kind images_idx; /* images_idx.c */

#endif
