/* weights: the 26 tensors of the backbone.
 *
 * A file is read in two steps. First the names of all its weights are listed in the model's order, as Keras
 * lists them; only this step knows the layouts. Then the first 26 are opened, checked against the shapes of
 * the network, and read. */
#include "common/network/weights.h"
#include "common/base/h5.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The paths of a model's weights, in order. */
struct path_list {
    char **paths;
    size_t count;
};

static void path_list_free(struct path_list *list) {
    h5_free_strings(list->paths, list->count);
    *list = (struct path_list){0};
}

/* Appends a path, which must come from malloc() (NULL: it could not be made). */
static enum status path_list_add(struct path_list *list, char *path) {
    char **grown = path ? realloc(list->paths, (list->count + 1) * sizeof *grown) : NULL;
    if (grown == NULL) {
        free(path);
        return status_set_no_memory(sizeof *grown, "names of weights");
    }
    list->paths = grown;
    list->paths[list->count++] = path;
    return STATUS_OK;
}

static char *join(const char *a, const char *b, const char *c) {
    char *path = NULL;
    return asprintf(&path, "%s/%s/%s", a, b, c) < 0 ? NULL : path;
}

/* Whether a path exists, link by link (H5Lexists() fails on a missing middle). */
static bool exists(hid_t file, const char *path) {
    char part[512];
    size_t length = strlen(path);
    if (length >= sizeof part)
        return false;
    for (size_t i = 1; i <= length; i++)
        if (path[i] == '/' || path[i] == '\0') {
            memcpy(part, path, i);
            part[i] = '\0';
            if (H5Lexists(file, part, H5P_DEFAULT) <= 0)
                return false;
        }
    return true;
}

/* Keras' legacy layout: `layer_names` of the root, `weight_names` of each layer's group. */
static enum status list_legacy(hid_t file, const char *root, struct path_list *list) {
    hid_t top = H5I_INVALID_HID, group = H5I_INVALID_HID;
    char **layers = NULL, **names = NULL;
    size_t layer_count = 0, name_count = 0;
    enum status status = h5_open_group(&top, file, root);
    if (status == STATUS_OK)
        status = h5_read_strings(top, "layer_names", &layers, &layer_count);
    for (size_t l = 0; l < layer_count && status == STATUS_OK; l++) {
        status = h5_open_group(&group, top, layers[l]);
        if (status == STATUS_OK)
            status = h5_read_strings(group, "weight_names", &names, &name_count);
        for (size_t w = 0; w < name_count && status == STATUS_OK; w++)
            status = path_list_add(list, join(strcmp(root, "/") == 0 ? "" : root, layers[l], names[w]));
        h5_free_strings(names, name_count);
        names = NULL;
        name_count = 0;
        h5_close(&group);
    }
    h5_free_strings(layers, layer_count);
    h5_close(&top);
    return status;
}

/* Keras 3's layout: the k-th layer of a class stands in layers/CLASS_k, its weights in vars/0, vars/1. */
static enum status list_keras3(hid_t file, const char *layers, struct path_list *list) {
    enum status status = STATUS_OK;
    for (size_t l = 0; l < BACKBONE_CONVS && status == STATUS_OK; l++) {
        char layer[64];
        snprintf(layer, sizeof layer, l == 0 ? "conv2d" : "conv2d_%zu", l);
        for (int v = 0; v < 2 && status == STATUS_OK; v++) {
            char *path = join(layers, layer, v == 0 ? "vars/0" : "vars/1");
            if (path != NULL && !exists(file, path)) {
                free(path);
                return STATUS_OK; /* the caller finds out which weight is missing */
            }
            status = path_list_add(list, path);
        }
    }
    return status;
}

/* Finds /layers, or the one /layers/MODEL/layers inside (a backbone used as a layer), that holds
 * convolutions. */
static bool find_keras3(hid_t file, char layers[256]) {
    snprintf(layers, 256, "/layers");
    if (exists(file, "/layers/conv2d/vars/0"))
        return true;
    hid_t group = H5I_INVALID_HID;
    H5G_info_t info = {0};
    if (!exists(file, "/layers") || h5_open_group(&group, file, "/layers") != STATUS_OK)
        return false;
    bool found = false;
    H5Gget_info(group, &info);
    for (hsize_t i = 0; i < info.nlinks && !found; i++) {
        char name[128] = "", inner[256];
        if (H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT) < 0)
            break;
        snprintf(layers, 256, "/layers/%s/layers", name);
        snprintf(inner, sizeof inner, "%s/conv2d/vars/0", layers);
        found = exists(file, inner);
    }
    h5_close(&group);
    return found;
}

static enum status list_weights(hid_t file, const char *path, struct path_list *list) {
    char layers[256];
    static const char *const roots[] = {"/", "/model_weights"};
    for (size_t i = 0; i < 2; i++) {
        hid_t group = H5I_INVALID_HID;
        if ((i == 1 && !exists(file, roots[i])) || h5_open_group(&group, file, roots[i]) != STATUS_OK)
            continue;
        bool legacy = h5_has_attribute(group, "layer_names") || h5_has_attribute(group, "layer_names0");
        h5_close(&group);
        if (legacy)
            return list_legacy(file, roots[i], list);
    }
    if (find_keras3(file, layers))
        return list_keras3(file, layers, list);
    return status_set(STATUS_FORMAT,
                      "%s: an HDF5 file, but without weights as Keras writes them (no layer_names, no "
                      "/layers); --weights takes the VGG16 file of keras.applications, or random",
                      path);
}

/* "(3, 3, 64, 64)" */
static const char *shape_text(int rank, const hsize_t dims[], char text[128]) {
    size_t used = (size_t)snprintf(text, 128, "(");
    for (int i = 0; i < rank; i++)
        used += (size_t)snprintf(text + used, 128 - used, i ? ", %llu" : "%llu", (unsigned long long)dims[i]);
    snprintf(text + used, 128 - used, rank == 1 ? ",)" : ")");
    return text;
}

/* Reads one weight that must be of shape wanted[rank]. */
static enum status read_tensor(hid_t file, const char *file_path, const char *path, const char *layer,
                               const char *part, int rank, const hsize_t wanted[], float **tensor_ret) {
    char found_text[128], wanted_text[128];
    hsize_t found[8] = {0};
    int found_rank = 0;
    hid_t dataset = H5I_INVALID_HID;
    enum status status = h5_open_dataset(&dataset, file, path);
    if (status == STATUS_OK)
        status = h5_dataset_shape(dataset, &found_rank, found);
    if (status != STATUS_OK)
        goto out;
    hid_t type = H5Dget_type(dataset);
    bool real = H5Tget_class(type) == H5T_FLOAT;
    h5_close(&type);
    if (!real || found_rank != rank || memcmp(found, wanted, (size_t)rank * sizeof *wanted) != 0) {
        status = status_set(STATUS_FORMAT,
                            "%s: the %s of %s must be real numbers of shape %s, but %s has %s%s; these are "
                            "not "
                            "VGG16's weights",
                            file_path, part, layer, shape_text(rank, wanted, wanted_text), path,
                            shape_text(found_rank, found, found_text), real ? "" : " of another type");
        goto out;
    }
    size_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= wanted[i];
    float *tensor = mem_alloc(count, sizeof *tensor);
    *tensor_ret = tensor;
    if (tensor == NULL) {
        status = status_set_no_memory(count * sizeof *tensor, file_path);
        goto out;
    }
    status = h5_read_rows(dataset, H5T_NATIVE_FLOAT, 0, wanted[0], tensor);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (!isfinite(tensor[i]))
            status =
                status_set(STATUS_FORMAT, "%s: the %s of %s holds %s (value %zu of %s); the file is damaged",
                           file_path, part, layer, isnan(tensor[i]) ? "NaN" : "an infinity", i, path);
out:
    h5_close(&dataset);
    return status;
}

static enum status load_file(struct weights *weights, const char *path) {
    hid_t file = H5I_INVALID_HID;
    struct path_list list = {0};
    enum status status = h5_open(&file, path, false);
    if (status == STATUS_IO)
        status =
            status_set(STATUS_IO, "%s; data/get.sh fetches the weights, and --weights=random does without",
                       status_message());
    if (status == STATUS_FORMAT)
        status = status_set(STATUS_FORMAT,
                            "%s: not an HDF5 file, or cut short; --weights takes Keras' .h5 (of a .keras "
                            "archive, the model.weights.h5 inside)",
                            path);
    if (status == STATUS_OK)
        status = list_weights(file, path, &list);
    for (size_t l = 0; l < BACKBONE_CONVS && status == STATUS_OK; l++) {
        const struct backbone_layer *layer = &backbone_layers[l];
        hsize_t kernel[] = {3, 3, layer->channels, layer->kernels}, bias[] = {layer->kernels};
        if (list.count < 2 * l + 2) {
            status = status_set(STATUS_FORMAT,
                                "%s: incomplete: the weights of %s are missing (it has %zu of 26); get "
                                "the whole file",
                                path, layer->name, list.count);
            break;
        }
        status = read_tensor(file, path, list.paths[2 * l], layer->name, "kernel", 4, kernel,
                             &weights->tensors.kernel[l]);
        if (status == STATUS_OK)
            status = read_tensor(file, path, list.paths[2 * l + 1], layer->name, "bias", 1, bias,
                                 &weights->tensors.bias[l]);
    }
    path_list_free(&list);
    h5_close(&file);
    const char *name = strrchr(path, '/');
    snprintf(weights->source, sizeof weights->source, "%s", name != NULL ? name + 1 : path);
    return status;
}

static enum status draw_random(struct weights *weights, uint64_t seed) {
    bool failed = false;
    snprintf(weights->source, sizeof weights->source, "random:%llu", (unsigned long long)seed);
#pragma omp parallel for schedule(dynamic, 1) reduction(|| : failed)
    for (size_t i = 0; i < BACKBONE_CONVS; i++) {
        size_t l = BACKBONE_CONVS - 1 - i; /* the large ones first */
        size_t count = 9 * backbone_layers[l].channels * backbone_layers[l].kernels;
        double deviation = sqrt(2.0 / (9.0 * (double)backbone_layers[l].channels));
        float *kernel = weights->tensors.kernel[l] = mem_alloc(count, sizeof *kernel);
        float *bias = weights->tensors.bias[l] = mem_alloc(backbone_layers[l].kernels, sizeof *bias);
        if (kernel == NULL || bias == NULL) {
            failed = true;
            continue;
        }
        struct rng rng;
        rng_init(&rng, seed, l);
        for (size_t j = 0; j < count; j++)
            kernel[j] = (float)(deviation * rng_normal(&rng));
        memset(bias, 0, backbone_layers[l].kernels * sizeof *bias);
    }
    return failed ? status_set_no_memory(sizeof(float) << 21, "random weights") : STATUS_OK;
}

bool weights_is_random(const char *spec, uint64_t *seed_ret, bool *valid_ret) {
    static const char word[] = "random";
    *seed_ret = 0;
    *valid_ret = true;
    if (strcmp(spec, word) == 0)
        return true;
    if (strncmp(spec, "random:", strlen("random:")) != 0)
        return false;
    const char *digits = spec + strlen("random:");
    char *end;
    errno = 0;
    *seed_ret = strtoull(digits, &end, 10);
    *valid_ret = *digits >= '0' && *digits <= '9' && *end == '\0' && errno == 0;
    return true;
}

static enum status compute_digest(struct weights *weights) {
    struct digest *digest;
    enum status status = digest_begin(&digest);
    if (status != STATUS_OK)
        return status;
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        size_t kernels = backbone_layers[l].kernels;
        digest_update(digest, weights->tensors.kernel[l],
                      9 * backbone_layers[l].channels * kernels * sizeof(float));
        digest_update(digest, weights->tensors.bias[l], kernels * sizeof(float));
    }
    digest_final(digest, weights->sha256);
    return STATUS_OK;
}

enum status weights_load(struct weights *weights, const char *spec) {
    uint64_t seed;
    bool valid;
    *weights = (struct weights){0};
    enum status status =
        weights_is_random(spec, &seed, &valid)
            ? (valid ? draw_random(weights, seed)
                     : status_set(STATUS_USAGE, "--weights=%s: the seed must be a whole number", spec))
            : load_file(weights, spec);
    if (status == STATUS_OK)
        status = compute_digest(weights);
    if (status != STATUS_OK)
        weights_free(weights);
    return status;
}

void weights_free(struct weights *weights) {
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        mem_free(weights->tensors.kernel[l]);
        mem_free(weights->tensors.bias[l]);
    }
    *weights = (struct weights){0};
}
