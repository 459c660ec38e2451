/* idx: MNIST's IDX files, plain or gzipped, read from front to back. */
#include "common/images/idx.h"

#include <assert.h>
#include <errno.h>
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
    size_t count, height, width;
    size_t at; /* items read */
};

static const char *items_of(const struct idx *idx) {
    return idx->kind == IDX_IMAGES ? "images" : "labels";
}

static size_t header_nbytes(const struct idx *idx) {
    return 4 + 4 * (size_t)idx->kind;
}

/* What the last read failed with; STATUS_OK when the file was merely at its end. */
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

/* Exactly `nbytes` bytes. */
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

static enum status read_header(struct idx *idx) {
    uint8_t header[16] = {0};
    int rank = (int)idx->kind;
    int got = gzread(idx->stream, header, (unsigned)header_nbytes(idx));
    enum status status = got < 0 ? read_error(idx) : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    if (got != (int)header_nbytes(idx) || header[0] != 0 || header[1] != 0 || header[2] != 8 ||
        header[3] != rank)
        return status_set(STATUS_FORMAT,
                          "%s: not an IDX file of %s (the first four bytes must be 00 00 08 %02x)", idx->path,
                          items_of(idx), (unsigned)rank);
    idx->count = big_endian(header + 4);
    idx->height = rank == 3 ? big_endian(header + 8) : 1;
    idx->width = rank == 3 ? big_endian(header + 12) : 1;
    if (idx->count == 0)
        return status_set(STATUS_FORMAT, "%s: it holds no %s", idx->path, items_of(idx));
    if (idx->height == 0 || idx->width == 0 || idx->height > IDX_SIDE_MAX || idx->width > IDX_SIDE_MAX)
        return status_set(STATUS_FORMAT, "%s: images of %zu x %zu pixels; sides must be 1 to %d", idx->path,
                          idx->height, idx->width, IDX_SIDE_MAX);
    return STATUS_OK;
}

/* Only a plain file's size tells at once whether its header is true; a gzip stream is found out by
 * idx_scan(). */
static enum status check_size(const struct idx *idx) {
    struct stat file;
    if (!gzdirect(idx->stream))
        return STATUS_OK;
    if (stat(idx->path, &file) != 0)
        return status_set_errno("%s: cannot get its size", idx->path);
    uint64_t wanted = header_nbytes(idx) + (uint64_t)idx->count * idx->height * idx->width;
    if (S_ISREG(file.st_mode) && (uint64_t)file.st_size != wanted)
        return status_set(STATUS_FORMAT,
                          "%s: %llu bytes, but its header (%zu %s of %zu x %zu) asks for %llu; get the file "
                          "again",
                          idx->path, (unsigned long long)file.st_size, idx->count, items_of(idx), idx->height,
                          idx->width, (unsigned long long)wanted);
    return STATUS_OK;
}

enum status idx_open(struct idx **idx_ret, const char *folder, const char *name, enum idx_kind kind) {
    struct idx *idx = calloc(1, sizeof *idx);
    if (idx == NULL)
        return status_set_no_memory(sizeof *idx, name);
    idx->kind = kind;
    enum status status = STATUS_OK;
    static const char *const endings[] = {"", ".gz"};
    for (size_t i = 0; i < 2 && idx->stream == NULL; i++) {
        free(idx->path);
        idx->path = NULL;
        if (asprintf(&idx->path, "%s/%s%s", folder, name, endings[i]) < 0) {
            idx->path = NULL;
            status = status_set_no_memory(strlen(folder), name);
            goto fail;
        }
        errno = 0;
        idx->stream = gzopen(idx->path, "rb");
        if (idx->stream == NULL && errno != ENOENT && errno != ENOTDIR) {
            status = status_set_errno("%s: cannot open the file", idx->path);
            goto fail;
        }
    }
    if (idx->stream == NULL) {
        status = status_set(STATUS_IO,
                            "%s/%s: no such file, with or without .gz; DATASET is a folder with the four IDX "
                            "files (data/get.sh fetches MNIST)",
                            folder, name);
        goto fail;
    }
    gzbuffer(idx->stream, CHUNK);
    status = read_header(idx);
    if (status == STATUS_OK)
        status = check_size(idx);
    if (status == STATUS_OK) {
        *idx_ret = idx;
        return STATUS_OK;
    }
fail:
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

const char *idx_path(const struct idx *idx) {
    return idx->path;
}

enum status idx_scan(struct idx *idx, size_t count, char sha256[DIGEST_HEX_SIZE], uint8_t *largest_ret) {
    static const char again[] = "get the file again";
    struct digest *digest;
    uint8_t *chunk = malloc(CHUNK);
    uint64_t item = (uint64_t)idx->height * idx->width, total = idx->count * item, hashed = count * item;
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
    if (status == STATUS_OK) { /* the end of the stream must follow, and with gzip its checksum must fit */
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
        enum status status = read_bytes(idx, items + i * idx->height * idx->width, idx->height * idx->width);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status idx_skip(struct idx *idx, size_t count) {
    assert(count <= idx->count - idx->at);
    if (gzseek(idx->stream, (z_off_t)(count * idx->height * idx->width), SEEK_CUR) < 0)
        return status_set(STATUS_FORMAT, "%s: cut short: it ends before item %zu; get the file again",
                          idx->path, idx->at + count);
    idx->at += count;
    return STATUS_OK;
}
