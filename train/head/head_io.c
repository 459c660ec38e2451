/* head_io: trained heads in HDF5 files, in the layout that Keras reads. */
#include "train/head/head_io.h"
#include "common/base/h5.h"
#include "common/base/mem.h"
#include "common/base/output.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format_name[] = "vggcache-head", layer_name[] = "dense";
static const char weights_source[] = "weights_source"; /* after the provenance, which it is no part of */
static const char *const weight_names[2] = {"dense/kernel:0", "dense/bias:0"};

static char *provenance_attribute(const char *name, char text[CACHE_TEXT]) {
    snprintf(text, CACHE_TEXT, "cache_%s", name);
    return text;
}

static enum status write_class_names(hid_t file, size_t classes) {
    char(*texts)[8] = calloc(classes, sizeof *texts);
    const char **list = calloc(classes, sizeof *list);
    enum status status;
    if (texts == NULL || list == NULL) {
        status = status_set_no_memory(classes * sizeof *texts, "class names");
    } else {
        for (size_t c = 0; c < classes; c++) {
            snprintf(texts[c], sizeof texts[c], "%zu", c);
            list[c] = texts[c];
        }
        status = h5_write_strings(file, "class_names", list, classes);
    }
    free(list);
    free(texts);
    return status;
}

static enum status write_setting(hid_t file, const struct settings *settings, const struct option_row *row) {
    const char *field = (const char *)settings + row->offset;
    char text[32];
    if (settings_left_out(settings, row))
        return STATUS_OK;
    switch (row->type) {
    case OPTION_FLAG:
        return h5_write_whole(file, row->attribute, *(const bool *)field);
    case OPTION_WHOLE:
        return h5_write_whole(file, row->attribute, *(const uint64_t *)(const void *)field);
    case OPTION_REAL:
        return h5_write_real(file, row->attribute, *(const double *)(const void *)field);
    default:
        return h5_write_string(file, row->attribute, settings_text(settings, row, text));
    }
}

static enum status write_training(hid_t file, const struct head_io_training *training) {
    enum status status = STATUS_OK;
    for (int i = 0; settings_rows[i].name != NULL && status == STATUS_OK; i++) {
        status = write_setting(file, &training->settings, &settings_rows[i]);
        if (status == STATUS_OK && i == SETTINGS_ALWAYS - 1) /* its place since the first heads */
            status = h5_write_string(file, "isa", training->isa);
    }
    if (status == STATUS_OK && training->settings.standardize)
        status = h5_write_real(file, "penalty", training->penalty);
    return status;
}

static enum status write_attributes(hid_t file, const struct head *head,
                                    const struct head_io_training *training, const struct cache_info *info) {
    char value[CACHE_SOURCE], attribute[CACHE_TEXT];
    const char *const layers[1] = {layer_name};
    enum status status = h5_write_strings(file, "layer_names", layers, 1);
    if (status == STATUS_OK)
        status = h5_write_string(file, "format", format_name);
    if (status == STATUS_OK)
        status = h5_write_whole(file, "format_version", 1);
    if (status == STATUS_OK)
        status = h5_write_string(file, "created_by", "vggcache train");
    if (status == STATUS_OK)
        status = write_class_names(file, head->classes);
    if (status == STATUS_OK)
        status = write_training(file, training);
    for (size_t i = 0; i < cache_provenance_count() && status == STATUS_OK; i++) {
        const char *name = cache_provenance(info, i, value);
        status = h5_write_string(file, provenance_attribute(name, attribute), value);
    }
    if (status == STATUS_OK)
        status = h5_write_string(file, provenance_attribute(weights_source, attribute), info->weights_source);
    return status;
}

static enum status write_weights(hid_t file, size_t dim, size_t classes, const float *kernel,
                                 const float *bias) {
    hid_t layer = H5I_INVALID_HID, inner = H5I_INVALID_HID;
    const hsize_t dims[2] = {dim, classes};
    enum status status = h5_create_group(&layer, file, layer_name);
    if (status == STATUS_OK)
        status = h5_write_strings(layer, "weight_names", weight_names, 2);
    if (status == STATUS_OK)
        status = h5_create_group(&inner, layer, "dense");
    if (status == STATUS_OK)
        status = h5_write_dataset(inner, "kernel:0", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 2, dims, kernel);
    if (status == STATUS_OK)
        status = h5_write_dataset(inner, "bias:0", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 1, dims + 1, bias);
    h5_close(&inner);
    h5_close(&layer);
    return status;
}

enum status head_io_write(const char *path, const struct head *head, const struct head_io_training *training,
                          const struct cache_info *info) {
    hid_t file = H5I_INVALID_HID;
    float *kernel = mem_alloc(head->dim * head->classes, sizeof *kernel);
    float *bias = mem_alloc(head->classes, sizeof *bias);
    struct output output = {0};
    enum status status;
    if (kernel == NULL || bias == NULL) {
        status = status_set_no_memory(head->dim * head->classes * sizeof *kernel, path);
        goto out;
    }
    head_get(head, kernel, bias);
    status = output_reserve(&output, path);
    if (status == STATUS_OK)
        status = h5_create(&file, output.partial);
    if (status == STATUS_OK)
        status = write_attributes(file, head, training, info);
    if (status == STATUS_OK)
        status = write_weights(file, head->dim, head->classes, kernel, bias);
    status = h5_finish(status, &file, &output);
out:
    mem_free(bias);
    mem_free(kernel);
    return status;
}

/* The index of a name in a list that ends with NULL, or -1. */
static int find_choice(const char *const choices[], const char *name) {
    for (int i = 0; choices[i] != NULL; i++)
        if (strcmp(choices[i], name) == 0)
            return i;
    return -1;
}

static enum status read_setting(hid_t file, const char *path, struct settings *settings,
                                const struct option_row *row) {
    char *field = (char *)settings + row->offset, name[16] = "";
    uint64_t flag = 0;
    enum status status;
    switch (row->type) {
    case OPTION_FLAG:
        status = h5_read_whole(file, row->attribute, &flag);
        *(bool *)field = flag != 0;
        return status;
    case OPTION_WHOLE:
        return h5_read_whole(file, row->attribute, (uint64_t *)(void *)field);
    case OPTION_REAL:
        return h5_read_real(file, row->attribute, (double *)(void *)field);
    default:
        status = h5_read_string(file, row->attribute, name, sizeof name);
        *(int *)(void *)field = status == STATUS_OK ? find_choice(row->choices, name) : 0;
        if (status == STATUS_OK && find_choice(row->choices, name) < 0)
            status = status_set(STATUS_FORMAT, "%s: its attribute %s is %s, which this program does not know",
                                path, row->attribute, name);
        return status;
    }
}

static enum status read_training(hid_t file, const char *path, struct head_io_training *training) {
    enum status status = STATUS_OK;
    for (int i = 0; settings_rows[i].name != NULL && status == STATUS_OK; i++)
        if (i < SETTINGS_ALWAYS || h5_has_attribute(file, settings_rows[i].attribute))
            status = read_setting(file, path, &training->settings, &settings_rows[i]);
    if (status == STATUS_OK)
        status = h5_read_string(file, "isa", training->isa, sizeof training->isa);
    if (status == STATUS_OK && training->settings.standardize)
        status = h5_read_real(file, "penalty", &training->penalty);
    if (status == STATUS_OK && !(training->settings.l2 >= 0 && isfinite(training->settings.l2)))
        status = status_set(STATUS_FORMAT, "%s: its attribute l2 is no possible penalty", path);
    if (status == STATUS_OK && !(training->penalty >= 0 && isfinite(training->penalty)))
        status = status_set(STATUS_FORMAT, "%s: its attribute penalty is no possible penalty", path);
    return status;
}

static enum status read_attributes(hid_t file, const char *path, struct head_io_training *training) {
    char format[CACHE_TEXT] = "";
    uint64_t version = 0;
    if (!h5_has_attribute(file, "format") ||
        h5_read_string(file, "format", format, sizeof format) != STATUS_OK ||
        strcmp(format, format_name) != 0)
        return status_set(STATUS_FORMAT, "%s: an HDF5 file, but not a head that train saved%s", path,
                          strcmp(format, "vggcache") == 0 ? "; it is a feature cache" : "");
    enum status status = h5_read_whole(file, "format_version", &version);
    if (status == STATUS_OK && version != 1)
        status =
            status_set(STATUS_FORMAT, "%s: head format %" PRIu64 ", and this program knows format 1 only",
                       path, version);
    return status == STATUS_OK ? read_training(file, path, training) : status;
}

/* Compares what features the head is for with the cache; all that differs goes into one message. */
static enum status check_provenance(hid_t file, const char *path, const struct cache_info *info,
                                    const char *cache_path) {
    char wanted[CACHE_SOURCE], found[CACHE_SOURCE], attribute[CACHE_TEXT], list[800] = "";
    for (size_t i = 0; i < cache_provenance_count(); i++) {
        const char *name = cache_provenance(info, i, wanted);
        enum status status = h5_read_string(file, provenance_attribute(name, attribute), found, sizeof found);
        if (status != STATUS_OK)
            return status;
        size_t used = strlen(list);
        if (strcmp(wanted, found) != 0)
            snprintf(list + used, sizeof list - used, "%s %s is %.80s in the head and %.80s in the cache",
                     used > 0 ? ";" : "", name, found, wanted);
    }
    if (list[0] != '\0')
        return status_set(STATUS_MISMATCH, "%s: trained on features made another way than those of %s:%s",
                          path, cache_path, list);
    return STATUS_OK;
}

/* Reads the dataset that weight_names[i] names, which must be float [rows] or [rows][columns] of finite
 * numbers. */
static enum status read_weight(hid_t layer, const char *path, const char *name, int rank, hsize_t rows,
                               hsize_t columns, float *values) {
    hid_t dataset = H5I_INVALID_HID, type = H5I_INVALID_HID;
    hsize_t dims[8] = {0};
    int found = 0;
    enum status status = h5_open_dataset(&dataset, layer, name);
    if (status == STATUS_OK)
        status = h5_dataset_shape(dataset, &found, dims);
    if (status != STATUS_OK)
        goto out;
    type = H5Dget_type(dataset);
    if (found != rank || dims[0] != rows || (rank == 2 && dims[1] != columns) ||
        H5Tget_class(type) != H5T_FLOAT) {
        status = status_set(STATUS_FORMAT,
                            rank == 2 ? "%s: %s is not float [%" PRIu64 "][%" PRIu64 "], features by classes "
                                        "of the cache"
                                      : "%s: %s is not float [%" PRIu64 "], the classes of the cache",
                            path, name, (uint64_t)rows, (uint64_t)columns);
        goto out;
    }
    status = h5_read_rows(dataset, H5T_NATIVE_FLOAT, 0, rows, values);
    for (hsize_t i = 0; status == STATUS_OK && i < rows * columns; i++)
        if (!isfinite(values[i]))
            status = status_set(STATUS_FORMAT, "%s: a weight of %s is not a finite number", path, name);
out:
    h5_close(&type);
    h5_close(&dataset);
    return status;
}

/* Finds the weights as Keras does: by the names in the attributes. */
static enum status read_weights(hid_t file, const char *path, size_t dim, size_t classes, float *kernel,
                                float *bias) {
    char **layers = NULL, **names = NULL;
    size_t layer_count = 0, name_count = 0;
    hid_t layer = H5I_INVALID_HID;
    enum status status = h5_read_strings(file, "layer_names", &layers, &layer_count);
    if (status == STATUS_OK && layer_count != 1)
        status = status_set(STATUS_FORMAT, "%s: %zu layers; a head has one", path, layer_count);
    if (status == STATUS_OK)
        status = h5_open_group(&layer, file, layers[0]);
    if (status == STATUS_OK)
        status = h5_read_strings(layer, "weight_names", &names, &name_count);
    if (status == STATUS_OK && name_count != 2)
        status =
            status_set(STATUS_FORMAT, "%s: %zu weights; a head has a kernel and a bias", path, name_count);
    if (status == STATUS_OK)
        status = read_weight(layer, path, names[0], 2, dim, classes, kernel);
    if (status == STATUS_OK)
        status = read_weight(layer, path, names[1], 1, classes, 1, bias);
    h5_close(&layer);
    h5_free_strings(names, name_count);
    h5_free_strings(layers, layer_count);
    return status;
}

/* Makes the head from a file whose attributes are read. */
static enum status read_head(hid_t file, const char *path, const struct head_kernels *kernels, size_t dim,
                             size_t classes, struct head *head_ret) {
    struct head head = {0};
    enum status status = head_create(&head, kernels, dim, classes);
    if (status != STATUS_OK)
        return status;
    float *kernel = mem_alloc(dim * classes, sizeof *kernel), *bias = mem_alloc(classes, sizeof *bias);
    if (kernel == NULL || bias == NULL)
        status = status_set_no_memory(dim * classes * sizeof *kernel, path);
    else
        status = read_weights(file, path, dim, classes, kernel, bias);
    if (status == STATUS_OK) {
        head_set(&head, kernel, bias);
        *head_ret = head;
    } else {
        head_free(&head);
    }
    mem_free(bias);
    mem_free(kernel);
    return status;
}

enum status head_io_read(const char *path, const struct head_kernels *kernels, const struct cache_info *info,
                         const char *cache_path, struct head *head_ret,
                         struct head_io_training *training_ret) {
    hid_t file = H5I_INVALID_HID;
    *training_ret = (struct head_io_training){0};
    enum status status = h5_open(&file, path, false);
    if (status == STATUS_OK)
        status = read_attributes(file, path, training_ret);
    if (status == STATUS_OK)
        status = check_provenance(file, path, info, cache_path);
    if (status == STATUS_OK)
        status = read_head(file, path, kernels, info->dim, info->classes, head_ret);
    h5_close(&file);
    return status;
}

/* The shape of the kernel, found as Keras finds it. */
static enum status read_shape(hid_t file, const char *path, size_t *dim_ret, size_t *classes_ret) {
    char **names = NULL;
    size_t count = 0;
    hid_t layer = H5I_INVALID_HID, dataset = H5I_INVALID_HID;
    hsize_t dims[8] = {0};
    int rank = 0;
    enum status status = h5_open_group(&layer, file, layer_name);
    if (status == STATUS_OK)
        status = h5_read_strings(layer, "weight_names", &names, &count);
    if (status == STATUS_OK && count != 2)
        status = status_set(STATUS_FORMAT, "%s: %zu weights; a head has a kernel and a bias", path, count);
    if (status == STATUS_OK)
        status = h5_open_dataset(&dataset, layer, names[0]);
    if (status == STATUS_OK)
        status = h5_dataset_shape(dataset, &rank, dims);
    if (status == STATUS_OK && rank != 2)
        status = status_set(STATUS_FORMAT, "%s: its kernel is no matrix", path);
    if (status == STATUS_OK &&
        (dims[0] < 1 || dims[0] > HEAD_DIM_MAX || dims[1] < 1 || dims[1] > HEAD_CLASSES_MAX))
        status = status_set(STATUS_FORMAT,
                            "%s: its kernel is %" PRIu64 " features by %" PRIu64 " classes; at most %d and "
                            "%d are possible",
                            path, (uint64_t)dims[0], (uint64_t)dims[1], HEAD_DIM_MAX, HEAD_CLASSES_MAX);
    *dim_ret = dims[0];
    *classes_ret = dims[1];
    h5_close(&dataset);
    h5_close(&layer);
    h5_free_strings(names, count);
    return status;
}

/* Appends attribute cache_NAME to the source; *value_ret points to its value. */
static enum status read_source_value(hid_t file, struct head_io_source *source, const char *name,
                                     const char **value_ret) {
    char attribute[CACHE_TEXT];
    char *value = source->values[source->count];
    enum status status = h5_read_string(file, provenance_attribute(name, attribute), value, CACHE_SOURCE);
    if (status != STATUS_OK)
        return status;
    snprintf(source->names[source->count++], CACHE_TEXT, "%s", name);
    *value_ret = value;
    return STATUS_OK;
}

static enum status read_source(hid_t file, const char *path, size_t classes, struct head_io_source *source) {
    static const struct cache_info none;
    char ignored[CACHE_SOURCE], attribute[CACHE_TEXT];
    enum status status = STATUS_OK;
    for (size_t i = 0; i < cache_provenance_count() && status == STATUS_OK; i++) {
        const char *name = cache_provenance(&none, i, ignored), *value = "";
        assert(source->count + 1 < HEAD_IO_SOURCES);
        status = read_source_value(file, source, name, &value);
        if (strcmp(name, "input_size") == 0)
            source->input_size = strtoull(value, NULL, 10);
        else if (strcmp(name, "preprocess") == 0)
            source->preprocess = value;
        else if (strcmp(name, "weights_sha256") == 0)
            source->weights_sha256 = value;
    }
    if (status == STATUS_OK && h5_has_attribute(file, provenance_attribute(weights_source, attribute)))
        status = read_source_value(file, source, weights_source, &source->weights_source);
    if (status == STATUS_OK)
        status = h5_read_strings(file, "class_names", &source->class_names, &source->class_count);
    if (status == STATUS_OK && source->class_count != classes)
        status = status_set(STATUS_FORMAT, "%s: %zu class_names for %zu classes", path, source->class_count,
                            classes);
    return status;
}

enum status head_io_load(const char *path, const struct head_kernels *kernels, struct head *head_ret,
                         struct head_io_source *source_ret) {
    struct head_io_training training = {0};
    hid_t file = H5I_INVALID_HID;
    size_t dim = 0, classes = 0;
    *source_ret = (struct head_io_source){.preprocess = "", .weights_sha256 = "", .weights_source = ""};
    enum status status = h5_open(&file, path, false);
    if (status == STATUS_OK)
        status = read_attributes(file, path, &training);
    if (status == STATUS_OK)
        status = read_shape(file, path, &dim, &classes);
    if (status == STATUS_OK)
        status = read_source(file, path, classes, source_ret);
    if (status == STATUS_OK)
        status = read_head(file, path, kernels, dim, classes, head_ret);
    if (status != STATUS_OK)
        head_io_source_free(source_ret);
    h5_close(&file);
    return status;
}

void head_io_source_free(struct head_io_source *source) {
    h5_free_strings(source->class_names, source->class_count);
    source->class_names = NULL;
    source->class_count = 0;
}
