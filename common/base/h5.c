/* h5: the HDF5 calls that all our files need, with statuses and messages. */
#include "common/base/h5.h"
#include "common/base/output.h"
#include "common/base/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void h5_init(void) {
    /* At exit HDF5 would try again to write what it could not write, and crash. */
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* While HDF5 opens a file that may be damaged, a crash or a long silence means that it is damaged. */
static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGALRM};
enum { PATIENCE = 30 }; /* seconds; metadata take milliseconds */
enum { CRASH_SIGNALS = sizeof crash_signals / sizeof crash_signals[0] };
static struct {
    bool on;
    char message[640];
    struct sigaction before[CRASH_SIGNALS];
} guard;

static void on_crash(int signal) {
    (void)signal;
    output_remove_temporaries();
    if (write(STDERR_FILENO, guard.message, strlen(guard.message)) < 0)
        _exit(1);
    _exit(1);
}

static void guard_begin(const char *path) {
    struct sigaction action = {.sa_handler = on_crash};
    char shown[513];
    sigemptyset(&action.sa_mask);
    snprintf(guard.message, sizeof guard.message,
             "%s: %s: damaged: HDF5 crashes or hangs on it; get or make the file again\n",
             program_invocation_short_name, text_visible(path, shown, sizeof shown));
    for (int i = 0; i < CRASH_SIGNALS && !guard.on; i++)
        sigaction(crash_signals[i], &action, &guard.before[i]);
    guard.on = true;
    alarm(PATIENCE);
}

void h5_trust(void) {
    if (guard.on)
        alarm(0);
    for (int i = 0; i < CRASH_SIGNALS && guard.on; i++)
        sigaction(crash_signals[i], &guard.before[i], NULL);
    guard.on = false;
}

/* HDF5 reports the innermost error first, and its description is the reason to show. Of the many lines for a failed
 * system call, only the system's message is kept. */
static herr_t first_reason(unsigned depth, const H5E_error2_t *error, void *data) {
    static const char mark[] = "error message = '";
    if (depth != 0 || error->desc == NULL)
        return 0;
    char *reason = data;
    const char *word = strstr(error->desc, mark);
    snprintf(reason, 256, "%s", word != NULL ? word + strlen(mark) : error->desc);
    reason[strcspn(reason, word != NULL ? "'\n" : "\n")] = '\0';
    return 0;
}

enum status h5_fail(enum status status, const char *format, ...) {
    char text[1024], reason[256] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_reason, reason);
    H5Eclear2(H5E_DEFAULT);
    return status_set(status, reason[0] ? "%s (HDF5: %s)" : "%s", text, reason);
}

char *h5_name(hid_t object, char text[512]) {
    char file[256] = "?", place[240] = "";
    hid_t errors = H5Eget_current_stack(); /* each HDF5 call clears the reason of an earlier failure */
    H5Fget_name(object, file, sizeof file);
    H5Iget_name(object, place, sizeof place);
    H5Eset_current_stack(errors);
    if (strcmp(place, "/") == 0)
        snprintf(text, 512, "%s", file);
    else
        snprintf(text, 512, "%s: %s", file, place);
    return text;
}

/* The version bounds are for writing only. They would keep HDF5 from opening a file of a newer format than the upper
 * bound, and every format that this HDF5 knows shall be read. */
static hid_t access_list(bool writable) {
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    if (list >= 0 && (H5Pset_fclose_degree(list, H5F_CLOSE_SEMI) < 0 ||
                      (writable && H5Pset_libver_bounds(list, H5F_LIBVER_V18, H5F_LIBVER_V18) < 0) ||
                      H5Pset_file_locking(list, false, true) < 0))
        h5_close(&list);
    return list;
}

/* Returns the version of the superblock, which is at byte 0, 512, 1024, 2048 and so on, after a block of the user's.
 * -1: there is none, so this is no HDF5 file. *part_ret: the file is one of several over which HDF5 has split the
 * bytes; the superblock names the driver for this. */
static int superblock_version(int fd, off_t size, bool *part_ret) {
    static const char signature[] = "\211HDF\r\n\032\n";
    for (off_t at = 0; at < size; at = at == 0 ? 512 : 2 * at) {
        unsigned char head[1024] = {0};
        ssize_t got = pread(fd, head, sizeof head, at);
        if (got < 9 || memcmp(head, signature, 8) != 0)
            continue;
        *part_ret = memmem(head, (size_t)got, "NCSAfami", 8) || memmem(head, (size_t)got, "NCSAmult", 8);
        return head[8];
    }
    return -1;
}

/* Says why H5Fopen() failed, more clearly than HDF5 where possible. */
static enum status open_failure(const char *path, bool writable, int version, bool part) {
    unsigned long long size, stored;
    char reason[256] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_reason, reason);
    H5Eclear2(H5E_DEFAULT);
    if (version < 0)
        return status_set(STATUS_FORMAT, "%s: not an HDF5 file", path);
    if (part)
        return status_set(STATUS_FORMAT,
                          "%s: one part of an HDF5 file that is split over several; "
                          "join them first (h5repart does, for the family driver)",
                          path);
    if (strstr(reason, "consistency flags") != NULL)
        return status_set(STATUS_FORMAT,
                          "%s: marked as open for writing: "
                          "the program that writes it is still at work, or ended without closing it; "
                          "in that case, h5clear -s removes the mark",
                          path);
    if (sscanf(reason, "truncated file: eof = %llu, sblock->base_addr = %*u, stored_eof = %llu", &size,
               &stored) == 2)
        return status_set(
            STATUS_FORMAT,
            "%s: an HDF5 file that is cut short: it has %llu bytes of %llu; get or make it again", path, size,
            stored);
    enum status status = status_set(STATUS_FORMAT, "%s: not a readable HDF5 file%s%s%s", path,
                                    reason[0] ? " (HDF5: " : "", reason, reason[0] ? ")" : "");
    hid_t list = access_list(writable), readable = H5I_INVALID_HID;
    if (writable && (readable = H5Fopen(path, H5F_ACC_RDONLY, list)) >= 0)
        status = status_set(STATUS_IO, "%s: cannot write to the file; is the disk full?", path);
    h5_close(&readable);
    h5_close(&list);
    H5Eclear2(H5E_DEFAULT);
    return status;
}

enum status h5_open(hid_t *file_ret, const char *path, bool writable) {
    /* If the file cannot be opened at all, the system's message is better than HDF5's. */
    int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0)
        return status_set_errno("%s: cannot open the file", path);
    struct stat found = {0};
    bool known = fstat(fd, &found) == 0, part = false;
    int version = superblock_version(fd, known ? found.st_size : 0, &part);
    close(fd);
    if (known && S_ISDIR(found.st_mode))
        return status_set(STATUS_FORMAT, "%s: a folder, not an HDF5 file", path);
    if (known && S_ISREG(found.st_mode) &&
        found.st_size == 0) /* HDF5 would make an HDF5 file of it when it may write */
        return status_set(STATUS_FORMAT, "%s: not an HDF5 file (it is empty)", path);
    if (writable && version >= 3)
        return status_set(
            STATUS_FORMAT,
            "%s: written in a newer HDF5 format (superblock %d), which can be read, but not continued: "
            "a kill would leave it marked as open",
            path, version);
    hid_t list = access_list(writable);
    enum status status = STATUS_OK;
    guard_begin(path);
    hid_t file = H5Fopen(path, writable ? H5F_ACC_RDWR : H5F_ACC_RDONLY, list);
    if (file < 0)
        status = open_failure(path, writable, version, part);
    h5_close(&list);
    if (status != STATUS_OK)
        h5_trust();
    *file_ret = file;
    return status;
}

enum status h5_create(hid_t *file_ret, const char *path) {
    hid_t list = access_list(true), creation = H5Pcreate(H5P_FILE_CREATE);
    hid_t file = H5I_INVALID_HID;
    if (creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0)
        file = H5Fcreate(path, H5F_ACC_TRUNC, creation, list);
    enum status status = file < 0 ? h5_fail(STATUS_IO, "%s: cannot create the file", path) : STATUS_OK;
    h5_close(&list);
    h5_close(&creation);
    *file_ret = file;
    return status;
}

void h5_close(hid_t *handle) {
    hid_t id = *handle;
    *handle = H5I_INVALID_HID;
    if (id < 0)
        return;
    hid_t errors = H5Eget_current_stack(); /* as in h5_name() */
    switch (H5Iget_type(id)) {
    case H5I_FILE:
        H5Fclose(id);
        h5_trust();
        break;
    case H5I_GROUP:
        H5Gclose(id);
        break;
    case H5I_DATASET:
        H5Dclose(id);
        break;
    case H5I_DATASPACE:
        H5Sclose(id);
        break;
    case H5I_DATATYPE:
        H5Tclose(id);
        break;
    case H5I_ATTR:
        H5Aclose(id);
        break;
    case H5I_GENPROP_LST:
        H5Pclose(id);
        break;
    default:
        break;
    }
    H5Eset_current_stack(errors);
}

enum status h5_close_written(hid_t *file) {
    char path[512];
    h5_name(*file, path);
    enum status status = STATUS_OK;
    if (H5Fflush(*file, H5F_SCOPE_GLOBAL) < 0)
        status = h5_fail(STATUS_IO, "%s: cannot write; is the disk full?", path);
    if (H5Fclose(*file) < 0 && status == STATUS_OK)
        status = h5_fail(STATUS_IO, "%s: cannot write; is the disk full?", path);
    *file = H5I_INVALID_HID;
    return status;
}

enum status h5_create_group(hid_t *group_ret, hid_t parent, const char *name) {
    char where[512];
    hid_t creation = H5Pcreate(H5P_GROUP_CREATE);
    hid_t group = H5I_INVALID_HID;
    if (creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0)
        group = H5Gcreate2(parent, name, H5P_DEFAULT, creation, H5P_DEFAULT);
    h5_close(&creation);
    if (group < 0)
        return h5_fail(STATUS_IO, "%s: cannot create the group %s", h5_name(parent, where), name);
    *group_ret = group;
    return STATUS_OK;
}

enum status h5_create_dataset(hid_t *dataset_ret, hid_t parent, const char *name, hid_t type, int rank,
                              const hsize_t dims[]) {
    char where[512];
    hid_t space = H5Screate_simple(rank, dims, NULL);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    hid_t dataset = H5I_INVALID_HID;
    if (space >= 0 && creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0 &&
        H5Pset_layout(creation, H5D_CONTIGUOUS) >= 0 &&
        H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY) >= 0 &&
        H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0)
        dataset = H5Dcreate2(parent, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    h5_close(&space);
    h5_close(&creation);
    if (dataset < 0)
        return h5_fail(STATUS_IO, "%s: cannot create the dataset %s", h5_name(parent, where), name);
    *dataset_ret = dataset;
    return STATUS_OK;
}

static enum status open_object(hid_t *object_ret, hid_t parent, const char *name, H5I_type_t type,
                               const char *kind) {
    char where[512];
    hid_t object = H5Oopen(parent, name, H5P_DEFAULT);
    bool found = object >= 0;
    if (found && H5Iget_type(object) != type)
        h5_close(&object);
    if (object < 0) {
        H5L_info_t link;
        bool elsewhere =
            !found && H5Lget_info(parent, name, &link, H5P_DEFAULT) >= 0 && link.type == H5L_TYPE_EXTERNAL;
        H5Eclear2(H5E_DEFAULT);
        if (elsewhere)
            return status_set(STATUS_FORMAT,
                              "%s: \"%s\" is a link to another file, which is missing or does not have it",
                              h5_name(parent, where), name);
        return status_set(STATUS_FORMAT, "%s: there is no %s \"%s\"", h5_name(parent, where), kind, name);
    }
    *object_ret = object;
    return STATUS_OK;
}

enum status h5_write_dataset(hid_t parent, const char *name, hid_t stored, hid_t type, int rank,
                             const hsize_t dims[], const void *values) {
    hid_t dataset = H5I_INVALID_HID;
    enum status status = h5_create_dataset(&dataset, parent, name, stored, rank, dims);
    if (status == STATUS_OK)
        status = h5_write_rows(dataset, type, 0, dims[0], values);
    if (status == STATUS_OK) { /* HDF5 writes a small dataset only now; if this fails, never */
        char where[512];
        h5_name(dataset, where);
        if (H5Dclose(dataset) < 0)
            status = h5_fail(STATUS_IO, "%s: cannot write; is the disk full?", where);
        dataset = H5I_INVALID_HID;
    }
    h5_close(&dataset);
    return status;
}

enum status h5_finish(enum status status, hid_t *file, struct output *output) {
    if (status == STATUS_OK)
        status = h5_close_written(file);
    if (status == STATUS_OK)
        return output_commit(output);
    h5_close(file);
    output_abort(output);
    return status;
}

enum status h5_open_group(hid_t *group_ret, hid_t parent, const char *name) {
    return open_object(group_ret, parent, name, H5I_GROUP, "group");
}

enum status h5_open_dataset(hid_t *dataset_ret, hid_t parent, const char *name) {
    return open_object(dataset_ret, parent, name, H5I_DATASET, "dataset");
}

enum status h5_dataset_shape(hid_t dataset, int *rank_ret, hsize_t dims[8]) {
    char where[512];
    hid_t space = H5Dget_space(dataset);
    int rank = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    if (rank < 0 || rank > 8 || H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        rank = -1;
    h5_close(&space);
    if (rank < 0)
        return h5_fail(STATUS_FORMAT, "%s: cannot read its shape", h5_name(dataset, where));
    *rank_ret = rank;
    return STATUS_OK;
}

/* Selects whole rows in `file_space` and makes the memory space that fits them. */
static bool select_rows(hid_t dataset, hsize_t first, hsize_t count, hid_t *file_space, hid_t *memory_space) {
    hsize_t dims[8], start[8] = {first};
    int rank = 0;
    if (h5_dataset_shape(dataset, &rank, dims) != STATUS_OK || rank == 0)
        return false;
    assert(first + count <= dims[0]);
    dims[0] = count;
    *file_space = H5Dget_space(dataset);
    *memory_space = H5Screate_simple(rank, dims, NULL);
    return *file_space >= 0 && *memory_space >= 0 &&
           H5Sselect_hyperslab(*file_space, H5S_SELECT_SET, start, NULL, dims, NULL) >= 0;
}

enum status h5_read_rows(hid_t dataset, hid_t type, hsize_t first, hsize_t count, void *data) {
    char where[512];
    hid_t file_space = H5I_INVALID_HID, memory_space = H5I_INVALID_HID;
    bool done = select_rows(dataset, first, count, &file_space, &memory_space) &&
                H5Dread(dataset, type, memory_space, file_space, H5P_DEFAULT, data) >= 0;
    h5_close(&file_space);
    h5_close(&memory_space);
    return done ? STATUS_OK : h5_fail(STATUS_IO, "%s: cannot read", h5_name(dataset, where));
}

enum status h5_write_rows(hid_t dataset, hid_t type, hsize_t first, hsize_t count, const void *data) {
    char where[512];
    hid_t file_space = H5I_INVALID_HID, memory_space = H5I_INVALID_HID;
    bool done = select_rows(dataset, first, count, &file_space, &memory_space) &&
                H5Dwrite(dataset, type, memory_space, file_space, H5P_DEFAULT, data) >= 0;
    h5_close(&file_space);
    h5_close(&memory_space);
    return done ? STATUS_OK
                : h5_fail(STATUS_IO, "%s: cannot write; is the disk full?", h5_name(dataset, where));
}
