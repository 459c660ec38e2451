/* weights_keras: reads VGG16 from Keras' HDF5 files: lists the layers in either layout, and loads the chosen
 * ones.
 *
 * Legacy (.h5 of all versions): the attribute `layer_names` of the root or of /model_weights, `weight_names`
 * of each layer's group. A model used as a layer lists all its weights in one group, the trainable ones
 * first.
 *
 * Keras 3 and TensorFlow 2.12 on (.weights.h5): a group `vars` with datasets 0, 1, ... per layer, at any
 * depth, named by class (layers/conv2d_3/vars/0, in TensorFlow's versions
 * _layer_checkpoint_dependencies/...) and numbered in the model's order; the layer's own name is the
 * attribute `name` of `vars`, where there is one.
 *
 * Theano convolves where the others correlate, so kernels trained with it are turned by 180 degrees; the
 * shape is the same. Keras' rule (keras@376db3cd:keras/engine/saving.py, _need_convert_kernel, and
 * conv_utils.convert_kernel): turn when the attribute `backend`, of the group that has layer_names, is
 * "theano"; not for tensorflow and cntk, nor for a backend that it does not know, nor without the attribute,
 * which Keras 1 did not write. What came later (jax, torch) correlates. `image_data_format` is no attribute,
 * and does not touch stored kernels. */
#include "common/network/weights_keras.h"
#include "common/base/mem.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS_MAX = 10000, DEPTH_MAX = 16 }; /* no model comes near; bounds the work for a hostile file */

static void layers_free(struct weights_layers *layers) {
    for (size_t i = 0; i < layers->count; i++) {
        free(layers->layers[i].name);
        for (int p = 0; p < WEIGHTS_PARTS; p++)
            free(layers->layers[i].parts[p].path);
    }
    free(layers->layers);
    *layers = (struct weights_layers){0};
}

/* The layer `name` of list `list`, added when it is not there. The next one added may move it. */
static enum status find_layer(struct weights_layers *layers, int list, const char *name,
                              struct weights_layer **layer_ret) {
    for (size_t i = layers->count; i-- > 0 && layers->layers[i].list == list;)
        if (strcmp(layers->layers[i].name, name) == 0) {
            *layer_ret = &layers->layers[i];
            return STATUS_OK;
        }
    if (layers->count == LAYERS_MAX)
        return status_set(STATUS_FORMAT, "%s: more than %d layers, and VGG16 has 13 with weights",
                          layers->path, LAYERS_MAX);
    struct weights_layer *grown = realloc(layers->layers, (layers->count + 1) * sizeof *grown);
    layers->layers = grown != NULL ? grown : layers->layers;
    char *copy = grown != NULL ? strdup(name) : NULL;
    if (copy == NULL)
        return status_set_no_memory(sizeof *grown, "names of weights");
    grown[layers->count] = (struct weights_layer){.name = copy, .list = list, .conv = WEIGHTS_UNNAMED};
    *layer_ret = &grown[layers->count++];
    return STATUS_OK;
}

/* Looks at a dataset: its shape and kind of numbers. One that is not there has rank -1. */
static void describe(hid_t file, struct weights_dataset *dataset) {
    char kind[16] = "";
    hid_t handle = H5I_INVALID_HID;
    dataset->rank = -1;
    if (h5_open_dataset(&handle, file, dataset->path) != STATUS_OK)
        return;
    if (h5_dataset_shape(handle, &dataset->rank, dataset->dims) != STATUS_OK)
        dataset->rank = -1;
    hid_t type = H5Dget_type(handle);
    dataset->real = H5Tget_class(type) == H5T_FLOAT;
    h5_close(&type);
    dataset->bfloat16 = h5_has_attribute(handle, "dtype") &&
                        h5_read_string(handle, "dtype", kind, sizeof kind) == STATUS_OK &&
                        strcmp(kind, "bfloat16") == 0;
    h5_close(&handle);
}

/* Gives a layer its next weight, as `part`, at a path from malloc() (NULL: it could not be made). */
static enum status add_weight(hid_t file, struct weights_layer *layer, int part, char *path) {
    if (path == NULL)
        return status_set_no_memory(1, "names of weights");
    layer->count++;
    if (part >= WEIGHTS_PARTS || layer->parts[part].path != NULL) {
        free(path);
        return STATUS_OK;
    }
    layer->parts[part].path = path;
    describe(file, &layer->parts[part]);
    return STATUS_OK;
}

static char *join(const char *a, const char *b, const char *c) {
    char *path = NULL;
    return asprintf(&path, "%s/%s/%s", strcmp(a, "/") == 0 ? "" : a, b, c) < 0 ? NULL : path;
}

/* ---- The legacy layout ---- */

/* Splits the name of a weight, as `conv/kernel:0` or `conv_W_1:0`: its layer into stem[size], and its part;
 * -1 when its word is neither a kernel's nor a bias'. */
static int split_name(const char *name, char *stem, size_t size) {
    static const char *const words[][4] = {{"kernel", "W", "weights", "weight"},
                                           {"bias", "b", "biases", "bias"}};
    size_t end = strlen(name);
    while (end > 0 && (isdigit((unsigned char)name[end - 1]) || strchr(":_", name[end - 1]) != NULL))
        end--;
    size_t word = end;
    while (word > 0 && isalpha((unsigned char)name[word - 1]))
        word--;
    const char *slash = strrchr(name, '/');
    size_t length = slash != NULL ? (size_t)(slash - name) : word;
    while (length > 0 && name[length - 1] == '_')
        length--;
    snprintf(stem, size, "%.*s", (int)length, name);
    for (int p = 0; p < WEIGHTS_PARTS; p++)
        for (int w = 0; w < 4; w++)
            if (strlen(words[p][w]) == end - word && strncmp(words[p][w], name + word, end - word) == 0)
                return p;
    return -1;
}

/* Adds the weights of the model's layer `group_name`, which may be a model itself. */
static enum status list_group(hid_t file, const char *root, hid_t top, const char *group_name, int list,
                              struct weights_layers *layers) {
    hid_t group = H5I_INVALID_HID;
    char **names = NULL;
    size_t count = 0, before = layers->count;
    enum status status = h5_open_group(&group, top, group_name);
    if (status == STATUS_OK)
        status = h5_read_strings(group, "weight_names", &names, &count);
    for (size_t w = 0; w < count && status == STATUS_OK; w++) {
        char stem[512];
        int part = split_name(names[w], stem, sizeof stem);
        struct weights_layer *layer = NULL;
        status = find_layer(layers, list, stem, &layer);
        if (status != STATUS_OK)
            break;
        if (layer->conv == WEIGHTS_UNNAMED)
            layer->conv = weights_conv_of(names[w]);
        if (layer->conv == WEIGHTS_UNNAMED)
            layer->conv = weights_conv_of(group_name);
        status =
            add_weight(file, layer, part >= 0 ? part : (int)layer->count, join(root, group_name, names[w]));
    }
    for (size_t i = before; i < layers->count;
         i++) /* a single layer is of the model, several are one of their own */
        layers->layers[i].scope = layers->count - before == 1 ? -1 : list;
    h5_free_strings(names, count);
    h5_close(&group);
    return status;
}

/* Reads the attribute `backend` of the group that has layer_names, or else of the file. */
static enum status read_backend(hid_t file, hid_t top, bool *turned_ret) {
    char backend[64] = "";
    hid_t holder = h5_has_attribute(top, "backend") ? top : file;
    *turned_ret = false;
    if (!h5_has_attribute(holder, "backend"))
        return STATUS_OK;
    enum status status = h5_read_string(holder, "backend", backend, sizeof backend);
    *turned_ret = strcasecmp(backend, "theano") == 0;
    return status;
}

static enum status list_legacy(hid_t file, const char *root, hid_t top, struct weights_layers *layers) {
    char **names = NULL;
    size_t count = 0;
    enum status status = read_backend(file, top, &layers->turned);
    if (status == STATUS_OK)
        status = h5_read_strings(top, "layer_names", &names, &count);
    for (size_t l = 0; l < count && status == STATUS_OK; l++)
        status = list_group(file, root, top, names[l], (int)l, layers);
    h5_free_strings(names, count);
    return status;
}

/* ---- The layout of Keras 3 ---- */

static int compare_names(const void *a, const void *b) {
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a group, in the order of their numbers: conv2d, conv2d_2, conv2d_10. Freed by
 * h5_free_strings(). */
static enum status list_links(hid_t group, char ***names_ret, size_t *count_ret) {
    H5G_info_t info = {0};
    H5Gget_info(group, &info);
    char **names = calloc(info.nlinks + 1, sizeof *names);
    size_t count = 0;
    enum status status = names != NULL ? STATUS_OK : status_set_no_memory(info.nlinks, "names of weights");
    for (hsize_t i = 0; i < info.nlinks && status == STATUS_OK; i++) {
        char name[256] = "";
        if (H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT) < 0)
            break;
        names[count] = strdup(name);
        status = names[count] != NULL ? STATUS_OK : status_set_no_memory(sizeof name, "names of weights");
        count += status == STATUS_OK;
    }
    if (count > 0)
        qsort(names, count, sizeof *names, compare_names);
    *names_ret = names;
    *count_ret = count;
    return status;
}

/* Adds the layer at `path` when it has variables: a group `vars` with a dataset 0. */
static enum status add_variables(hid_t file, hid_t group, const char *path, int scope,
                                 struct weights_layers *layers) {
    char name[256] = "", number[16];
    hid_t vars = H5I_INVALID_HID;
    if (H5Lexists(group, "vars", H5P_DEFAULT) <= 0 || h5_open_group(&vars, group, "vars") != STATUS_OK)
        return STATUS_OK;
    if (h5_has_attribute(vars, "name") && h5_read_string(vars, "name", name, sizeof name) != STATUS_OK)
        name[0] = '\0'; /* the path is there, too */
    enum status status = STATUS_OK;
    struct weights_layer *layer = NULL;
    for (int v = 0; v < 64 && status == STATUS_OK; v++) {
        snprintf(number, sizeof number, "%d", v);
        if (H5Lexists(vars, number, H5P_DEFAULT) <= 0)
            break;
        status = find_layer(layers, -1, path, &layer);
        if (status != STATUS_OK)
            break;
        layer->scope = scope;
        layer->conv = weights_conv_of(name);
        if (layer->conv == WEIGHTS_UNNAMED)
            layer->conv = weights_conv_of(path);
        status = add_weight(file, layer, v, join(path, "vars", number));
    }
    h5_close(&vars);
    return status;
}

/* Adds the layer at `path` and all below it. What an optimizer keeps has the shapes of weights: it is left
 * out. */
static enum status list_keras3(hid_t file, const char *path, int depth, int scope, int *groups,
                               struct weights_layers *layers) {
    hid_t group = H5I_INVALID_HID;
    char **names = NULL;
    size_t count = 0;
    if (*groups >= LAYERS_MAX)
        return status_set(STATUS_FORMAT, "%s: more than %d groups, and no model has so many", layers->path,
                          LAYERS_MAX);
    if (depth > DEPTH_MAX || h5_open_group(&group, file, path) != STATUS_OK)
        return STATUS_OK; /* a dataset, or a link that leads nowhere */
    int inner = ++*groups;
    enum status status = add_variables(file, group, path, scope, layers);
    if (status == STATUS_OK)
        status = list_links(group, &names, &count);
    h5_close(&group);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        if (strcmp(names[i], "vars") == 0 || strcmp(names[i] + (names[i][0] == '_'), "optimizer") == 0)
            continue;
        char *below = NULL;
        if (asprintf(&below, "%s/%s", strcmp(path, "/") == 0 ? "" : path, names[i]) < 0)
            status = status_set_no_memory(strlen(path), "names of weights");
        else
            status = list_keras3(file, below, depth + 1, inner, groups, layers);
        free(below);
    }
    h5_free_strings(names, count);
    return status;
}

/* ---- The choice of the layout ---- */

/* Names a file of HDF5 that has no weights of Keras. */
static enum status refuse_hdf5(hid_t file, const char *path) {
    char format[32] = "";
    const char *what = "an HDF5 file, but";
    if (h5_has_attribute(file, "format") &&
        h5_read_string(file, "format", format, sizeof format) == STATUS_OK && strcmp(format, "vggcache") == 0)
        what = "a feature cache,";
    else if (h5_has_attribute(file, "nb_layers") && H5Lexists(file, "layer_1", H5P_DEFAULT) > 0)
        return status_set(
            STATUS_FORMAT,
            "%s: the layout of before Keras 1 (layer_1/param_0), with Theano's kernels (K, C, 3, 3), which "
            "are not read: take the tf_kernels file of keras.applications",
            path);
    return status_set(
        STATUS_FORMAT,
        "%s: %s without weights as Keras writes them (no layer_names, no vars); --weights takes the VGG16 "
        "file of keras.applications, or random",
        path, what);
}

static enum status list_layers(hid_t file, struct weights_layers *layers) {
    static const char *const roots[] = {"/", "/model_weights"};
    for (size_t i = 0; i < 2; i++) {
        hid_t top = H5I_INVALID_HID;
        if ((i == 1 && H5Lexists(file, roots[i], H5P_DEFAULT) <= 0) ||
            h5_open_group(&top, file, roots[i]) != STATUS_OK)
            continue;
        bool legacy = h5_has_attribute(top, "layer_names") || h5_has_attribute(top, "layer_names0");
        enum status status = legacy ? list_legacy(file, roots[i], top, layers) : STATUS_OK;
        h5_close(&top);
        if (legacy)
            return status;
    }
    int groups = 0;
    enum status status = list_keras3(file, "/", 0, 0, &groups, layers);
    return status == STATUS_OK && layers->count == 0 ? refuse_hdf5(file, layers->path) : status;
}

/* ---- Reading ---- */

/* Turns a kernel[3][3][C][K] by 180 degrees. */
static void turn(float *kernel, size_t l) {
    size_t plane = backbone_layers[l].channels * backbone_layers[l].filters;
    for (size_t tap = 0; tap < 4; tap++)
        for (size_t i = 0; i < plane; i++) {
            float *a = &kernel[tap * plane + i], *b = &kernel[(8 - tap) * plane + i], value = *a;
            *a = *b;
            *b = value;
        }
}

/* Reads one weight, whose shape and type were checked. */
static enum status read_tensor(hid_t file, const char *file_path, const struct weights_dataset *found,
                               size_t l, enum weights_part part, float **tensor_ret) {
    const char *layer = backbone_layers[l].name, *what = weights_part_names[part];
    size_t count = 1;
    for (int i = 0; i < found->rank; i++)
        count *= found->dims[i];
    float *tensor = mem_alloc(count, sizeof *tensor);
    *tensor_ret = tensor;
    if (tensor == NULL)
        return status_set_no_memory(count * sizeof *tensor, file_path);
    hid_t dataset = H5I_INVALID_HID;
    enum status status = h5_open_dataset(&dataset, file, found->path);
    if (status == STATUS_OK)
        status = h5_read_rows(dataset, H5T_NATIVE_FLOAT, 0, found->dims[0], tensor);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (!isfinite(tensor[i]))
            status =
                status_set(STATUS_FORMAT, "%s: the %s of %s holds %s (value %zu of %s); the file is damaged",
                           file_path, what, layer, isnan(tensor[i]) ? "NaN" : "an infinity", i, found->path);
    h5_close(&dataset);
    return status;
}

static enum status read_tensors(hid_t file, const struct weights_layers *layers, const size_t chosen[],
                                struct backbone_tensors *tensors) {
    enum status status = STATUS_OK;
    for (size_t l = 0; l < BACKBONE_CONVS && status == STATUS_OK; l++) {
        const struct weights_dataset *parts = layers->layers[chosen[l]].parts;
        status =
            read_tensor(file, layers->path, &parts[WEIGHTS_KERNEL], l, WEIGHTS_KERNEL, &tensors->kernel[l]);
        if (status == STATUS_OK && layers->turned)
            turn(tensors->kernel[l], l);
        if (status == STATUS_OK)
            status =
                read_tensor(file, layers->path, &parts[WEIGHTS_BIAS], l, WEIGHTS_BIAS, &tensors->bias[l]);
    }
    return status;
}

/* Opens the file, or says what it is instead. */
static enum status open_file(hid_t *file_ret, const char *path) {
    char foreign[WEIGHTS_FOREIGN];
    enum status status = h5_open(file_ret, path, false);
    if ((status == STATUS_IO || status == STATUS_FORMAT) && weights_foreign(path, foreign))
        return status_set(status, "%s: %s", path, foreign);
    if (status == STATUS_IO)
        return status_set(STATUS_IO, "%s; data/get.sh fetches the weights, and --weights=random does without",
                          status_message());
    if (status == STATUS_FORMAT && strstr(status_message(), "not an HDF5 file") != NULL)
        return status_set(STATUS_FORMAT, "%s; --weights takes Keras' .h5", status_message());
    return status;
}

enum status weights_load_keras(struct backbone_tensors *tensors, const char *path) {
    hid_t file = H5I_INVALID_HID;
    struct weights_layers layers = {.path = path};
    size_t chosen[BACKBONE_CONVS] = {0};
    enum status status = open_file(&file, path);
    if (status == STATUS_OK)
        status = list_layers(file, &layers);
    if (status == STATUS_OK)
        status = weights_match(&layers, chosen);
    if (status == STATUS_OK) {
        h5_trust(); /* what is left is numbers, which may come slowly */
        status = read_tensors(file, &layers, chosen, tensors);
    }
    layers_free(&layers);
    h5_close(&file);
    return status;
}
