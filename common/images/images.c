/* images: a data set of labelled pictures, of any kind, behind one reader. */
#include "common/images/images.h"
#include "common/base/mem.h"
#include "common/images/images_kind.h"
#include "common/images/resize.h"

#include <stdio.h>
#include <stdlib.h>

struct images {
    const struct images_kind *kind;
    void *data; /* the kind's */
    size_t size;
    struct images_info info;
    struct resize *resize[IMAGES_SPLITS]; /* NULL where nothing is resized */
    uint8_t *pixels[IMAGES_SPLITS];       /* one picture as read, before it is resized */
};

static enum status prepare_resize(struct images *images, int s) {
    const struct images_part *part = &images->info.parts[s];
    if (part->rows == 0 || images->size == 0)
        return STATUS_OK;
    size_t nbytes = part->height * part->width * images->info.channels;
    images->pixels[s] = malloc(nbytes);
    if (images->pixels[s] == NULL)
        return status_set_no_memory(nbytes, part->source);
    return resize_create(&images->resize[s], part->height, part->width, images->size);
}

enum status images_open(struct images **images_ret, const char *path, const struct images_options *options) {
    struct images *images = calloc(1, sizeof *images);
    if (images == NULL)
        return status_set_no_memory(sizeof *images, path);
    images->kind = &images_idx;
    images->size = options->size;
    images->info.kind = images->kind->name;
    images->info.resize = RESIZE_NAME;
    enum status status = images->kind->open(&images->data, path, options, &images->info);
    if (status == STATUS_OK && images->info.channels != 1)
        status =
            status_set(STATUS_UNSUPPORTED, "%s: colour images (%zu channels), and only gray ones are read",
                       images->info.parts[IMAGES_TRAIN].source, images->info.channels);
    for (int s = 0; s < IMAGES_SPLITS && status == STATUS_OK; s++)
        status = prepare_resize(images, s);
    if (status == STATUS_OK)
        *images_ret = images;
    else
        images_close(images);
    return status;
}

void images_close(struct images *images) {
    if (images == NULL)
        return;
    for (int s = 0; s < IMAGES_SPLITS; s++) {
        resize_free(images->resize[s]);
        free(images->pixels[s]);
    }
    images->kind->close(images->data);
    free(images);
}

const struct images_info *images_info(const struct images *images) {
    return &images->info;
}

enum status images_read(struct images *images, enum images_split split, size_t row, uint8_t *pixels,
                        uint16_t *label_ret) {
    if (images->size == 0)
        return images->kind->read(images->data, split, row, pixels, label_ret);
    enum status status = images->kind->read(images->data, split, row, images->pixels[split], label_ret);
    if (status == STATUS_OK)
        resize_run(images->resize[split], images->pixels[split], pixels);
    return status;
}
