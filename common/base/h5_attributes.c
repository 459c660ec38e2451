/* h5_attributes: strings, numbers and lists of strings in HDF5 attributes (declared in h5.h). */
#include "common/base/h5.h"
#include "common/base/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool h5_has_attribute(hid_t object, const char *name) {
    return H5Aexists(object, name) > 0;
}

/* Writes *count elements (NULL: a scalar), over an attribute of the same name and kind that may be there. */
static enum status write_attribute(hid_t object, const char *name, hid_t type, const hsize_t *count,
                                   const void *value) {
    char where[512];
    hid_t space = H5I_INVALID_HID, attribute = H5I_INVALID_HID;
    if (h5_has_attribute(object, name)) {
        attribute = H5Aopen(object, name, H5P_DEFAULT);
    } else {
        space = count != NULL ? H5Screate_simple(1, count, NULL) : H5Screate(H5S_SCALAR);
        attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    }
    bool done = attribute >= 0 && H5Awrite(attribute, type, value) >= 0;
    h5_close(&attribute);
    h5_close(&space);
    return done ? STATUS_OK
                : h5_fail(STATUS_IO, "%s: cannot write the attribute %s", h5_name(object, where), name);
}

/* A C string type of `size` bytes, or of variable length. */
static hid_t string_type(size_t size, H5T_cset_t charset) {
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, size) < 0 || H5Tset_cset(type, charset) < 0))
        h5_close(&type);
    return type;
}

static enum status write_text(hid_t object, const char *name, const char *text, H5T_cset_t charset) {
    hid_t type = string_type(H5T_VARIABLE, charset);
    enum status status = write_attribute(object, name, type, NULL, &text);
    h5_close(&type);
    return status;
}

enum status h5_write_string(hid_t object, const char *name, const char *text) {
    return write_text(object, name, text, H5T_CSET_UTF8);
}

enum status h5_write_ascii(hid_t object, const char *name, const char *text) {
    return write_text(object, name, text, H5T_CSET_ASCII);
}

enum status h5_write_whole(hid_t object, const char *name, uint64_t value) {
    int64_t number = (int64_t)value;
    return write_attribute(object, name, H5T_NATIVE_INT64, NULL, &number);
}

enum status h5_write_real(hid_t object, const char *name, double value) {
    return write_attribute(object, name, H5T_NATIVE_DOUBLE, NULL, &value);
}

/* A numeric scalar attribute, converted to `type`. */
static enum status read_number(hid_t object, const char *name, hid_t type, void *value_ret) {
    char where[512];
    hid_t attribute = h5_has_attribute(object, name) ? H5Aopen(object, name, H5P_DEFAULT) : H5I_INVALID_HID;
    hid_t stored = attribute >= 0 ? H5Aget_type(attribute) : H5I_INVALID_HID;
    hid_t space = attribute >= 0 ? H5Aget_space(attribute) : H5I_INVALID_HID;
    bool done = stored >= 0 && space >= 0 && H5Tget_class(stored) == H5Tget_class(type) &&
                H5Sget_simple_extent_npoints(space) == 1 && H5Aread(attribute, type, value_ret) >= 0;
    h5_close(&space);
    h5_close(&stored);
    h5_close(&attribute);
    return done ? STATUS_OK
                : h5_fail(STATUS_FORMAT, "%s: its attribute %s is missing or no number",
                          h5_name(object, where), name);
}

enum status h5_read_whole(hid_t object, const char *name, uint64_t *value_ret) {
    char where[512];
    int64_t number = 0;
    enum status status = read_number(object, name, H5T_NATIVE_INT64, &number);
    if (status == STATUS_OK && number < 0)
        status = status_set(STATUS_FORMAT, "%s: its attribute %s is negative", h5_name(object, where), name);
    *value_ret = (uint64_t)number;
    return status;
}

enum status h5_read_real(hid_t object, const char *name, double *value_ret) {
    return read_number(object, name, H5T_NATIVE_DOUBLE, value_ret);
}

/* Appends the strings of one attribute to list[count]. On failure what was appended stays counted. */
static enum status append_strings(hid_t object, const char *name, char ***list, size_t *count) {
    char where[512];
    enum status status = STATUS_OK;
    hid_t attribute = H5I_INVALID_HID, stored = H5I_INVALID_HID, space = H5I_INVALID_HID,
          memory = H5I_INVALID_HID;
    char **texts = NULL, *bytes = NULL;
    hssize_t points = -1;
    attribute = H5Aopen(object, name, H5P_DEFAULT);
    stored = attribute >= 0 ? H5Aget_type(attribute) : H5I_INVALID_HID;
    space = attribute >= 0 ? H5Aget_space(attribute) : H5I_INVALID_HID;
    if (stored < 0 || space < 0 || (points = H5Sget_simple_extent_npoints(space)) < 0 || points > 1 << 20)
        goto bad;
    if (points == 0)
        goto out;
    if (H5Tget_class(stored) != H5T_STRING)
        goto bad;
    bool variable = H5Tis_variable_str(stored) > 0;
    size_t size = variable ? 0 : H5Tget_size(stored);
    if (size > 1 << 16)
        goto bad;
    memory = string_type(variable ? H5T_VARIABLE : size + 1, H5Tget_cset(stored));
    texts = calloc((size_t)points, sizeof *texts);
    char **grown = realloc(*list, (*count + (size_t)points) * sizeof **list);
    if (grown != NULL)
        *list = grown;
    if (!variable)
        bytes = calloc((size_t)points, size + 1);
    if (texts == NULL || grown == NULL || (!variable && bytes == NULL)) {
        status = status_set_no_memory((size_t)points * (size + 1), h5_name(object, where));
        goto out;
    }
    if (memory < 0 || H5Aread(attribute, memory, variable ? (void *)texts : bytes) < 0)
        goto bad;
    for (hssize_t i = 0; i < points; i++) {
        const char *text = variable ? texts[i] : bytes + (size_t)i * (size + 1);
        char *copy = strdup(text != NULL ? text : "");
        if (copy == NULL) {
            status = status_set_no_memory(size, h5_name(object, where));
            break;
        }
        (*list)[(*count)++] = copy;
    }
    if (variable)
        H5Dvlen_reclaim(memory, space, H5P_DEFAULT, texts);
    goto out;
bad:
    status =
        h5_fail(STATUS_FORMAT, "%s: its attribute %s is not a list of strings", h5_name(object, where), name);
out:
    free(bytes);
    free(texts);
    h5_close(&memory);
    h5_close(&space);
    h5_close(&stored);
    h5_close(&attribute);
    return status;
}

enum status h5_read_strings(hid_t object, const char *name, char ***list_ret, size_t *count_ret) {
    char where[512], part[128];
    char **list = NULL;
    size_t count = 0;
    enum status status = STATUS_OK;
    if (h5_has_attribute(object, name)) {
        status = append_strings(object, name, &list, &count);
    } else {
        size_t i = 0;
        for (; status == STATUS_OK; i++) {
            snprintf(part, sizeof part, "%s%zu", name, i);
            if (!h5_has_attribute(object, part))
                break;
            status = append_strings(object, part, &list, &count);
        }
        if (i == 0)
            status =
                status_set(STATUS_FORMAT, "%s: there is no attribute \"%s\"", h5_name(object, where), name);
    }
    if (status != STATUS_OK) {
        h5_free_strings(list, count);
        return status;
    }
    *list_ret = list;
    *count_ret = count;
    return STATUS_OK;
}

void h5_free_strings(char **list, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

enum status h5_read_string(hid_t object, const char *name, char *text, size_t size) {
    char where[512];
    char **list;
    size_t count;
    enum status status = h5_read_strings(object, name, &list, &count);
    if (status != STATUS_OK)
        return status;
    if (count != 1 || strlen(list[0]) >= size)
        status = status_set(STATUS_FORMAT, "%s: its attribute %s is not one string of under %zu bytes",
                            h5_name(object, where), name, size);
    else
        memcpy(text, list[0], strlen(list[0]) + 1);
    h5_free_strings(list, count);
    return status;
}

enum status h5_write_strings(hid_t object, const char *name, const char *const list[], size_t count) {
    char where[512];
    const hsize_t dims = count;
    size_t size = 1;
    for (size_t i = 0; i < count; i++)
        size = size_max(size, strlen(list[i]));
    char *bytes = calloc(count > 0 ? count : 1, size);
    if (bytes == NULL)
        return status_set_no_memory(count * size, h5_name(object, where));
    for (size_t i = 0; i < count; i++)
        memcpy(bytes + i * size, list[i], strlen(list[i])); /* no terminator: padded with NUL, as h5py does */
    hid_t type = string_type(size, H5T_CSET_ASCII);
    enum status status = STATUS_IO;
    if (type >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0)
        status = write_attribute(object, name, type, &dims, bytes);
    h5_close(&type);
    free(bytes);
    return status;
}
