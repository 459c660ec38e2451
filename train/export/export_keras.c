/* export_keras: the whole network as a Keras weight file. */
#include "common/base/h5.h"
#include "common/base/mem.h"
#include "common/base/output.h"
#include "common/network/backbone.h"
#include "train/export/export_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 1 + BACKBONE_CONVS + 5 + 2, NAME = 32 };

/* A layer: its weights, unless it has none. */
struct layer {
    char name[NAME];
    const float *kernel, *bias;
    int rank; /* of the kernel */
    hsize_t dims[4];
};

/* The model's layers in order; kernel[dim][classes] and bias[classes] are the head's. */
static void list_layers(const struct export_model *model, const float *kernel, const float *bias,
                        struct layer layers[LAYERS]) {
    const struct backbone_tensors *tensors = &model->weights->tensors;
    struct layer *next = layers;
    *next++ = (struct layer){.name = "input_1"};
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        const struct backbone_layer *layer = &backbone_layers[l];
        *next = (struct layer){.kernel = tensors->kernel[l],
                               .bias = tensors->bias[l],
                               .rank = 4,
                               .dims = {3, 3, layer->channels, layer->filters}};
        snprintf(next++->name, NAME, "%s", layer->name);
        if (layer->pool)
            snprintf(next++->name, NAME, "%.6s_pool", layer->name); /* block1_conv2 -> block1_pool */
    }
    *next++ = (struct layer){.name = "flatten"};
    *next++ = (struct layer){.name = "dense",
                             .kernel = kernel,
                             .bias = bias,
                             .rank = 2,
                             .dims = {model->head->dim, model->head->classes}};
}

static enum status write_tensor(hid_t group, const char *name, int rank, const hsize_t dims[],
                                const float *values) {
    return h5_write_dataset(group, name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, rank, dims, values);
}

/* /NAME with weight_names, and /NAME/NAME/kernel:0 and bias:0. */
static enum status write_layer(hid_t file, const struct layer *layer) {
    char kernel[NAME + 16], bias[NAME + 16];
    snprintf(kernel, sizeof kernel, "%s/kernel:0", layer->name);
    snprintf(bias, sizeof bias, "%s/bias:0", layer->name);
    const char *const names[2] = {kernel, bias};
    hid_t group = H5I_INVALID_HID, inner = H5I_INVALID_HID;
    enum status status = h5_create_group(&group, file, layer->name);
    if (status == STATUS_OK)
        status = h5_write_strings(group, "weight_names", names, layer->kernel != NULL ? 2 : 0);
    if (status == STATUS_OK && layer->kernel != NULL) {
        status = h5_create_group(&inner, group, layer->name);
        if (status == STATUS_OK)
            status = write_tensor(inner, "kernel:0", layer->rank, layer->dims, layer->kernel);
        if (status == STATUS_OK)
            status = write_tensor(inner, "bias:0", 1, &layer->dims[layer->rank - 1], layer->bias);
    }
    h5_close(&inner);
    h5_close(&group);
    return status;
}

/* The root's attributes, as Keras 2 writes them, and the provenance. A reader takes a file without
 * keras_version for Keras 1's; with h5py 2, older ones take these two for bytes, which only ASCII is read as.
 */
static enum status write_root(hid_t file, const struct layer layers[LAYERS],
                              const struct head_io_source *source) {
    const char *names[LAYERS];
    char attribute[CACHE_TEXT + 8];
    for (size_t i = 0; i < LAYERS; i++)
        names[i] = layers[i].name;
    enum status status = h5_write_strings(file, "layer_names", names, LAYERS);
    if (status == STATUS_OK)
        status = h5_write_ascii(file, "backend", "tensorflow");
    if (status == STATUS_OK)
        status = h5_write_ascii(file, "keras_version", "2.15.0");
    if (status == STATUS_OK)
        status = h5_write_string(file, "created_by", "vggcache train");
    for (size_t i = 0; i < source->count && status == STATUS_OK; i++) {
        snprintf(attribute, sizeof attribute, "cache_%s", source->names[i]);
        status = h5_write_string(file, attribute, source->values[i]);
    }
    if (status == STATUS_OK)
        status = h5_write_strings(file, "class_names", (const char *const *)source->class_names,
                                  source->class_count);
    return status;
}

enum status export_keras_write(const char *path, const struct export_model *model) {
    const struct head *head = model->head;
    struct layer layers[LAYERS] = {0};
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
    list_layers(model, kernel, bias, layers);
    status = output_reserve(&output, path);
    if (status == STATUS_OK)
        status = h5_create(&file, output.partial);
    if (status == STATUS_OK)
        status = write_root(file, layers, model->source);
    for (size_t i = 0; i < LAYERS && status == STATUS_OK; i++)
        status = write_layer(file, &layers[i]);
    status = h5_finish(status, &file, &output);
out:
    mem_free(bias);
    mem_free(kernel);
    return status;
}
