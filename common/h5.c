/* h5: the HDF5 calls that every file of ours needs, with statuses and messages. It knows no schema. */
#include "common/h5.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void h5_init(void) {
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* The walk goes from the innermost error outwards; its description is the reason to show. */
static herr_t first_reason(unsigned depth, const H5E_error2_t *error, void *data) {
    if (depth == 0 && error->desc != NULL)
        snprintf(data, 256, "%s", error->desc);
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
    H5Fget_name(object, file, sizeof file);
    H5Iget_name(object, place, sizeof place);
    if (strcmp(place, "/") == 0)
        snprintf(text, 512, "%s", file);
    else
        snprintf(text, 512, "%s: %s", file, place);
    return text;
}

static hid_t access_list(void) {
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    if (list >= 0 && (H5Pset_fclose_degree(list, H5F_CLOSE_SEMI) < 0 ||
                      H5Pset_libver_bounds(list, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18) < 0 ||
                      H5Pset_file_locking(list, false, true) < 0))
        h5_close(&list);
    return list;
}

enum status h5_open(hid_t *file_ret, const char *path, bool writable) {
    /* The system's own word on a file that cannot be opened is better than HDF5's. */
    int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0)
        return status_set_errno("%s: cannot open the file", path);
    close(fd);
    hid_t list = access_list();
    hid_t file = H5Fopen(path, writable ? H5F_ACC_RDWR : H5F_ACC_RDONLY, list);
    h5_close(&list);
    if (file < 0)
        return h5_fail(STATUS_FORMAT, "%s: not a readable HDF5 file", path);
    *file_ret = file;
    return STATUS_OK;
}

enum status h5_create(hid_t *file_ret, const char *path) {
    hid_t list = access_list(), creation = H5Pcreate(H5P_FILE_CREATE);
    hid_t file = H5I_INVALID_HID;
    if (creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0)
        file = H5Fcreate(path, H5F_ACC_TRUNC, creation, list);
    h5_close(&list);
    h5_close(&creation);
    if (file < 0)
        return h5_fail(STATUS_IO, "%s: cannot create the file", path);
    *file_ret = file;
    return STATUS_OK;
}

void h5_close(hid_t *handle) {
    hid_t id = *handle;
    *handle = H5I_INVALID_HID;
    switch (id < 0 ? H5I_BADID : H5Iget_type(id)) {
    case H5I_FILE:
        H5Fclose(id);
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
}

enum status h5_close_written(hid_t *file) {
    char path[512];
    h5_name(*file, path);
    herr_t flushed = H5Fflush(*file, H5F_SCOPE_GLOBAL);
    herr_t closed = H5Fclose(*file);
    *file = H5I_INVALID_HID;
    if (flushed < 0 || closed < 0)
        return h5_fail(STATUS_IO, "%s: cannot write; is the disk full?", path);
    return STATUS_OK;
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
    if (object >= 0 && H5Iget_type(object) != type)
        h5_close(&object);
    if (object < 0) {
        H5Eclear2(H5E_DEFAULT);
        return status_set(STATUS_FORMAT, "%s: there is no %s \"%s\"", h5_name(parent, where), kind, name);
    }
    *object_ret = object;
    return STATUS_OK;
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
