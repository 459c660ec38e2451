/* images_idx: the kind "IDX": a folder with the files of MNIST, or of a data set in its format. */
#include "common/images/idx.h"
#include "common/images/idx_folder.h"
#include "common/images/images_kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The two files of each part; NULL where there is no test part. */
struct files {
    struct idx *images[IMAGES_SPLITS], *labels[IMAGES_SPLITS];
};

/* Opens a file. If it is damaged and there is a .gz beside it, the message says so, because only the user knows which
 * of the two is meant. */
static enum status open_file(struct idx **idx_ret, const char *path, enum idx_kind kind) {
    char zipped[IMAGES_SOURCE];
    enum status status = idx_open(idx_ret, path, kind);
    int length = snprintf(zipped, sizeof zipped, "%s.gz", path);
    if (status == STATUS_FORMAT && length < (int)sizeof zipped && access(zipped, R_OK) == 0)
        status_set(status, "%s; %s is there too: remove the damaged file, and that one is read",
                   status_message(), zipped);
    return status;
}

static enum status open_part(struct files *files, int s, const struct idx_folder_part *paths, size_t limit,
                             struct images_info *info) {
    struct images_part *part = &info->parts[s];
    uint8_t largest_pixel, largest_label = 0;
    enum status status = open_file(&files->images[s], paths->images, IDX_IMAGES);
    if (status == STATUS_OK && paths->labels != NULL)
        status = open_file(&files->labels[s], paths->labels, IDX_LABELS);
    if (status != STATUS_OK)
        return status;
    struct idx *images = files->images[s], *labels = files->labels[s];
    size_t count = idx_count(images);
    if (labels != NULL && count != idx_count(labels))
        return status_set(STATUS_FORMAT,
                          "%s: %zu images, but %s has %zu labels; they must be of the same data set",
                          idx_path(images), count, idx_path(labels), idx_count(labels));
    if (info->channels != 0 && info->channels != idx_channels(images))
        return status_set(STATUS_FORMAT, "%s: images of %zu channel%s, but the training images have %zu",
                          idx_path(images), idx_channels(images), idx_channels(images) == 1 ? "" : "s",
                          info->channels);
    info->channels = idx_channels(images);
    part->rows = limit > 0 && limit < count ? limit : count;
    part->height = idx_height(images);
    part->width = idx_width(images);
    snprintf(part->source, sizeof part->source, "%s", idx_path(images));
    status = idx_scan(images, part->rows, part->pixels_sha256, &largest_pixel);
    if (status == STATUS_OK && labels != NULL)
        status = idx_scan(labels, part->rows, part->labels_sha256, &largest_label);
    if (status == STATUS_OK && labels != NULL && largest_label + 1u > info->classes)
        info->classes = largest_label + 1u;
    return status;
}

static enum status open_files(void **data_ret, const char *path, const struct images_options *options,
                              struct images_info *info) {
    struct files *files = *data_ret = calloc(1, sizeof *files);
    struct idx_folder found;
    if (files == NULL)
        return status_set_no_memory(sizeof *files, path);
    unsigned needed = options->test_only ? 1 << IDX_FOLDER_TEST : 1 << IDX_FOLDER_TRAIN;
    enum status status = idx_folder_find(&found, path, needed, !options->test_only);
    for (int s = options->test_only ? IMAGES_TEST : IMAGES_TRAIN; s < IMAGES_SPLITS && status == STATUS_OK;
         s++)
        if (found.parts[s].images != NULL)
            status = open_part(files, s, &found.parts[s], options->limit, info);
    idx_folder_free(&found);
    return status;
}

static void close_files(void *data) {
    struct files *files = data;
    for (int s = 0; s < IMAGES_SPLITS && files != NULL; s++) {
        idx_close(files->images[s]);
        idx_close(files->labels[s]);
    }
    free(files);
}

static enum status read_row(void *data, enum images_split split, size_t row, uint8_t *pixels,
                            uint16_t *label_ret) {
    struct files *files = data;
    uint8_t label = 0;
    enum status status = idx_seek(files->images[split], row);
    if (status == STATUS_OK)
        status = idx_read(files->images[split], 1, pixels);
    if (status == STATUS_OK && files->labels[split] != NULL)
        status = idx_seek(files->labels[split], row);
    if (status == STATUS_OK && files->labels[split] != NULL)
        status = idx_read(files->labels[split], 1, &label);
    *label_ret = label;
    return status;
}

const struct images_kind images_idx = {
    .name = "IDX", .open = open_files, .close = close_files, .read = read_row};
