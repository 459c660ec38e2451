/* summary: the model table, layer by layer, in the manner of Keras' model.summary(). */
#include "extract/summary.h"
#include "common/base/text.h"
#include "common/network/backbone.h"

enum { NAME_WIDTH = 31, SHAPE_WIDTH = 26, TABLE_WIDTH = 70 };

static void rule(FILE *stream, char c) {
    for (int i = 0; i < TABLE_WIDTH; i++)
        fputc(c, stream);
    fputc('\n', stream);
}

static void row(FILE *stream, const char *name, const char *type, const char *shape, size_t parameters) {
    char label[64], number[TEXT_GROUPED];
    snprintf(label, sizeof label, "%s (%s)", name, type);
    fprintf(stream, "%-*s%-*s%s\n", NAME_WIDTH, label, SHAPE_WIDTH, shape, text_grouped(parameters, number));
}

void summary_print(FILE *stream, size_t size, size_t classes, bool train_all) {
    char shape[64], number[TEXT_GROUPED];
    size_t side = size, backbone = 0, dim = backbone_dim(size), head = dim * classes + classes;
    fprintf(stream, "Model: \"vgg16_transfer\"\n");
    rule(stream, '_');
    fprintf(stream, "%-*s%-*s%s\n", NAME_WIDTH, "Layer (type)", SHAPE_WIDTH, "Output Shape", "Param #");
    rule(stream, '=');
    snprintf(shape, sizeof shape, "(None, %zu, %zu, 3)", side, side);
    row(stream, "input", "InputLayer", shape, 0);
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        const struct backbone_layer *layer = &backbone_layers[l];
        size_t parameters = 9 * layer->channels * layer->filters + layer->filters;
        backbone += parameters;
        snprintf(shape, sizeof shape, "(None, %zu, %zu, %zu)", side, side, layer->filters);
        row(stream, layer->name, "Conv2D", shape, parameters);
        if (layer->pool) {
            char pool[] = "blockN_pool";
            pool[5] = layer->name[5];
            side /= 2;
            snprintf(shape, sizeof shape, "(None, %zu, %zu, %zu)", side, side, layer->filters);
            row(stream, pool, "MaxPooling2D", shape, 0);
        }
    }
    snprintf(shape, sizeof shape, "(None, %zu)", dim);
    row(stream, "flatten", "Flatten", shape, 0);
    snprintf(shape, sizeof shape, "(None, %zu)", classes);
    row(stream, "dense", "Dense, softmax", shape, head);
    rule(stream, '=');
    fprintf(stream, "Total params: %s\n", text_grouped(backbone + head, number));
    fprintf(stream, "Trainable params: %s\n", text_grouped(train_all ? backbone + head : head, number));
    fprintf(stream, "Non-trainable params: %s\n", text_grouped(train_all ? 0 : backbone, number));
    rule(stream, '_');
}
