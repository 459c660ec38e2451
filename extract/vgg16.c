/* vgg16: which convolutions stand in which order, and how a group of images goes through them.
 *
 * The network is run in stages. Early layers have large maps and small weights: a few images at a time keep
 * the maps in the second-level cache. Late layers have small maps and large weights: all images of the group
 * at once, so that the weights are read once for all. Inside a stage the maps go back and forth between two
 * buffers. */
#include "extract/vgg16.h"
#include "common/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const struct vgg16_layer vgg16_layers[VGG16_CONVS] = {
    {"block1_conv1", 3, 64, false},   {"block1_conv2", 64, 64, true},    {"block2_conv1", 64, 128, false},
    {"block2_conv2", 128, 128, true}, {"block3_conv1", 128, 256, false}, {"block3_conv2", 256, 256, false},
    {"block3_conv3", 256, 256, true}, {"block4_conv1", 256, 512, false}, {"block4_conv2", 512, 512, false},
    {"block4_conv3", 512, 512, true}, {"block5_conv1", 512, 512, false}, {"block5_conv2", 512, 512, false},
    {"block5_conv3", 512, 512, true},
};

/* Layers first..last, in groups whose first map has about `pixels` pixels. */
static const struct stage {
    size_t first, last, pixels;
} stages[] = {{0, 3, 2 * 56 * 56}, {4, 6, 16 * 14 * 14}, {7, 12, SIZE_MAX}};
enum { STAGES = sizeof stages / sizeof stages[0] };

struct vgg16 {
    const struct conv_engine *engine;
    enum preprocess_mode mode;
    size_t size, dim;
    size_t input_channels; /* of the first layer: 3, or 1 or 2 when gray is folded */
    struct conv_shape shapes[VGG16_CONVS];
    struct conv_plan *plans[VGG16_CONVS];
};

size_t vgg16_dim(size_t size) {
    return VGG16_FEATURE_CHANNELS * (size / 32) * (size / 32);
}

/* Floats of one image's input and output of a layer. */
static size_t input_floats(const struct conv_shape *shape) {
    return shape->height * shape->width * shape->channels;
}

static size_t output_floats(const struct conv_shape *shape) {
    return conv_output_side(shape, shape->height) * conv_output_side(shape, shape->width) * shape->kernels;
}

/* All three channels of a gray pixel x are scale[c] x + offset[c], so their convolution is that of x with
 * sum_c scale[c] w_c, and, for the offsets, that of a map of ones with sum_c offset[c] w_c. Zero padding
 * stays exact because the ones end where the image ends. folded[3][3][channels][K], channels 1 or 2. */
static void fold_gray(enum preprocess_mode mode, size_t channels, const float *kernel, float *folded) {
    enum { K = 64 };
    struct preprocess_affine affine = preprocess_affine(mode);
    for (size_t position = 0; position < 9; position++)
        for (size_t c = 0; c < channels; c++)
            for (size_t k = 0; k < K; k++) {
                const double *factor = c == 0 ? affine.scale : affine.offset;
                double sum = 0;
                for (size_t rgb = 0; rgb < 3; rgb++)
                    sum += factor[rgb] * (double)kernel[(position * 3 + rgb) * K + k];
                folded[(position * channels + c) * K + k] = (float)sum;
            }
}

enum status vgg16_create(struct vgg16 **vgg16_ret, const struct conv_engine *engine, size_t size,
                         enum preprocess_mode mode, const struct vgg16_tensors *tensors) {
    assert(size >= VGG16_SIZE_MIN && size <= VGG16_SIZE_MAX);
    struct vgg16 *vgg16 = calloc(1, sizeof *vgg16);
    if (vgg16 == NULL)
        return status_set_no_memory(sizeof *vgg16, "network");
    struct preprocess_affine affine = preprocess_affine(mode);
    bool shifts = affine.offset[0] != 0;
    vgg16->engine = engine;
    vgg16->mode = mode;
    vgg16->size = size;
    vgg16->dim = vgg16_dim(size);
    vgg16->input_channels = !engine->gray_input ? 3 : shifts ? 2 : 1;
    float folded[9 * 2 * 64];
    if (engine->gray_input)
        fold_gray(mode, vgg16->input_channels, tensors->kernel[0], folded);
    size_t side = size;
    for (size_t l = 0; l < VGG16_CONVS; l++) {
        vgg16->shapes[l] =
            (struct conv_shape){side, side, l == 0 ? vgg16->input_channels : vgg16_layers[l].channels,
                                vgg16_layers[l].kernels, vgg16_layers[l].pool};
        side = conv_output_side(&vgg16->shapes[l], side);
    }
    _Atomic(enum status) status = STATUS_OK;
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < VGG16_CONVS; i++) {
        size_t l = VGG16_CONVS - 1 - i; /* the large ones first */
        const float *kernel = l == 0 && engine->gray_input ? folded : tensors->kernel[l];
        enum status made = engine->plan_create(&vgg16->plans[l], &vgg16->shapes[l], kernel, tensors->bias[l]);
        if (made != STATUS_OK)
            status = made;
    }
    if (status != STATUS_OK) {
        vgg16_free(vgg16);
        return status;
    }
    *vgg16_ret = vgg16;
    return STATUS_OK;
}

void vgg16_free(struct vgg16 *vgg16) {
    if (vgg16 == NULL)
        return;
    for (size_t l = 0; l < VGG16_CONVS; l++)
        if (vgg16->plans[l] != NULL)
            vgg16->engine->plan_free(vgg16->plans[l]);
    free(vgg16);
}

/* Images of a stage's groups, at most `count`. */
static size_t stage_group(const struct vgg16 *vgg16, const struct stage *stage, size_t count) {
    const struct conv_shape *shape = &vgg16->shapes[stage->first];
    size_t group = stage->pixels / (shape->height * shape->width);
    return group < 1 ? 1 : group > count ? count : group;
}

/* What the workspace holds, each part aligned: the maps between stages (two, used in turn), the two buffers
 * inside a stage, and the engine's own workspace. The network's input counts as a map before the first
 * stage's buffers. */
struct layout {
    size_t between_nbytes, inside_nbytes, engine_nbytes;
};

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static struct layout layout_of(const struct vgg16 *vgg16, size_t count) {
    struct layout layout = {0};
    for (size_t s = 0; s < STAGES; s++) {
        size_t group = stage_group(vgg16, &stages[s], count);
        layout.between_nbytes =
            larger(layout.between_nbytes,
                   mem_round_up(count * output_floats(&vgg16->shapes[stages[s].last]) * sizeof(float)));
        for (size_t l = stages[s].first; l <= stages[s].last; l++) {
            size_t floats = l == 0 ? larger(input_floats(&vgg16->shapes[l]), output_floats(&vgg16->shapes[l]))
                                   : output_floats(&vgg16->shapes[l]);
            layout.inside_nbytes = larger(layout.inside_nbytes, mem_round_up(group * floats * sizeof(float)));
            layout.engine_nbytes = larger(
                layout.engine_nbytes, mem_round_up(vgg16->engine->workspace_nbytes(vgg16->plans[l], group)));
        }
    }
    return layout;
}

size_t vgg16_workspace_nbytes(const struct vgg16 *vgg16, size_t count) {
    struct layout layout = layout_of(vgg16, count);
    return 2 * layout.between_nbytes + 2 * layout.inside_nbytes + layout.engine_nbytes;
}

/* The first layer's input: preprocessed pixels, or the gray values (and ones) that the folded kernel takes.
 */
static void make_input(const struct vgg16 *vgg16, size_t count, const uint8_t *gray, float *input) {
    size_t pixels = count * vgg16->size * vgg16->size, channels = vgg16->input_channels;
    if (channels == 3) {
        preprocess_run(vgg16->mode, pixels, gray, input);
        return;
    }
    for (size_t i = 0; i < pixels; i++) {
        input[i * channels] = gray[i];
        if (channels == 2)
            input[2 * i + 1] = 1;
    }
}

void vgg16_run(const struct vgg16 *vgg16, size_t count, const uint8_t *gray, float *features,
               void *workspace) {
    struct layout layout = layout_of(vgg16, count);
    char *at = workspace;
    float *between[2] = {(float *)(void *)at, (float *)(void *)(at + layout.between_nbytes)};
    at += 2 * layout.between_nbytes;
    float *inside[2] = {(float *)(void *)at, (float *)(void *)(at + layout.inside_nbytes)};
    void *engine_workspace = at + 2 * layout.inside_nbytes;
    for (size_t s = 0; s < STAGES; s++) {
        const struct stage *stage = &stages[s];
        size_t group = stage_group(vgg16, stage, count);
        size_t in_floats = input_floats(&vgg16->shapes[stage->first]);
        size_t out_floats = output_floats(&vgg16->shapes[stage->last]);
        const float *stage_in = s == 0 ? NULL : between[(s + 1) % 2];
        float *stage_out = between[s % 2];
        for (size_t first = 0; first < count; first += group) {
            size_t images = count - first < group ? count - first : group;
            const float *in;
            if (s == 0) {
                make_input(vgg16, images, gray + first * vgg16->size * vgg16->size, inside[1]);
                in = inside[1];
            } else {
                in = stage_in + first * in_floats;
            }
            for (size_t l = stage->first; l <= stage->last; l++) {
                float *out =
                    l == stage->last ? stage_out + first * out_floats : inside[(l - stage->first) % 2];
                vgg16->engine->run(vgg16->plans[l], images, in, out, engine_workspace);
                in = out;
            }
        }
    }
    memcpy(features, between[(STAGES - 1) % 2], count * vgg16->dim * sizeof *features);
}
