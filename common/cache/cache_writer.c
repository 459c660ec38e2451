/* cache_writer: the writing side of the cache, and its safety.
 *
 * Files, PATH being what the cache's name leads to through links: PATH.partial is the cache under way and carries the
 * lock (an OFD lock, so it is bound to this open file and gone when the process is). PATH.partial.new is the empty structure while it is made; it replaces
 * PATH.partial only when its metadata and space are on the disk, so a PATH.partial that is not empty always
 * opens. Each step is safe against a kill before and after it:
 *
 *   create and lock PATH.partial (empty)
 *   -> make PATH.partial.new, reserve its space, fsync, lock it, rename it
 *   -> append: rows and checksum, flush, progress, flush
 *   -> complete = 1, fsync, rename to PATH
 *
 * A flush hands data to the kernel, which survives a kill; should the machine lose power, rows that were
 * counted but did not reach the disk fail their checksum and are made again on resume. */
#include "common/cache/cache_writer.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/output.h"
#include "common/cache/cache.h"
#include "common/cache/cache_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct cache_writer {
    struct cache_file file;
    char *path, *partial;
    int lock;      /* file descriptor that holds the lock on `partial` */
    bool unlocked; /* there are no locks, and none is asked for */
};

enum lock { LOCK_HELD, LOCK_BUSY, LOCK_NONE };

/* Locks the file behind `fd` for this process. LOCK_BUSY when another holds it, LOCK_NONE with errno when there
 * are no locks. What is no such lock for ever (an old kernel, some network file systems) may know flock()'s,
 * which is bound to the open file as well; a passing trouble (ENOLCK) is no reason to change the kind. */
static enum lock try_lock(int fd) {
    struct flock whole_file = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &whole_file) == 0)
        return LOCK_HELD;
    if (errno == EAGAIN || errno == EACCES)
        return LOCK_BUSY;
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return LOCK_NONE;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return LOCK_HELD;
    return errno == EWOULDBLOCK ? LOCK_BUSY : LOCK_NONE;
}

/* VGGCACHE_LOCKS: whether a cache may be written where there are no locks. */
static enum status read_setting(bool *optional_ret) {
    const char *value = getenv("VGGCACHE_LOCKS");
    *optional_ret = value != NULL && strcmp(value, "optional") == 0;
    if (value == NULL || value[0] == '\0' || *optional_ret || strcmp(value, "required") == 0)
        return STATUS_OK;
    return status_set(STATUS_USAGE, "VGGCACHE_LOCKS=%s: must be required or optional", value);
}

/* What LOCK_BUSY and LOCK_NONE mean for a cache. STATUS_OK: go on without. */
static enum status judge_lock(const struct cache_writer *writer, enum lock lock) {
    bool optional;
    int reason = errno;
    if (lock == LOCK_BUSY)
        return status_set(
            STATUS_BUSY, "%s: another extract is writing this cache; wait for it, or choose another --output",
            writer->path);
    enum status status = read_setting(&optional);
    if (status != STATUS_OK)
        return status;
    if (optional) {
        log_info("%s: not locked (%s); nothing keeps another extract from writing it too", writer->path,
                 strerror(reason));
        return STATUS_OK;
    }
    return status_set(
        STATUS_IO,
        "%s: cannot be locked, as the file system has no locks (%s); choose an --output on another "
        "one, or set VGGCACHE_LOCKS=optional if no other extract writes this cache",
        writer->path, strerror(reason));
}

/* Opens (creating it, empty) and locks the partial file. A file that was renamed between open and lock is
 * another process's finished work: then the name is opened again. */
static enum status lock_partial(struct cache_writer *writer) {
    for (;;) {
        struct stat opened, named;
        int fd = open(writer->partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        bool made = fd >= 0;
        if (!made && errno == EEXIST)
            fd = open(writer->partial, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0)
            return status_set_errno("%s: cannot create the file; choose another --output", writer->partial);
        enum lock lock = try_lock(fd);
        enum status status = lock == LOCK_HELD ? STATUS_OK : judge_lock(writer, lock);
        if (status != STATUS_OK) {
            if (made && lock == LOCK_NONE)
                unlink(writer->partial);
            close(fd);
            return status;
        }
        if (fstat(fd, &opened) == 0 && stat(writer->partial, &named) == 0 && opened.st_ino == named.st_ino &&
            opened.st_dev == named.st_dev) {
            writer->lock = fd;
            writer->unlocked = lock == LOCK_NONE;
            return STATUS_OK;
        }
        close(fd);
    }
}

/* Appends "NAME is A, asked for B (OPTION)" for each field that differs. */
static void list_differences(char *text, size_t size, const char *prefix, const struct cache_field *fields,
                             size_t count, const void *found, const void *wanted) {
    char a[CACHE_SOURCE], b[CACHE_SOURCE];
    for (size_t i = 0; i < count; i++) {
        if (fields[i].role == CACHE_NOTE)
            continue;
        cache_field_text(&fields[i], found, a);
        cache_field_text(&fields[i], wanted, b);
        size_t used = strlen(text);
        const char *option = fields[i].option;
        if (strcmp(a, b) != 0)
            snprintf(text + used, size - used, "%s%s%s is %s, asked for %s%s%s%s", used ? "; " : "", prefix,
                     fields[i].name, a, b, option ? " (" : "", option ? option : "", option ? ")" : "");
    }
}

static enum status compare(const char *path, const struct cache_info *found,
                           const struct cache_info *wanted) {
    char text[900] = "";
    list_differences(text, sizeof text, "", cache_root_fields, cache_root_field_count, found, wanted);
    if (found->dim != wanted->dim)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "%sfeatures per row is %" PRIu64 ", asked for %" PRIu64, text[0] ? "; " : "", found->dim,
                 wanted->dim);
    for (int s = 0; s < CACHE_SPLITS; s++) {
        char prefix[16];
        const struct cache_split_info *a = &found->splits[s], *b = &wanted->splits[s];
        snprintf(prefix, sizeof prefix, "%s ", cache_split_names[s]);
        size_t used = strlen(text);
        if (a->rows != b->rows)
            snprintf(text + used, sizeof text - used, "%s%srows is %" PRIu64 ", asked for %" PRIu64,
                     used ? "; " : "", prefix, a->rows, b->rows);
        list_differences(text, sizeof text, prefix, cache_split_fields, cache_split_field_count, a, b);
    }
    if (text[0] == '\0')
        return STATUS_OK;
    return status_set(STATUS_MISMATCH,
                      "%s: made another way: %s; choose another --output, or --force to replace it", path,
                      text);
}

/* Looks at what stands under the final name. *done_ret: it is the cache that is wanted. */
static enum status check_final(const char *path, const struct cache_info *want, bool force, bool *done_ret) {
    struct cache_file file;
    struct stat found;
    *done_ret = false;
    if (lstat(path, &found) != 0)
        return errno == ENOENT ? STATUS_OK : status_set_errno("%s: cannot look at the file", path);
    if (!S_ISREG(found.st_mode))
        return status_set(STATUS_IO, "%s: not a regular file; choose another --output", path);
    if (force)
        return STATUS_OK;
    enum status status = cache_file_open(&file, path, false);
    if (status != STATUS_OK)
        return status_set(status, "%s; choose another --output, or --force to replace it", status_message());
    status = compare(path, &file.info, want);
    if (status == STATUS_OK && !file.info.complete)
        status = status_set(STATUS_FORMAT,
                            "%s: an unfinished cache under a finished name; rename it to %s.partial to go "
                            "on with it, or --force to replace it",
                            path, path);
    *done_ret = status == STATUS_OK;
    cache_file_close(&file);
    return status;
}

static enum status write_fields(hid_t object, const struct cache_field *fields, size_t count,
                                const void *info) {
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        const char *member = (const char *)info + fields[i].offset;
        status = fields[i].text_size > 0
                     ? h5_write_string(object, fields[i].name, member)
                     : h5_write_whole(object, fields[i].name, *(const uint64_t *)(const void *)member);
    }
    return status;
}

static enum status create_split(hid_t file, const struct cache_info *info, int s) {
    const struct cache_split_info *split = &info->splits[s];
    hsize_t features[] = {split->rows, info->dim}, one[] = {1},
            blocks[] = {(split->rows + split->block_rows - 1) / split->block_rows};
    const struct {
        const char *name;
        hid_t type;
        int rank;
        const hsize_t *dims;
    } datasets[] = {
        {"features", H5T_IEEE_F32LE, 2, features},
        {"labels", info->classes > 256 ? H5T_STD_U16LE : H5T_STD_U8LE, 1, features},
        {"checksums", H5T_STD_U32LE, 1, blocks},
        {"progress", H5T_STD_U64LE, 1, one},
    };
    const uint64_t none = 0;
    hid_t group = H5I_INVALID_HID, dataset = H5I_INVALID_HID;
    enum status status = h5_create_group(&group, file, cache_split_names[s]);
    if (status == STATUS_OK)
        status = write_fields(group, cache_split_fields, cache_split_field_count, split);
    for (size_t i = 0; i < sizeof datasets / sizeof datasets[0] && status == STATUS_OK; i++) {
        h5_close(&dataset);
        status = h5_create_dataset(&dataset, group, datasets[i].name, datasets[i].type, datasets[i].rank,
                                   datasets[i].dims);
    }
    if (status == STATUS_OK) /* the last one made is the progress */
        status = h5_write_rows(dataset, H5T_NATIVE_UINT64, 0, 1, &none);
    h5_close(&dataset);
    h5_close(&group);
    return status;
}

/* Writes the whole structure of a cache without rows to `path`. */
static enum status create_structure(const char *path, const struct cache_info *info) {
    hid_t file = H5I_INVALID_HID;
    enum status status = h5_create(&file, path);
    if (status != STATUS_OK)
        return status;
    status = h5_write_string(file, "format", "vggcache");
    if (status == STATUS_OK)
        status = h5_write_whole(file, "format_version", 1);
    if (status == STATUS_OK)
        status = h5_write_whole(file, "complete", 0);
    if (status == STATUS_OK)
        status = write_fields(file, cache_root_fields, cache_root_field_count, info);
    for (int s = 0; s < CACHE_SPLITS && status == STATUS_OK; s++)
        status = create_split(file, info, s);
    enum status closed = h5_close_written(&file);
    return status == STATUS_OK ? closed : status;
}

/* Reserves all of the file's space, so that a full disk is found now and not in an hour; then onto the disk.
 */
static enum status reserve(int fd, const char *path) {
    struct stat file;
    if (fstat(fd, &file) != 0)
        return status_set_errno("%s: cannot get its size", path);
    int error = posix_fallocate(fd, 0, file.st_size);
    if (error == 0 && fsync(fd) == 0)
        return STATUS_OK;
    errno = error != 0 ? error : errno;
    return status_set_errno("%s: cannot reserve %.1f MB for the cache; free space or choose another --output",
                            path, (double)file.st_size / 1e6);
}

/* Replaces the (empty or unwanted) partial file by a fresh structure, the lock with it. */
static enum status create_partial(struct cache_writer *writer, const struct cache_info *want) {
    char *fresh = NULL;
    if (asprintf(&fresh, "%s.new", writer->partial) < 0)
        return status_set_no_memory(strlen(writer->partial), writer->partial);
    int fd = -1;
    enum status status = create_structure(fresh, want);
    if (status == STATUS_OK && (fd = open(fresh, O_RDWR | O_CLOEXEC)) < 0)
        status = status_set_errno("%s: cannot open the file just made", fresh);
    if (status == STATUS_OK)
        status = reserve(fd, fresh);
    if (status == STATUS_OK && !writer->unlocked && try_lock(fd) != LOCK_HELD)
        status = status_set_errno("%s: cannot lock the file", fresh);
    if (status == STATUS_OK && rename(fresh, writer->partial) != 0)
        status = status_set_errno("%s: cannot rename it to %s", fresh, writer->partial);
    if (status == STATUS_OK) {
        close(writer->lock);
        writer->lock = fd;
        fd = -1;
    } else {
        unlink(fresh);
    }
    if (fd >= 0)
        close(fd);
    free(fresh);
    return status;
}

static enum status write_progress(struct cache_writer *writer, int s) {
    char where[512];
    struct cache_split_info *split = &writer->file.info.splits[s];
    hid_t file = writer->file.file;
    if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
        return h5_fail(STATUS_IO, "%s: cannot write; is the disk full?", h5_name(file, where));
    enum status status =
        h5_write_rows(writer->file.splits[s].progress, H5T_NATIVE_UINT64, 0, 1, &split->progress);
    if (status == STATUS_OK && H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
        status = h5_fail(STATUS_IO, "%s: cannot write; is the disk full?", h5_name(file, where));
    return status;
}

/* Sets the progress of a split back to its last row before the first damaged block, if there is one. */
static enum status drop_damaged(struct cache_writer *writer, int s) {
    struct cache_split_info *split = &writer->file.info.splits[s];
    uint64_t chunk = split->block_rows, at = 0;
    float *features = mem_alloc(chunk * writer->file.info.dim, sizeof *features);
    uint16_t *labels = mem_alloc(chunk, sizeof *labels);
    enum status status = STATUS_OK;
    if (features == NULL || labels == NULL)
        status = status_set_no_memory(chunk * writer->file.info.dim * sizeof *features, writer->path);
    while (status == STATUS_OK && at < split->progress) {
        uint64_t good, rows = split->progress - at < chunk ? split->progress - at : chunk;
        status = cache_file_read(&writer->file, (enum cache_split)s, at, rows, features, labels, &good);
        at += good;
    }
    if (status == STATUS_CORRUPT) {
        log_info("%s: %s rows from %" PRIu64 " on are damaged and will be computed again", writer->partial,
                 cache_split_names[s], at);
        split->progress = at;
        status = write_progress(writer, s);
    }
    mem_free(features);
    mem_free(labels);
    return status;
}

/* Opens the locked partial file and checks that it can be gone on with. */
static enum status resume(struct cache_writer *writer, const struct cache_info *want) {
    enum status status = cache_file_open(&writer->file, writer->partial, true);
    if (status == STATUS_FORMAT)
        status_set(status, "%s; use --force to discard it", status_message());
    if (status != STATUS_OK)
        return status;
    status = compare(writer->partial, &writer->file.info, want);
    for (int s = 0; s < CACHE_SPLITS && status == STATUS_OK; s++)
        status = drop_damaged(writer, s);
    if (status != STATUS_OK)
        cache_file_close(&writer->file);
    return status;
}

static enum status open_locked(struct cache_writer *writer, const struct cache_info *want, bool force) {
    struct stat partial;
    if (fstat(writer->lock, &partial) != 0)
        return status_set_errno("%s: cannot get its size", writer->partial);
    bool fresh = partial.st_size == 0;
    enum status status = fresh ? STATUS_OK : resume(writer, want);
    if (!fresh && (status == STATUS_FORMAT || status == STATUS_MISMATCH) && force)
        fresh = true;
    if (!fresh)
        return status;
    status = create_partial(writer, want);
    return status == STATUS_OK ? cache_file_open(&writer->file, writer->partial, true) : status;
}

/* Finds the names, and locks, unless there is nothing to do; *done_ret tells which. */
static enum status lock_names(struct cache_writer *writer, const char *path, const struct cache_info *want,
                              bool force, bool *done_ret) {
    enum status status = output_target(&writer->path, path);
    if (status == STATUS_OK)
        status = check_final(writer->path, want, force, done_ret);
    if (status != STATUS_OK || *done_ret)
        return status;
    writer->partial = cache_partial_path(writer->path);
    if (writer->partial == NULL)
        return status_set_no_memory(strlen(path), path);
    status = lock_partial(writer);
    if (status == STATUS_OK) /* who had the lock until now may have finished it */
        status = check_final(writer->path, want, force, done_ret);
    return status;
}

enum status cache_writer_open(struct cache_writer **writer_ret, const char *path,
                              const struct cache_info *want, bool force) {
    bool done = false;
    *writer_ret = NULL;
    struct cache_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return status_set_no_memory(sizeof *writer, path);
    cache_file_init(&writer->file);
    writer->lock = -1;
    enum status status = lock_names(writer, path, want, force, &done);
    if (status == STATUS_OK && !done)
        status = open_locked(writer, want, force);
    if (status != STATUS_OK || done) {
        cache_writer_close(writer);
        return status;
    }
    *writer_ret = writer;
    return STATUS_OK;
}

uint64_t cache_writer_progress(const struct cache_writer *writer, enum cache_split split) {
    return writer->file.info.splits[split].progress;
}

enum status cache_writer_append(struct cache_writer *writer, enum cache_split split, uint64_t count,
                                const float *features, const uint16_t *labels) {
    struct cache_split_info *info = &writer->file.info.splits[split];
    const struct cache_handles *handles = &writer->file.splits[split];
    uint64_t first = info->progress;
    assert(first % info->block_rows == 0 && first + count <= info->rows);
    assert(count == info->block_rows || first + count == info->rows);
    uint32_t checksum = cache_block_checksum(&writer->file.info, count, features, labels);
    enum status status = h5_write_rows(handles->features, H5T_NATIVE_FLOAT, first, count, features);
    if (status == STATUS_OK)
        status = h5_write_rows(handles->labels, H5T_NATIVE_UINT16, first, count, labels);
    if (status == STATUS_OK)
        status = h5_write_rows(handles->checksums, H5T_NATIVE_UINT32, first / info->block_rows, 1, &checksum);
    if (status != STATUS_OK)
        return status;
    info->progress = first + count;
    return write_progress(writer, (int)split);
}

enum status cache_writer_finish(struct cache_writer *writer) {
    enum status status = STATUS_OK;
    for (int s = 0; s < CACHE_SPLITS; s++) {
        assert(writer->file.info.splits[s].progress == writer->file.info.splits[s].rows);
        h5_close(&writer->file.splits[s].features);
        h5_close(&writer->file.splits[s].labels);
        h5_close(&writer->file.splits[s].checksums);
        h5_close(&writer->file.splits[s].progress);
    }
    status = h5_write_whole(writer->file.file, "complete", 1);
    enum status closed = h5_close_written(&writer->file.file);
    status = status == STATUS_OK ? closed : status;
    if (status == STATUS_OK)
        status = output_publish(writer->partial, writer->path);
    cache_writer_close(writer);
    return status;
}

void cache_writer_close(struct cache_writer *writer) {
    if (writer == NULL)
        return;
    bool opened = writer->file.file >= 0, empty = opened;
    for (int s = 0; s < CACHE_SPLITS; s++)
        empty = empty && writer->file.info.splits[s].progress == 0;
    cache_file_close(&writer->file);
    struct stat held;
    bool bare = writer->lock >= 0 && fstat(writer->lock, &held) == 0 && held.st_size == 0;
    if (empty || bare)
        unlink(writer->partial);
    if (writer->lock >= 0)
        close(writer->lock);
    free(writer->path);
    free(writer->partial);
    free(writer);
}
