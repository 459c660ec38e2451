/* idx: one IDX file, plain or gzipped, read from front to back. */
#include "common/images/idx.h"
#include "common/base/size.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { CHUNK = 1 << 16 }; /* bytes of a read */

struct idx {
    gzFile stream; /* reads plain files as they are */
    char *path;
    enum idx_kind kind;
    size_t rank, count, height, width, channels;
    size_t at; /* items read */
};

static const char *items_of(const struct idx *idx) {
    return idx->kind == IDX_IMAGES ? "images" : "labels";
}

static size_t header_nbytes(const struct idx *idx) {
    return 4 + 4 * idx->rank;
}

static size_t item_nbytes(const struct idx *idx) {
    return idx->height * idx->width * idx->channels;
}

/* Returns why the last read failed; STATUS_OK when the file was only at its end. */
static enum status read_error(const struct idx *idx) {
    int code;
    const char *reason = gzerror(idx->stream, &code);
    if (code == Z_ERRNO)
        return status_set_errno("%s: cannot read", idx->path);
    if (code == Z_DATA_ERROR)
        return status_set(STATUS_FORMAT, "%s: the gzip stream is damaged (%s); get the file again", idx->path,
                          reason);
    return STATUS_OK;
}

/* Reads exactly `nbytes` bytes. */
static enum status read_bytes(struct idx *idx, void *bytes, size_t nbytes) {
    assert(nbytes <= INT32_MAX);
    int got = gzread(idx->stream, bytes, (unsigned)nbytes);
    if (got == (int)nbytes)
        return STATUS_OK;
    enum status status = read_error(idx);
    if (status != STATUS_OK)
        return status;
    return status_set(STATUS_FORMAT, "%s: cut short: it ends after %zu of %zu %s; get the file again",
                      idx->path, idx->at, idx->count, items_of(idx));
}

static uint32_t big_endian(const uint8_t bytes[4]) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* What a file is that is not an IDX file, by its first bytes. */
static const struct magic {
    size_t count;
    const char *bytes, *what;
} magics[] = {
    {2, "\037\213", "a gzip file inside of a gzip file; unpack it once: gzip -dc"},
    {4, "PK\003\004", "a zip archive; unpack it first"},
    {6, "\223NUMPY", "a NumPy array (.npy), not IDX"},
    {6, "7z\274\257\047\034", "a 7-Zip archive; unpack it first"},
    {3, "BZh", "compressed by bzip2; unpack it first"},
    {6, "\3757zXZ\0", "compressed by xz; unpack it first"},
    {4, "\211PNG", "one PNG picture, not a file of many"},
    {3, "\377\330\377", "one JPEG picture, not a file of many"},
    {8, "version ", "a Git LFS pointer, not the file; fetch that with git lfs pull"},
    {1, "<", "a web page (HTML or XML); the download failed, get the file again"},
    {4, "\003\010\000\000", "an IDX file of images in little-endian order; its numbers must be big-endian"},
    {4, "\001\010\000\000", "an IDX file of labels in little-endian order; its numbers must be big-endian"},
};

/* Refuses an IDX file of another type or rank. */
static enum status wrong_idx(const struct idx *idx, const uint8_t header[4]) {
    static const char *const types[] = {
        [8] = "unsigned bytes", [9] = "signed bytes",    [11] = "int16 values",
        [12] = "int32 values",  [13] = "float32 values", [14] = "float64 values"};
    const char *type = header[2] < sizeof types / sizeof types[0] ? types[header[2]] : NULL;
    if (type != NULL && header[2] == 12 && header[3] == 2)
        return status_set(
            STATUS_FORMAT,
            "%s: not an IDX file of %s, but of rank 2 of int32, as QMNIST's labels are (8 columns); "
            "convert their first column to unsigned bytes of rank 1",
            idx->path, items_of(idx));
    if (type != NULL && header[3] >= 1 && header[3] <= 4)
        return status_set(STATUS_FORMAT,
                          "%s: not an IDX file of %s, but of %s%s of rank %u; "
                          "unsigned bytes of rank %s are read (the first four bytes must be 00 00 08 %s)",
                          idx->path, items_of(idx),
                          header[2] == 8 && header[3] == 1   ? "labels: "
                          : header[2] == 8 && header[3] >= 3 ? "images: "
                                                             : "",
                          type, header[3], idx->kind == IDX_LABELS ? "1" : "3 or, with 3 channels, 4",
                          idx->kind == IDX_LABELS ? "01" : "03");
    return status_set(STATUS_FORMAT, "%s: not an IDX file of %s (the first four bytes must be 00 00 08 %s)",
                      idx->path, items_of(idx), idx->kind == IDX_LABELS ? "01" : "03");
}

static enum status read_header(struct idx *idx) {
    uint8_t header[20] = {0};
    int got = gzread(idx->stream, header, 4);
    enum status status = got < 0 ? read_error(idx) : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (got >= (int)size_min(magics[i].count, 4) &&
            memcmp(header, magics[i].bytes, size_min((size_t)got, magics[i].count)) == 0)
            return status_set(STATUS_FORMAT, "%s: not an IDX file of %s, but %s", idx->path, items_of(idx),
                              magics[i].what);
    bool labels = header[3] == 1, images = header[3] == 3 || header[3] == 4;
    if (got != 4 || header[0] != 0 || header[1] != 0 || header[2] != 8 ||
        !(idx->kind == IDX_LABELS ? labels : images))
        return got == 4 && header[0] == 0 && header[1] == 0 ? wrong_idx(idx, header)
                                                            : wrong_idx(idx, (const uint8_t[4]){0});
    idx->rank = header[3];
    got = gzread(idx->stream, header + 4, (unsigned)(4 * idx->rank));
    status = got < 0 ? read_error(idx) : STATUS_OK;
    if (status == STATUS_OK && got != (int)(4 * idx->rank))
        status = status_set(STATUS_FORMAT, "%s: cut short: it ends within its header; get the file again",
                            idx->path);
    if (status != STATUS_OK)
        return status;
    idx->count = big_endian(header + 4);
    idx->height = images ? big_endian(header + 8) : 1;
    idx->width = images ? big_endian(header + 12) : 1;
    idx->channels = idx->rank == 4 ? big_endian(header + 16) : 1;
    if (idx->count == 0)
        return status_set(STATUS_FORMAT, "%s: it holds no %s", idx->path, items_of(idx));
    if (idx->height == 0 || idx->width == 0 || idx->height > IDX_SIDE_MAX || idx->width > IDX_SIDE_MAX)
        return status_set(STATUS_FORMAT, "%s: images of %zu x %zu pixels; sides must be 1 to %d", idx->path,
                          idx->height, idx->width, IDX_SIDE_MAX);
    if (idx->rank == 4 && idx->channels != 3)
        return status_set(STATUS_FORMAT,
                          "%s: images of %zu channels; colour images have 3, the last dimension", idx->path,
                          idx->channels);
    return STATUS_OK;
}

/* Checks the header against the size of a plain file. In a gzip stream, idx_scan() finds a wrong header. */
static enum status check_size(const struct idx *idx) {
    struct stat file;
    if (!gzdirect(idx->stream))
        return STATUS_OK;
    if (stat(idx->path, &file) != 0)
        return status_set_errno("%s: cannot get its size", idx->path);
    uint64_t wanted = header_nbytes(idx) + (uint64_t)idx->count * item_nbytes(idx);
    if (S_ISREG(file.st_mode) && (uint64_t)file.st_size != wanted)
        return status_set(STATUS_FORMAT,
                          "%s: %llu bytes, but its header (%zu %s of %zu x %zu) asks for %llu; "
                          "get the file again",
                          idx->path, (unsigned long long)file.st_size, idx->count, items_of(idx), idx->height,
                          idx->width, (unsigned long long)wanted);
    return STATUS_OK;
}

enum status idx_open(struct idx **idx_ret, const char *path, enum idx_kind kind) {
    struct idx *idx = calloc(1, sizeof *idx);
    if (idx == NULL)
        return status_set_no_memory(sizeof *idx, path);
    idx->kind = kind;
    idx->path = strdup(path);
    struct stat file;
    if (stat(path, &file) == 0 && !S_ISREG(file.st_mode)) { /* to open a FIFO would wait for a writer */
        idx_close(idx);
        return status_set(STATUS_FORMAT, "%s: not a regular file", path);
    }
    errno = 0;
    idx->stream = idx->path != NULL ? gzopen(path, "rb") : NULL;
    enum status status = STATUS_OK;
    if (idx->path == NULL || (idx->stream == NULL && errno == 0))
        status = status_set_no_memory(CHUNK, path);
    else if (idx->stream == NULL)
        status = status_set_errno("%s: cannot open the file", path);
    if (status == STATUS_OK) {
        gzbuffer(idx->stream, CHUNK);
        status = read_header(idx);
    }
    if (status == STATUS_OK)
        status = check_size(idx);
    if (status == STATUS_OK)
        *idx_ret = idx;
    else
        idx_close(idx);
    return status;
}

void idx_close(struct idx *idx) {
    if (idx == NULL)
        return;
    if (idx->stream != NULL)
        gzclose_r(idx->stream);
    free(idx->path);
    free(idx);
}

size_t idx_count(const struct idx *idx) {
    return idx->count;
}

size_t idx_height(const struct idx *idx) {
    return idx->height;
}

size_t idx_width(const struct idx *idx) {
    return idx->width;
}

size_t idx_channels(const struct idx *idx) {
    return idx->channels;
}

const char *idx_path(const struct idx *idx) {
    return idx->path;
}

enum status idx_scan(struct idx *idx, size_t count, char sha256[DIGEST_HEX_SIZE], uint8_t *largest_ret) {
    static const char again[] = "get the file again";
    struct digest *digest;
    uint8_t *chunk = malloc(CHUNK);
    uint64_t item = item_nbytes(idx), total = idx->count * item, hashed = count * item;
    uint8_t largest = 0;
    assert(count <= idx->count && idx->at == 0);
    enum status status = chunk != NULL ? digest_begin(&digest) : status_set_no_memory(CHUNK, idx->path);
    if (status != STATUS_OK) {
        free(chunk);
        return status;
    }
    for (uint64_t at = 0; at < total && status == STATUS_OK;) {
        uint64_t left = total - at, part = left < CHUNK ? left : CHUNK;
        idx->at = (size_t)(at / item);
        status = read_bytes(idx, chunk, part);
        if (status != STATUS_OK)
            break;
        for (uint64_t i = 0; i < part; i++)
            largest = chunk[i] > largest ? chunk[i] : largest;
        if (at < hashed)
            digest_update(digest, chunk, hashed - at < part ? hashed - at : part);
        at += part;
    }
    int code = Z_OK;
    if (status == STATUS_OK) { /* the end of the stream must follow; with gzip its checksum must fit */
        int more = gzread(idx->stream, chunk, 1);
        gzerror(idx->stream, &code);
        if (more > 0)
            status = status_set(STATUS_FORMAT, "%s: longer than its header says (%zu %s); %s", idx->path,
                                idx->count, items_of(idx), again);
        else if (more < 0 || code != Z_OK)
            status = status_set(STATUS_FORMAT, "%s: the gzip stream is damaged or cut short at its end; %s",
                                idx->path, again);
    }
    digest_final(digest, sha256);
    *largest_ret = largest;
    if (status == STATUS_OK && gzseek(idx->stream, (z_off_t)header_nbytes(idx), SEEK_SET) < 0)
        status = status_set_errno("%s: cannot go back to its beginning", idx->path);
    idx->at = 0;
    free(chunk);
    return status;
}

enum status idx_read(struct idx *idx, size_t count, uint8_t *items) {
    assert(count <= idx->count - idx->at);
    for (size_t i = 0; i < count; i++, idx->at++) {
        enum status status = read_bytes(idx, items + i * item_nbytes(idx), item_nbytes(idx));
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status idx_seek(struct idx *idx, size_t item) {
    assert(item <= idx->count);
    if (gzseek(idx->stream, (z_off_t)(header_nbytes(idx) + item * item_nbytes(idx)), SEEK_SET) < 0)
        return status_set(STATUS_FORMAT, "%s: cut short: it ends before item %zu; get the file again",
                          idx->path, item);
    idx->at = item;
    return STATUS_OK;
}
