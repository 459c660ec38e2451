/* cache_file: an open cache file. It checks everything in a file before it uses it. */
#include "common/cache/cache_file.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the checksums of a cache are over little-endian bytes");

void cache_file_init(struct cache_file *cache) {
    *cache = (struct cache_file){.file = H5I_INVALID_HID};
    for (int s = 0; s < CACHE_SPLITS; s++)
        cache->splits[s] =
            (struct cache_handles){H5I_INVALID_HID, H5I_INVALID_HID, H5I_INVALID_HID, H5I_INVALID_HID};
}

void cache_file_close(struct cache_file *cache) {
    for (int s = 0; s < CACHE_SPLITS; s++) {
        h5_close(&cache->splits[s].features);
        h5_close(&cache->splits[s].labels);
        h5_close(&cache->splits[s].checksums);
        h5_close(&cache->splits[s].progress);
    }
    h5_close(&cache->file);
}

static enum status read_fields(hid_t object, const struct cache_field *fields, size_t count, void *info) {
    for (size_t i = 0; i < count; i++) {
        char *member = (char *)info + fields[i].offset;
        enum status status = fields[i].text_size > 0
                                 ? h5_read_string(object, fields[i].name, member, fields[i].text_size)
                                 : h5_read_whole(object, fields[i].name, (uint64_t *)(void *)member);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* Returns what is wrong with a dataset's storage, or NULL when its `bytes` are in one piece in the file. */
static const char *storage_fault(hid_t dataset, uint64_t bytes, uint64_t file_size) {
    hid_t creation = H5Dget_create_plist(dataset);
    H5D_layout_t layout = creation >= 0 ? H5Pget_layout(creation) : H5D_LAYOUT_ERROR;
    bool filtered = creation >= 0 && H5Pget_nfilters(creation) > 0,
         external = creation >= 0 && H5Pget_external_count(creation) > 0;
    h5_close(&creation);
    haddr_t offset = H5Dget_offset(dataset); /* undefined, too, when nothing was written yet */
    H5Eclear2(H5E_DEFAULT);
    if (layout == H5D_CHUNKED)
        return filtered ? "stored in compressed or filtered chunks" : "stored in chunks";
    if (layout == H5D_COMPACT)
        return "stored in the compact layout";
    if (layout == H5D_VIRTUAL || external)
        return "stored in other files";
    if (layout != H5D_CONTIGUOUS || offset == HADDR_UNDEF)
        return "without storage in the file";
    return bytes > file_size || offset > file_size - bytes ? "larger than the file" : NULL;
}

/* Opens a dataset and checks that it is contiguous, of type `type`, of `rank`, and wholly inside the file. */
static enum status open_checked(hid_t *dataset_ret, hid_t group, const char *name, hid_t type, int rank,
                                hsize_t dims[8], uint64_t file_size) {
    char where[512];
    int found_rank = 0;
    enum status status = h5_open_dataset(dataset_ret, group, name);
    if (status == STATUS_OK)
        status = h5_dataset_shape(*dataset_ret, &found_rank, dims);
    if (status != STATUS_OK)
        return status;
    hid_t found = H5Dget_type(*dataset_ret);
    bool fits = found_rank == rank && H5Tequal(found, type) > 0;
    uint64_t bytes = H5Tget_size(found);
    h5_close(&found);
    for (int i = 0; i < found_rank; i++)
        if (__builtin_mul_overflow(bytes, dims[i], &bytes))
            fits = false;
    if (!fits)
        return status_set(STATUS_FORMAT, "%s: not of the type or shape that a cache has",
                          h5_name(*dataset_ret, where));
    const char *fault = bytes > 0 ? storage_fault(*dataset_ret, bytes, file_size) : NULL;
    if (fault != NULL)
        return status_set(
            STATUS_FORMAT,
            "%s: %s, but a cache's rows stand in one piece (contiguous), as extract writes them",
            h5_name(*dataset_ret, where), fault);
    return STATUS_OK;
}

static enum status open_split(struct cache_file *cache, int s, uint64_t file_size) {
    char where[512];
    struct cache_split_info *split = &cache->info.splits[s];
    struct cache_handles *handles = &cache->splits[s];
    hsize_t features[8] = {0}, labels[8] = {0}, checksums[8] = {0}, progress[8] = {0};
    hid_t group = H5I_INVALID_HID;
    enum status status = h5_open_group(&group, cache->file, cache_split_names[s]);
    if (status == STATUS_OK)
        status = read_fields(group, cache_split_fields, cache_split_field_count, split);
    if (status == STATUS_OK)
        status = open_checked(&handles->features, group, "features", H5T_IEEE_F32LE, 2, features, file_size);
    hid_t label_type = cache->info.classes > 256 ? H5T_STD_U16LE : H5T_STD_U8LE;
    if (status == STATUS_OK)
        status = open_checked(&handles->labels, group, "labels", label_type, 1, labels, file_size);
    if (status == STATUS_OK)
        status =
            open_checked(&handles->checksums, group, "checksums", H5T_STD_U32LE, 1, checksums, file_size);
    if (status == STATUS_OK)
        status = open_checked(&handles->progress, group, "progress", H5T_STD_U64LE, 1, progress, file_size);
    if (status == STATUS_OK && progress[0] == 1)
        status = h5_read_rows(handles->progress, H5T_NATIVE_UINT64, 0, 1, &split->progress);
    if (status != STATUS_OK)
        goto out;
    split->rows = features[0];
    if (s == 0)
        cache->info.dim = features[1];
    uint64_t rows = split->rows, block = split->block_rows;
    bool fits = (rows > 0 || s == CACHE_TEST) && features[1] == cache->info.dim && cache->info.dim > 0 &&
                labels[0] == rows && block > 0 && block <= CACHE_BLOCK_ROWS_MAX &&
                checksums[0] == rows / block + (rows % block != 0) && progress[0] == 1 &&
                split->progress <= rows && (split->progress == rows || split->progress % block == 0) &&
                (!cache->info.complete || split->progress == rows);
    if (!fits)
        status = status_set(STATUS_FORMAT, "%s: its datasets do not fit together", h5_name(group, where));
out:
    h5_close(&group);
    return status;
}

enum status cache_file_open(struct cache_file *cache, const char *path, bool writable) {
    char format[CACHE_TEXT] = "";
    uint64_t version = 0, complete = 0;
    struct stat file;
    cache_file_init(cache);
    enum status status = h5_open(&cache->file, path, writable);
    if (status != STATUS_OK)
        return status;
    if (stat(path, &file) != 0) {
        status = status_set_errno("%s: cannot get its size", path);
        goto fail;
    }
    if (!h5_has_attribute(cache->file, "format") ||
        h5_read_string(cache->file, "format", format, sizeof format) != STATUS_OK ||
        strcmp(format, "vggcache") != 0) {
        status =
            status_set(STATUS_FORMAT, "%s: an HDF5 file, but not a feature cache; extract makes one", path);
        goto fail;
    }
    status = h5_read_whole(cache->file, "format_version", &version);
    if (status == STATUS_OK && version != 1)
        status =
            status_set(STATUS_FORMAT, "%s: cache format %" PRIu64 ", and this program knows format 1 only",
                       path, version);
    if (status == STATUS_OK)
        status = h5_read_whole(cache->file, "complete", &complete);
    if (status == STATUS_OK)
        status = read_fields(cache->file, cache_root_fields, cache_root_field_count, &cache->info);
    if (status == STATUS_OK && (cache->info.classes == 0 || cache->info.classes > CACHE_CLASSES_MAX))
        status = status_set(STATUS_FORMAT, "%s: %" PRIu64 " classes; a cache has 1 to %d", path,
                            cache->info.classes, CACHE_CLASSES_MAX);
    cache->info.complete = complete == 1;
    for (int s = 0; s < CACHE_SPLITS && status == STATUS_OK; s++)
        status = open_split(cache, s, (uint64_t)file.st_size);
    if (status == STATUS_OK) {
        h5_trust();
        return STATUS_OK;
    }
fail:
    cache_file_close(cache);
    return status;
}

uint32_t cache_block_checksum(const struct cache_info *info, uint64_t count, const float *features,
                              const uint16_t *labels) {
    uint32_t crc = digest_crc32c(0, features, count * info->dim * sizeof *features);
    if (info->classes > 256)
        return digest_crc32c(crc, labels, count * sizeof *labels);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t label = (uint8_t)labels[i];
        crc = digest_crc32c(crc, &label, 1);
    }
    return crc;
}

/* Checks one block that was read; `first` and `count` are for the message. */
static enum status check_block(const struct cache_file *cache, enum cache_split split, uint64_t first,
                               uint64_t count, const float *features, const uint16_t *labels,
                               uint32_t checksum) {
    char where[512];
    if (cache_block_checksum(&cache->info, count, features, labels) != checksum)
        return status_set(STATUS_CORRUPT,
                          "%s: rows %" PRIu64 " to %" PRIu64 " of %s are damaged (checksum differs); "
                          "run extract --force to make the cache again",
                          h5_name(cache->file, where), first, first + count - 1, cache_split_names[split]);
    for (uint64_t i = 0; i < count; i++)
        if (labels[i] >= cache->info.classes)
            return status_set(STATUS_FORMAT,
                              "%s: label %u in row %" PRIu64 " of %s, but there are %" PRIu64 " classes",
                              h5_name(cache->file, where), labels[i], first + i, cache_split_names[split],
                              cache->info.classes);
    return STATUS_OK;
}

enum status cache_file_read(struct cache_file *cache, enum cache_split split, uint64_t first, uint64_t count,
                            float *features, uint16_t *labels, uint64_t *good_ret) {
    const struct cache_split_info *info = &cache->info.splits[split];
    const struct cache_handles *handles = &cache->splits[split];
    uint64_t block = info->block_rows, dim = cache->info.dim;
    *good_ret = 0;
    assert(first % block == 0 && first + count <= info->progress);
    assert(count % block == 0 || first + count == info->progress);
    if (count == 0)
        return STATUS_OK;
    uint64_t blocks = (count + block - 1) / block;
    uint32_t *checksums = malloc(blocks * sizeof *checksums);
    if (checksums == NULL)
        return status_set_no_memory(blocks * sizeof *checksums, "checksums of the cache");
    enum status status = h5_read_rows(handles->features, H5T_NATIVE_FLOAT, first, count, features);
    if (status == STATUS_OK)
        status = h5_read_rows(handles->labels, H5T_NATIVE_UINT16, first, count, labels);
    if (status == STATUS_OK)
        status = h5_read_rows(handles->checksums, H5T_NATIVE_UINT32, first / block, blocks, checksums);
    for (uint64_t b = 0; b < blocks && status == STATUS_OK; b++) {
        uint64_t at = b * block, rows = count - at < block ? count - at : block;
        status = check_block(cache, split, first + at, rows, features + at * dim, labels + at, checksums[b]);
        if (status == STATUS_OK)
            *good_ret = at + rows;
    }
    free(checksums);
    return status;
}
