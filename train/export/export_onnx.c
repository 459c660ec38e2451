/* export_onnx: the whole network as an ONNX model, of few kinds of nodes in the forms that most readers take:
 * OpenCV's dnn and several made for phones know Gemm with transB=1 alone. */
#include "common/base/mem.h"
#include "common/base/output.h"
#include "common/base/text.h"
#include "common/network/backbone.h"
#include "common/network/preprocess.h"
#include "train/export/export_model.h"
#include "train/export/onnx.pb-c.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPSET = 13,
    IR_VERSION = 7,
    FLOAT = 1,
    NODES_MAX = 48,
    TENSORS_MAX = 40,
    ATTRIBUTES_MAX = 96,
    NAME = 40,
    PROPERTIES_MAX = HEAD_IO_SOURCES + 1
};

/* A model under construction: protobuf-c wants lists of pointers to messages, which stand beside each other
 * here. */
struct builder {
    Onnx__Node nodes[NODES_MAX], *node_list[NODES_MAX];
    char *inputs[NODES_MAX][3], *outputs[NODES_MAX][1], names[NODES_MAX][NAME];
    Onnx__Attribute attributes[ATTRIBUTES_MAX], *attribute_list[ATTRIBUTES_MAX];
    Onnx__Tensor tensors[TENSORS_MAX], *tensor_list[TENSORS_MAX];
    int64_t dims[TENSORS_MAX][4];
    char tensor_names[TENSORS_MAX][NAME];
    size_t node_count, attribute_count, tensor_count;
    float image_kernel[3][3], image_bias[3];
    float *kernels; /* all convolutions', [K][C][3][3] each */
    float *dense;   /* the head's, [classes][dim], then bias[classes] */
    char *value;    /* the name of the value that the last node computed */
    Onnx__Property properties[PROPERTIES_MAX], *property_list[PROPERTIES_MAX];
    char *property_texts[PROPERTIES_MAX]; /* their values, from malloc() */
    size_t property_count;
    char *class_names; /* a JSON list, from cJSON */
};

/* Protobuf-c has no const; what is only packed is never changed. */
static char *text(const char *constant) {
    return (char *)(uintptr_t)constant;
}

/* Adds a node that computes value `name` from the last value and up to two tensors (NULL: none). */
static void add_node(struct builder *builder, const char *op, const char *name, char *second, char *third) {
    size_t at = builder->node_count++;
    assert(at < NODES_MAX);
    Onnx__Node *node = builder->node_list[at] = &builder->nodes[at];
    onnx__node__init(node);
    snprintf(builder->names[at], NAME, "%s", name);
    builder->inputs[at][0] = builder->value;
    builder->inputs[at][1] = second;
    builder->inputs[at][2] = third;
    builder->outputs[at][0] = builder->value = builder->names[at];
    node->op_type = text(op);
    node->name = builder->names[at];
    node->n_input = 1u + (second != NULL) + (third != NULL);
    node->input = builder->inputs[at];
    node->n_output = 1;
    node->output = builder->outputs[at];
    node->attribute = &builder->attribute_list[builder->attribute_count];
}

/* Gives the last node an attribute: a list of `count` numbers, or one number when count is 0. */
static void add_attribute(struct builder *builder, const char *name, size_t count, const int64_t *values) {
    size_t at = builder->attribute_count++;
    assert(at < ATTRIBUTES_MAX);
    Onnx__Attribute *attribute = builder->attribute_list[at] = &builder->attributes[at];
    onnx__attribute__init(attribute);
    attribute->name = text(name);
    attribute->type = count > 0 ? ONNX__ATTRIBUTE__TYPE__INTS : ONNX__ATTRIBUTE__TYPE__INT;
    attribute->n_ints = count;
    attribute->ints = count > 0 ? (int64_t *)(uintptr_t)values : NULL;
    attribute->has_i = count == 0;
    attribute->i = count == 0 ? *values : 0;
    builder->node_list[builder->node_count - 1]->n_attribute++;
}

/* Adds constant data[dims[0]]...; returns its name. */
static char *add_tensor(struct builder *builder, const char *name, size_t rank, const int64_t dims[],
                        const float *data) {
    size_t at = builder->tensor_count++, nbytes = sizeof *data;
    assert(at < TENSORS_MAX);
    Onnx__Tensor *tensor = builder->tensor_list[at] = &builder->tensors[at];
    onnx__tensor__init(tensor);
    snprintf(builder->tensor_names[at], NAME, "%s", name);
    for (size_t i = 0; i < rank; i++) {
        builder->dims[at][i] = dims[i];
        nbytes *= (size_t)dims[i];
    }
    tensor->n_dims = rank;
    tensor->dims = builder->dims[at];
    tensor->data_type = FLOAT;
    tensor->name = builder->tensor_names[at];
    tensor->raw_data = (ProtobufCBinaryData){nbytes, (uint8_t *)(uintptr_t)data};
    return tensor->name;
}

/* A convolution with `size` x `size` taps that keeps the size of the maps. Defaults are written out: some
 * readers do not know them. */
static void add_conv(struct builder *builder, const char *name, size_t size, size_t channels, size_t kernels,
                     const float *kernel, const float *bias) {
    static const int64_t one = 1, zeros[4] = {0}, ones[4] = {1, 1, 1, 1}, threes[2] = {3, 3};
    const int64_t taps = (int64_t)size, dims[4] = {(int64_t)kernels, (int64_t)channels, taps, taps};
    char tensor_name[NAME];
    assert(size == 1 || size == 3);
    snprintf(tensor_name, sizeof tensor_name, "%s_kernel", name);
    char *kernel_name = add_tensor(builder, tensor_name, 4, dims, kernel);
    snprintf(tensor_name, sizeof tensor_name, "%s_bias", name);
    add_node(builder, "Conv", name, kernel_name, add_tensor(builder, tensor_name, 1, dims, bias));
    add_attribute(builder, "dilations", 2, ones);
    add_attribute(builder, "group", 0, &one);
    add_attribute(builder, "kernel_shape", 2, size == 1 ? ones : threes);
    add_attribute(builder, "pads", 4, size == 1 ? zeros : ones);
    add_attribute(builder, "strides", 2, ones);
}

/* RGB 0..255 to what the backbone takes: the affine maps of preprocess.h, and for caffe BGR, as a convolution
 * of single pixels. Nodes of their own for order, scale and offset are not read everywhere: OpenCV's dnn 4.6
 * has no Gather, and of [1][3][1][1] offsets adds the i-th to the i-th picture. The maps cannot move into the
 * backbone's first kernel: around the picture that one sees 0, and not what 0 is mapped to. */
static void add_preprocessing(struct builder *builder, enum preprocess_mode mode) {
    struct preprocess_affine affine = preprocess_affine(mode);
    for (size_t c = 0; c < 3; c++) {
        builder->image_kernel[c][mode == PREPROCESS_CAFFE ? 2 - c : c] = (float)affine.scale[c];
        builder->image_bias[c] = (float)affine.offset[c];
    }
    add_conv(builder, "preprocess", 1, 3, 3, builder->image_kernel[0], builder->image_bias);
}

/* Keras' [3][3][C][K] to ONNX's [K][C][3][3]. */
static void transpose_kernel(size_t channels, size_t kernels, const float *from, float *to) {
    for (size_t position = 0; position < 9; position++)
        for (size_t c = 0; c < channels; c++)
            for (size_t k = 0; k < kernels; k++)
                to[(k * channels + c) * 9 + position] = from[(position * channels + c) * kernels + k];
}

static void add_pool(struct builder *builder, const char *name) {
    static const int64_t zeros[4] = {0}, two[2] = {2, 2};
    add_node(builder, "MaxPool", name, NULL, NULL);
    add_attribute(builder, "kernel_shape", 2, two);
    add_attribute(builder, "pads", 4, zeros);
    add_attribute(builder, "strides", 2, two);
}

static void add_backbone(struct builder *builder, const struct backbone_tensors *tensors) {
    float *kernel = builder->kernels;
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        const struct backbone_layer *layer = &backbone_layers[l];
        char name[NAME];
        transpose_kernel(layer->channels, layer->filters, tensors->kernel[l], kernel);
        add_conv(builder, layer->name, 3, layer->channels, layer->filters, kernel, tensors->bias[l]);
        snprintf(name, sizeof name, "%s_relu", layer->name);
        add_node(builder, "Relu", name, NULL, NULL);
        if (layer->pool) {
            snprintf(name, sizeof name, "%.6s_pool", layer->name); /* block1_conv2 -> block1_pool */
            add_pool(builder, name);
        }
        kernel += 9 * layer->channels * layer->filters;
    }
}

/* Flatten takes the pixels of the last map one after another, channels innermost, as Keras does. */
static void add_head(struct builder *builder, const struct head *head, bool one_pixel) {
    static const int64_t pixels_first[4] = {0, 2, 3, 1}, axis = 1, transposed = 1;
    const int64_t dims[2] = {(int64_t)head->classes, (int64_t)head->dim};
    float *bias = builder->dense + head->classes * head->dim;
    head_get_transposed(head, builder->dense, bias);
    if (!one_pixel) {
        add_node(builder, "Transpose", "channels_last", NULL, NULL);
        add_attribute(builder, "perm", 4, pixels_first);
    }
    add_node(builder, "Flatten", "features", NULL, NULL);
    add_attribute(builder, "axis", 0, &axis);
    char *kernel_name = add_tensor(builder, "dense_kernel", 2, dims, builder->dense);
    add_node(builder, "Gemm", "logits", kernel_name, add_tensor(builder, "dense_bias", 1, dims, bias));
    add_attribute(builder, "transB", 0, &transposed);
    add_node(builder, "Softmax", "probabilities", NULL, NULL);
    add_attribute(builder, "axis", 0, &axis);
}

/* A float input or output: N by dims[rank]. */
struct value {
    Onnx__Dimension dimensions[4], *list[4];
    Onnx__Shape shape;
    Onnx__TensorType tensor;
    Onnx__Type type;
    Onnx__ValueInfo info;
};

static Onnx__ValueInfo *make_value(struct value *value, const char *name, const char *doc, size_t rank,
                                   const int64_t dims[]) {
    for (size_t i = 0; i <= rank; i++) {
        value->list[i] = &value->dimensions[i];
        onnx__dimension__init(value->list[i]);
        value->list[i]->value_case =
            i == 0 ? ONNX__DIMENSION__VALUE_DIM_PARAM : ONNX__DIMENSION__VALUE_DIM_VALUE;
        if (i == 0)
            value->list[i]->dim_param = text("N");
        else
            value->list[i]->dim_value = dims[i - 1];
    }
    onnx__shape__init(&value->shape);
    onnx__tensor_type__init(&value->tensor);
    onnx__type__init(&value->type);
    onnx__value_info__init(&value->info);
    value->shape.n_dim = rank + 1;
    value->shape.dim = value->list;
    value->tensor.elem_type = FLOAT;
    value->tensor.shape = &value->shape;
    value->type.tensor_type = &value->tensor;
    value->info.name = text(name);
    value->info.type = &value->type;
    value->info.doc_string = text(doc);
    return &value->info;
}

/* Protobuf's strings are UTF-8; names of files may be anything. */
static enum status add_property(struct builder *builder, const char *key, const char *value) {
    size_t at = builder->property_count;
    assert(at < PROPERTIES_MAX);
    char *copy = builder->property_texts[at] = text_utf8(value);
    if (copy == NULL)
        return status_set_no_memory(strlen(value), key);
    Onnx__Property *property = builder->property_list[at] = &builder->properties[at];
    onnx__property__init(property);
    property->key = text(key);
    property->value = copy;
    builder->property_count++;
    return STATUS_OK;
}

/* Where the features come from, and what the classes are called. */
static enum status add_properties(struct builder *builder, const struct head_io_source *source) {
    enum status status = STATUS_OK;
    for (size_t i = 0; i < source->count && status == STATUS_OK; i++)
        status = add_property(builder, source->names[i], source->values[i]);
    if (status != STATUS_OK)
        return status;
    cJSON *list = cJSON_CreateStringArray((const char *const *)source->class_names, (int)source->class_count);
    builder->class_names = list != NULL ? cJSON_PrintUnformatted(list) : NULL;
    cJSON_Delete(list);
    if (builder->class_names == NULL)
        return status_set_no_memory(source->class_count, "class names");
    return add_property(builder, "class_names", builder->class_names);
}

/* A ProtobufCBuffer that goes to a stream, so that no second copy of 59 MB is made. */
struct sink {
    ProtobufCBuffer base;
    FILE *stream;
};

static void append(ProtobufCBuffer *buffer, size_t nbytes, const uint8_t *data) {
    fwrite(data, 1, nbytes, ((struct sink *)buffer)->stream);
}

/* Puts the graph into a model, and packs that. */
static void pack(struct builder *builder, Onnx__Graph *graph, FILE *stream) {
    Onnx__OperatorSet opset = ONNX__OPERATOR_SET__INIT, *opsets[1] = {&opset};
    Onnx__Model file = ONNX__MODEL__INIT;
    struct sink sink = {.base = {.append = append}, .stream = stream};
    opset.domain = text("");
    opset.version = OPSET;
    graph->name = text("vgg16");
    graph->n_node = builder->node_count;
    graph->node = builder->node_list;
    graph->n_initializer = builder->tensor_count;
    graph->initializer = builder->tensor_list;
    file.ir_version = IR_VERSION;
    file.producer_name = text("vggcache");
    file.producer_version = text(VGGCACHE_VERSION);
    file.doc_string = text("VGG16 backbone, preprocessing included, and a softmax head");
    file.graph = graph;
    file.n_opset_import = 1;
    file.opset_import = opsets;
    file.n_metadata_props = builder->property_count;
    file.metadata_props = builder->property_list;
    onnx__model__pack_to_buffer(&file, &sink.base);
}

static enum status allocate(struct builder *builder, const struct export_model *model, const char *path) {
    const struct head *head = model->head;
    size_t kernels = 0;
    for (size_t l = 0; l < BACKBONE_CONVS; l++)
        kernels += 9 * backbone_layers[l].channels * backbone_layers[l].filters;
    builder->kernels = mem_alloc(kernels, sizeof(float));
    builder->dense = mem_alloc((head->dim + 1) * head->classes, sizeof(float));
    if (builder->kernels == NULL || builder->dense == NULL)
        return status_set_no_memory((kernels + (head->dim + 1) * head->classes) * sizeof(float), path);
    return STATUS_OK;
}

enum status export_onnx_write(const char *path, const struct export_model *model) {
    const struct head *head = model->head;
    const int64_t side = (int64_t)model->source->input_size, dim = (int64_t)head->dim;
    const int64_t image_dims[3] = {3, side, side}, classes = (int64_t)head->classes;
    struct output output = {0};
    struct value image, probabilities, features;
    Onnx__Graph graph = ONNX__GRAPH__INIT;
    struct builder *builder = mem_alloc(1, sizeof *builder);
    if (builder == NULL)
        return status_set_no_memory(sizeof *builder, path);
    memset(builder, 0, sizeof *builder);
    builder->value = text("image");
    enum status status = output_open(&output, path);
    if (status == STATUS_OK)
        status = allocate(builder, model, path);
    if (status == STATUS_OK)
        status = add_properties(builder, model->source);
    if (status != STATUS_OK)
        goto out;
    add_preprocessing(builder, model->mode);
    add_backbone(builder, &model->weights->tensors);
    add_head(builder, head, head->dim == BACKBONE_FEATURE_CHANNELS);
    Onnx__ValueInfo *inputs[1] = {
        make_value(&image, "image", "RGB, 0..255, of the size that the head was trained for", 3, image_dims)};
    Onnx__ValueInfo *outputs[2] = {
        make_value(&probabilities, "probabilities", "of each class", 1, &classes),
        make_value(&features, "features", "block5_pool, flattened as Keras does", 1, &dim)};
    graph.n_input = 1;
    graph.input = inputs;
    graph.n_output = 2;
    graph.output = outputs;
    pack(builder, &graph, output.stream);
    status = output_commit(&output);
out:
    output_abort(&output);
    for (size_t i = 0; i < builder->property_count; i++)
        free(builder->property_texts[i]);
    cJSON_free(builder->class_names);
    mem_free(builder->dense);
    mem_free(builder->kernels);
    mem_free(builder);
    return status;
}
