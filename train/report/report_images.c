/* report_images: pictures of test rows, from the data set that the cache was made from. */
#include "common/base/mem.h"
#include "common/images/idx.h"
#include "train/report/report_parts.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define NAME "t10k-images-idx3-ubyte"
#define URI "data:image/png;base64,"

struct report_images {
    struct idx *idx;
};

enum status report_images_open(struct report_images **images_ret, const char *folder,
                               const struct cache_info *info, const char *cache_path) {
    const struct cache_split_info *split = &info->splits[CACHE_TEST];
    struct report_images *images = calloc(1, sizeof *images);
    char sha256[DIGEST_HEX_SIZE];
    uint8_t largest;
    *images_ret = NULL;
    if (images == NULL)
        return status_set_no_memory(sizeof *images, folder);
    enum status status = idx_open(&images->idx, folder, NAME, IDX_IMAGES);
    if (status != STATUS_OK)
        goto fail;
    const struct idx *idx = images->idx;
    if (idx_count(idx) < split->rows || idx_height(idx) != split->image_height ||
        idx_width(idx) != split->image_width) {
        status = status_set(STATUS_MISMATCH,
                            "%s: %zu images of %zu x %zu pixels, but %s was made from %" PRIu64 " of %" PRIu64
                            " x %" PRIu64 "; give --images the data set that the cache was made from",
                            idx_path(idx), idx_count(idx), idx_height(idx), idx_width(idx), cache_path,
                            split->rows, split->image_height, split->image_width);
        goto fail;
    }
    status = idx_scan(images->idx, split->rows, sha256, &largest);
    if (status == STATUS_OK && strcmp(sha256, split->images_sha256) != 0)
        status = status_set(STATUS_MISMATCH,
                            "%s: not the images that %s was made from (images_sha256 %s, the cache has %s); "
                            "give "
                            "--images the data set that the cache was made from",
                            idx_path(idx), cache_path, sha256, split->images_sha256);
    if (status != STATUS_OK)
        goto fail;
    *images_ret = images;
    return STATUS_OK;
fail:
    report_images_close(images);
    return status;
}

void report_images_close(struct report_images *images) {
    if (images == NULL)
        return;
    idx_close(images->idx);
    free(images);
}

size_t report_images_height(const struct report_images *images) {
    return idx_height(images->idx);
}

size_t report_images_width(const struct report_images *images) {
    return idx_width(images->idx);
}

static uint8_t *put_big_endian(uint8_t *at, size_t value) {
    for (int shift = 24; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(value >> shift);
    return at;
}

/* A chunk of PNG: length, type, data, CRC-32 of type and data. `data` may be where it goes already. */
static uint8_t *put_chunk(uint8_t *at, const char type[4], const uint8_t *data, size_t nbytes) {
    at = put_big_endian(at, nbytes);
    uint8_t *begin = at;
    memcpy(at, type, 4);
    at += 4;
    memmove(at, data, nbytes);
    at += nbytes;
    return put_big_endian(at, crc32(0, begin, (uInt)(nbytes + 4)));
}

/* PNG (ISO/IEC 15948): signature, IHDR, IDAT, IEND; 8-bit gray, no filter. From malloc(), or NULL. */
static uint8_t *encode_png(const uint8_t *pixels, size_t height, size_t width, size_t *nbytes_ret) {
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    size_t raw_nbytes = height * (width + 1);
    uLongf packed_nbytes = compressBound(raw_nbytes);
    uint8_t *raw = malloc(raw_nbytes), *png = malloc(sizeof signature + 25 + 12 + packed_nbytes + 12),
            *at = png;
    if (raw == NULL || png == NULL)
        goto fail;
    for (size_t y = 0; y < height; y++) {
        raw[y * (width + 1)] = 0; /* the filter: none */
        memcpy(raw + y * (width + 1) + 1, pixels + y * width, width);
    }
    uint8_t header[13] = {[8] = 8}; /* bits; gray, deflate, filters, not interlaced: all 0 */
    put_big_endian(put_big_endian(header, width), height);
    memcpy(at, signature, sizeof signature);
    at = put_chunk(at + sizeof signature, "IHDR", header, sizeof header);
    if (compress2(at + 8, &packed_nbytes, raw, raw_nbytes, Z_BEST_COMPRESSION) != Z_OK)
        goto fail;
    at = put_chunk(at, "IDAT", at + 8, packed_nbytes);
    at = put_chunk(at, "IEND", header, 0);
    free(raw);
    *nbytes_ret = (size_t)(at - png);
    return png;
fail:
    free(raw);
    free(png);
    return NULL;
}

/* One picture as a URI from malloc(), or NULL. */
static char *encode(const uint8_t *pixels, size_t height, size_t width) {
    size_t nbytes = 0;
    uint8_t *png = encode_png(pixels, height, width, &nbytes);
    char *uri = png == NULL ? NULL : malloc(sizeof URI + (nbytes + 2) / 3 * 4);
    if (uri != NULL) {
        memcpy(uri, URI, sizeof URI);
        EVP_EncodeBlock((unsigned char *)uri + strlen(URI), png, (int)nbytes);
    }
    free(png);
    return uri;
}

struct wish {
    size_t row, place;
};

static int by_row(const void *left, const void *right) {
    size_t a = ((const struct wish *)left)->row, b = ((const struct wish *)right)->row;
    return a < b ? -1 : a > b;
}

enum status report_images_read(struct report_images *images, const size_t rows[], size_t count,
                               char *uris_ret[]) {
    struct idx *idx = images->idx;
    size_t height = idx_height(idx), width = idx_width(idx), most = REPORT_PIXELS_MAX / (height * width),
           at = 0;
    struct wish *wishes = malloc((count + 1) * sizeof *wishes);
    uint8_t *pixels = mem_alloc(height, width);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count; i++)
        uris_ret[i] = NULL;
    if (wishes == NULL || pixels == NULL) {
        status = status_set_no_memory(height * width, "pictures");
        goto out;
    }
    size_t wish_count = count < most ? count : most;
    for (size_t i = 0; i < wish_count; i++)
        wishes[i] = (struct wish){.row = rows[i], .place = i};
    qsort(wishes, wish_count, sizeof *wishes, by_row);
    for (size_t i = 0; i < wish_count && status == STATUS_OK; i++) {
        status = idx_skip(idx, wishes[i].row - at);
        if (status == STATUS_OK)
            status = idx_read(idx, 1, pixels);
        at = wishes[i].row + 1;
        if (status == STATUS_OK && (uris_ret[wishes[i].place] = encode(pixels, height, width)) == NULL)
            status = status_set_no_memory(height * width, "a picture");
    }
out:
    for (size_t i = 0; i < count && status != STATUS_OK; i++) {
        free(uris_ret[i]);
        uris_ret[i] = NULL;
    }
    mem_free(pixels);
    free(wishes);
    return status;
}
