/* images_info: what one asks of a data set, and what is known of it before its pixels are read. */
#ifndef COMMON_IMAGES_IMAGES_INFO_H
#define COMMON_IMAGES_IMAGES_INFO_H

#include "common/base/digest.h"
#include <stdbool.h>
#include <stddef.h>

enum images_split { IMAGES_TRAIN, IMAGES_TEST, IMAGES_SPLITS };

enum { IMAGES_SOURCE = 1024 };

/* One part of a data set. */
struct images_part {
    size_t rows; /* 0: the data set has no such part, and the rest is 0 or empty */
    size_t height, width;
    char pixels_sha256[DIGEST_HEX_SIZE], labels_sha256[DIGEST_HEX_SIZE]; /* over the rows */
    char source[IMAGES_SOURCE]; /* for people: where the pixels are */
};

struct images_info {
    const char *kind;   /* as "IDX" */
    size_t channels;    /* of a pixel: 1 gray, 3 red, green, blue */
    size_t classes;     /* labels are 0..classes-1 */
    const char *resize; /* how pixels become size x size, as the cache calls it */
    struct images_part parts[IMAGES_SPLITS];
};

struct images_options {
    size_t size;    /* pixels are resized to size x size; 0: left as they are */
    size_t limit;   /* rows of each part at most; 0: all */
    bool test_only; /* only the test part is opened, and it need not have labels: to look at pictures */
};

#endif
