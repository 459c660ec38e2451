/* weights_match: which of the layers that a file lists are VGG16's convolutions. It reads no file.
 *
 * Names come first: Keras 2 lists the trainable weights of a nested model before its frozen ones, so the
 * order in which they stand says nothing there, and five of the thirteen kernels have one shape. Order is
 * gone by where no name is VGG16's: then thirteen convolutions on end must have the shapes, at one place
 * alone, and those that one list holds must be named in ascending order, as a list of trainable ones first
 * would not be. */
#include "common/network/weights_keras.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const weights_part_names[WEIGHTS_PARTS] = {[WEIGHTS_KERNEL] = "kernel", [WEIGHTS_BIAS] = "bias"};

int weights_conv_of(const char *name) {
    int conv = WEIGHTS_UNNAMED;
    for (const char *at = name; (at = strstr(at, "block")) != NULL; at++) {
        char stem[16];
        unsigned block, number;
        int end = 0;
        if ((at > name && isalnum((unsigned char)at[-1])) ||
            sscanf(at, "block%1u_conv%1u%n", &block, &number, &end) != 2 || isalnum((unsigned char)at[end]))
            continue;
        snprintf(stem, sizeof stem, "block%u_conv%u", block, number);
        for (int l = 0; l < BACKBONE_CONVS; l++)
            if (strcmp(stem, backbone_layers[l].name) == 0)
                conv = l;
        if (block >= 3 && block <= 5 && number == 4)
            conv = WEIGHTS_VGG19;
    }
    return conv;
}

static void wanted_dims(size_t l, enum weights_part part, hsize_t dims[4]) {
    const struct backbone_layer *layer = &backbone_layers[l];
    const hsize_t kernel[] = {3, 3, layer->channels, layer->filters}, bias[] = {layer->filters};
    memcpy(dims, part == WEIGHTS_KERNEL ? kernel : bias,
           part == WEIGHTS_KERNEL ? sizeof kernel : sizeof bias);
}

static bool part_fits(const struct weights_layer *layer, size_t l, enum weights_part part) {
    const struct weights_dataset *found = &layer->parts[part];
    hsize_t dims[4];
    int rank = part == WEIGHTS_KERNEL ? 4 : 1;
    wanted_dims(l, part, dims);
    return found->path != NULL && found->rank == rank && found->real &&
           memcmp(found->dims, dims, (size_t)rank * sizeof *dims) == 0;
}

static bool fits(const struct weights_layer *layer, size_t l) {
    return part_fits(layer, l, WEIGHTS_KERNEL) && part_fits(layer, l, WEIGHTS_BIAS);
}

/* (K, C, 3, 3), as Theano and PyTorch have it. */
static bool is_transposed(const struct weights_dataset *kernel, size_t l) {
    return kernel->path != NULL && kernel->rank == 4 && kernel->dims[0] == backbone_layers[l].filters &&
           kernel->dims[1] == backbone_layers[l].channels && kernel->dims[2] == 3 && kernel->dims[3] == 3;
}

/* The first layer of a network for pictures of other than three channels. */
static bool is_other_depth(const struct weights_dataset *kernel, size_t l) {
    return l == 0 && kernel->path != NULL && kernel->rank == 4 && kernel->dims[0] == 3 &&
           kernel->dims[1] == 3 && kernel->dims[2] != 3 && kernel->dims[3] == backbone_layers[0].filters;
}

/* "(3, 3, 64, 64)" */
static const char *shape_text(int rank, const hsize_t dims[], char text[200]) {
    size_t used = (size_t)snprintf(text, 200, "(");
    for (int i = 0; i < rank; i++)
        used += (size_t)snprintf(text + used, 200 - used, i ? ", %llu" : "%llu", (unsigned long long)dims[i]);
    snprintf(text + used, 200 - used, rank == 1 ? ",)" : ")");
    return text;
}

/* Says what is wrong with a layer that is meant to be the backbone's l-th. */
static enum status mismatch(const struct weights_layer *layer, size_t l, const char *path) {
    enum weights_part part = part_fits(layer, l, WEIGHTS_KERNEL) ? WEIGHTS_BIAS : WEIGHTS_KERNEL;
    const struct weights_dataset *found = &layer->parts[part];
    const char *name = backbone_layers[l].name, *what = weights_part_names[part];
    char found_text[200], wanted_text[200], why[160] = "";
    hsize_t wanted[4];
    if (found->path == NULL)
        return status_set(STATUS_FORMAT, "%s: incomplete: the %s of %s is missing; get the whole file", path,
                          what, name);
    if (found->rank < 0)
        return status_set(STATUS_FORMAT, "%s: the %s of %s is named, but there is no dataset \"%s\"", path,
                          what, name, found->path);
    wanted_dims(l, part, wanted);
    if (part == WEIGHTS_KERNEL && is_transposed(found, l))
        snprintf(
            why, sizeof why, "%s",
            "; kernels in the order (K, C, 3, 3) of Theano and PyTorch are not read: take the tf_kernels "
            "file of keras.applications");
    else if (part == WEIGHTS_KERNEL && is_other_depth(found, l))
        snprintf(why, sizeof why, "; this network is for pictures of %llu channel%s, and three are needed",
                 (unsigned long long)found->dims[2], found->dims[2] == 1 ? "" : "s");
    const char *type = found->real       ? ""
                       : found->bfloat16 ? " of type bfloat16 (save it in float32)"
                                         : " of another type";
    return status_set(STATUS_FORMAT, "%s: the %s of %s must be real numbers of shape %s, but %s has %s%s%s",
                      path, what, name, shape_text(part == WEIGHTS_KERNEL ? 4 : 1, wanted, wanted_text),
                      found->path, shape_text(found->rank, found->dims, found_text), type, why);
}

static enum status incomplete(const char *path, size_t l, size_t have) {
    return status_set(STATUS_FORMAT,
                      "%s: incomplete: the weights of %s are missing (it has %zu of 26); get the whole file",
                      path, backbone_layers[l].name, have);
}

static enum status match_names(const struct weights_layers *layers, const char *path, size_t chosen[]) {
    size_t have = 0;
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        size_t named = layers->count, fitting = layers->count;
        for (size_t i = 0; i < layers->count; i++) {
            const struct weights_layer *layer = &layers->layers[i];
            if (layer->conv != (int)l)
                continue;
            if (fits(layer, l) && fitting < layers->count)
                return status_set(
                    STATUS_FORMAT,
                    "%s: ambiguous: %s and %s may both be %s, and nothing tells which is meant; keep one "
                    "VGG16 in the file",
                    path, layers->layers[fitting].parts[WEIGHTS_KERNEL].path,
                    layer->parts[WEIGHTS_KERNEL].path, backbone_layers[l].name);
            if (fits(layer, l))
                fitting = i;
            if (named == layers->count || layers->layers[named].parts[WEIGHTS_KERNEL].rank != 4)
                named = i;
        }
        if (named == layers->count) {
            for (size_t i = 0; i < layers->count; i++)
                have += layers->layers[i].conv > (int)l ? layers->layers[i].count : 0;
            return incomplete(path, l, have);
        }
        if (fitting == layers->count)
            return mismatch(&layers->layers[named], l, path);
        chosen[l] = fitting;
        have += 2;
    }
    return STATUS_OK;
}

/* How many convolutions on end, from convs[0] on, have the shapes of the backbone's first ones. */
static size_t run_length(const struct weights_layers *layers, const size_t convs[], size_t count) {
    size_t length = 0;
    while (length < count && length < BACKBONE_CONVS && fits(&layers->layers[convs[length]], length))
        length++;
    return length;
}

/* Keras lists a nested model's trainable weights before its frozen ones, so `before` may not be in front of
 * `after`. */
static enum status ambiguous_order(const char *path, const struct weights_layer *before,
                                   const struct weights_layer *after) {
    return status_set(
        STATUS_FORMAT,
        "%s: ambiguous: Keras lists trainable weights before frozen ones, so \"%s\" may stand before "
        "\"%s\" and not be in front of it, and the shapes do not tell; save it with all layers trainable, or "
        "with VGG16's names (block1_conv1)",
        path, before->name, after->name);
}

/* Whether one list has all of the backbone's convolutions, in whatever order. */
static bool has_all_shapes(const struct weights_layers *layers, const size_t convs[], size_t count,
                           int list) {
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        size_t wanted = 0, found = 0;
        for (size_t k = 0; k < BACKBONE_CONVS; k++)
            wanted += backbone_layers[k].channels == backbone_layers[l].channels &&
                      backbone_layers[k].filters == backbone_layers[l].filters;
        for (size_t i = 0; i < count; i++)
            found += layers->layers[convs[i]].list == list && fits(&layers->layers[convs[i]], l);
        if (found < wanted)
            return false;
    }
    return list >= 0;
}

/* Says why no thirteen convolutions on end are VGG16's; the `length` from convs[start] on come nearest. */
static enum status no_run(const struct weights_layers *layers, const char *path, const size_t convs[],
                          size_t count, size_t start, size_t length) {
    if (length == 7 && count - start >= 16 && part_fits(&layers->layers[convs[start + 7]], 6, WEIGHTS_KERNEL))
        return status_set(STATUS_FORMAT,
                          "%s: VGG19's weights: four convolutions of 256 filters, where VGG16 has three",
                          path);
    for (size_t s = 0; s < count && length == 0; s++) {
        const struct weights_dataset *kernel = &layers->layers[convs[s]].parts[WEIGHTS_KERNEL];
        if (is_transposed(kernel, 0) || is_other_depth(kernel, 0))
            return mismatch(&layers->layers[convs[s]], 0, path);
    }
    for (size_t s = 1; s < count; s++) {
        const struct weights_layer *before = &layers->layers[convs[s - 1]],
                                   *after = &layers->layers[convs[s]];
        if (before->list == after->list && strverscmp(before->name, after->name) > 0 &&
            has_all_shapes(layers, convs, count, after->list))
            return ambiguous_order(path, before, after);
    }
    if (start + length == count)
        return incomplete(path, length, 2 * length);
    return mismatch(&layers->layers[convs[start + length]], length, path);
}

static enum status match_order(const struct weights_layers *layers, const char *path, const size_t convs[],
                               size_t count, size_t chosen[]) {
    size_t best = 0, best_length = 0, runs = 0;
    for (size_t s = 0; s < count; s++) {
        size_t length = run_length(layers, convs + s, count - s);
        if (length == BACKBONE_CONVS && runs++ > 0)
            return status_set(
                STATUS_FORMAT,
                "%s: ambiguous: VGG16's weights are there twice, from %s and from %s on; keep one VGG16 in "
                "the file",
                path, layers->layers[convs[best]].parts[WEIGHTS_KERNEL].path,
                layers->layers[convs[s]].parts[WEIGHTS_KERNEL].path);
        if (length > best_length) {
            best = s;
            best_length = length;
        }
    }
    if (runs == 0)
        return no_run(layers, path, convs, count, best, best_length);
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        chosen[l] = convs[best + l];
        const struct weights_layer *layer = &layers->layers[chosen[l]], *before = layer;
        if (l > 0)
            before = &layers->layers[chosen[l - 1]];
        if (l > 0 && layer->list >= 0 && layer->list == before->list &&
            strverscmp(before->name, layer->name) >= 0)
            return ambiguous_order(path, before, layer);
    }
    return STATUS_OK;
}

/* VGG16 with batch normalization is another network: each convolution has four vectors more. */
static enum status refuse_normalized(const struct weights_layers *layers, const char *path,
                                     const size_t chosen[]) {
    static const hsize_t widths[] = {64, 128, 256, 512};
    size_t normalized = 0;
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
        size_t convs = 0, others = 0;
        for (size_t l = 0; l < BACKBONE_CONVS; l++)
            convs += backbone_layers[l].filters == widths[w];
        for (size_t i = 0; i < layers->count; i++) {
            const struct weights_layer *layer = &layers->layers[i];
            const struct weights_dataset *first = &layer->parts[WEIGHTS_KERNEL];
            others += layer->scope == layers->layers[chosen[0]].scope && layer->count >= 2 &&
                      first->path != NULL && first->rank == 1 && first->dims[0] == widths[w];
        }
        normalized += others >= convs;
    }
    return normalized == sizeof widths / sizeof widths[0]
               ? status_set(
                     STATUS_FORMAT,
                     "%s: VGG16 with batch normalization, which is another network; the plain one is needed",
                     path)
               : STATUS_OK;
}

enum status weights_match(const struct weights_layers *layers, size_t chosen[BACKBONE_CONVS]) {
    const char *path = layers->path;
    size_t *convs = malloc((layers->count + 1) * sizeof *convs), count = 0;
    bool named = false;
    if (convs == NULL)
        return status_set_no_memory((layers->count + 1) * sizeof *convs, path);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < layers->count && status == STATUS_OK; i++) {
        const struct weights_layer *layer = &layers->layers[i];
        const struct weights_dataset *kernel = &layer->parts[WEIGHTS_KERNEL];
        named = named || layer->conv >= 0;
        if (kernel->path != NULL && kernel->rank == 4)
            convs[count++] = i;
        if (layer->conv == WEIGHTS_VGG19 && kernel->path != NULL && kernel->rank == 4)
            status = status_set(STATUS_FORMAT, "%s: VGG19's weights: it has a %s, which VGG16 has not", path,
                                kernel->path);
    }
    if (status == STATUS_OK && !named && count == 0)
        status =
            status_set(STATUS_FORMAT,
                       "%s: another model's weights: it has no convolutions, so those of block1_conv1 to "
                       "block5_conv3 are missing",
                       path);
    else if (status == STATUS_OK)
        status = named ? match_names(layers, path, chosen) : match_order(layers, path, convs, count, chosen);
    if (status == STATUS_OK)
        status = refuse_normalized(layers, path, chosen);
    free(convs);
    return status;
}
