/* vgg16: how a group of images goes through the convolutions of the backbone.
 *
 * The network is run in stages, each of which takes some images at a time and asks the stage before it for
 * them. Early layers have large maps and small weights: one or two images keep the maps in the second-level
 * cache. Late layers have small maps and large weights: many images at once, so that the weights are read
 * once for all. */
#include "common/network/vgg16.h"
#include "common/base/mem.h"
#include "common/base/size.h"

#include <assert.h>
#include <stdlib.h>

/* Layers first..last, on so many images at a time that the stage's first map has about `pixels` pixels. The
 * numbers are measured for the Winograd engine (tests/bench/README.md). */
static const struct stage {
    size_t first, last, pixels;
} stages[] = {{0, 1, 1 * 56 * 56}, {2, 3, 2 * 28 * 28}, {4, 6, 8 * 14 * 14}, {7, 12, 64 * 7 * 7}};
enum { STAGES = sizeof stages / sizeof stages[0] };

struct vgg16 {
    const struct conv_engine *engine;
    enum preprocess_mode mode;
    size_t size, dim;
    size_t input_channels; /* of the first layer: 3, or 1 or 2 when gray is folded */
    bool fused;            /* the second layer computes the first on the way */
    struct conv_shape shapes[BACKBONE_CONVS];
    struct conv_plan *plans[BACKBONE_CONVS];
};

/* Floats of one image's input and output of a layer. */
static size_t input_floats(const struct conv_shape *shape) {
    return shape->height * shape->width * shape->channels;
}

static size_t output_floats(const struct conv_shape *shape) {
    return conv_output_side(shape, shape->height) * conv_output_side(shape, shape->width) * shape->filters;
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

/* Fuses the first two layers where the engine can; digits have black margins, so black is the background. */
static enum status fuse(struct vgg16 *vgg16) {
    if (vgg16->engine->fuse == NULL)
        return STATUS_OK;
    size_t pixels = vgg16->size * vgg16->size;
    uint8_t *black = calloc(pixels, 1);
    float *background = mem_alloc(pixels * vgg16->input_channels, sizeof *background);
    enum status status = STATUS_OK;
    if (black == NULL || background == NULL) {
        status = status_set_no_memory(pixels * vgg16->input_channels * sizeof *background, "network");
    } else {
        make_input(vgg16, 1, black, background);
        status = vgg16->engine->fuse(vgg16->plans[1], vgg16->plans[0], background);
    }
    mem_free(background);
    free(black);
    vgg16->fused = status == STATUS_OK;
    return status;
}

enum status vgg16_create(struct vgg16 **vgg16_ret, const struct conv_engine *engine, size_t size,
                         enum preprocess_mode mode, const struct backbone_tensors *tensors) {
    assert(size >= BACKBONE_SIZE_MIN && size <= BACKBONE_SIZE_MAX);
    struct vgg16 *vgg16 = calloc(1, sizeof *vgg16);
    if (vgg16 == NULL)
        return status_set_no_memory(sizeof *vgg16, "network");
    struct preprocess_affine affine = preprocess_affine(mode);
    bool shifts = affine.offset[0] != 0;
    vgg16->engine = engine;
    vgg16->mode = mode;
    vgg16->size = size;
    vgg16->dim = backbone_dim(size);
    vgg16->input_channels = !engine->gray_input ? 3 : shifts ? 2 : 1;
    float folded[9 * 2 * 64];
    if (engine->gray_input)
        fold_gray(mode, vgg16->input_channels, tensors->kernel[0], folded);
    size_t side = size;
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        vgg16->shapes[l] =
            (struct conv_shape){side, side, l == 0 ? vgg16->input_channels : backbone_layers[l].channels,
                                backbone_layers[l].filters, backbone_layers[l].pool};
        side = conv_output_side(&vgg16->shapes[l], side);
    }
    _Atomic(enum status) status = STATUS_OK;
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < BACKBONE_CONVS; i++) {
        size_t l = BACKBONE_CONVS - 1 - i; /* the large ones first */
        const float *kernel = l == 0 && engine->gray_input ? folded : tensors->kernel[l];
        enum status made = engine->plan_create(&vgg16->plans[l], &vgg16->shapes[l], kernel, tensors->bias[l]);
        if (made != STATUS_OK)
            status = made;
    }
    if (status == STATUS_OK)
        status = fuse(vgg16);
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
    for (size_t l = 0; l < BACKBONE_CONVS; l++)
        if (vgg16->plans[l] != NULL)
            vgg16->engine->plan_free(vgg16->plans[l]);
    free(vgg16);
}

/* Images that a stage takes at a time, at most `count`. */
static size_t stage_group(const struct vgg16 *vgg16, size_t s, size_t count) {
    const struct conv_shape *shape = &vgg16->shapes[stages[s].first];
    size_t group = stages[s].pixels / (shape->height * shape->width);
    return group < 1 ? 1 : size_min(group, count);
}

/* The first layer of a stage that is run by itself. */
static size_t stage_begin(const struct vgg16 *vgg16, size_t s) {
    return stages[s].first == 0 && vgg16->fused ? 1 : stages[s].first;
}

/* Bytes of the parts of the workspace: the input of each stage, two buffers for the maps inside a stage (used
 * in turn), and the engine's own. */
struct layout {
    size_t input[STAGES], inside, engine;
};

static struct layout layout_of(const struct vgg16 *vgg16, size_t count) {
    struct layout layout = {0};
    for (size_t s = 0; s < STAGES; s++) {
        size_t group = stage_group(vgg16, s, count);
        layout.input[s] = mem_round_up(group * input_floats(&vgg16->shapes[stages[s].first]) * sizeof(float));
        for (size_t l = stage_begin(vgg16, s); l <= stages[s].last; l++) {
            if (l < stages[s].last)
                layout.inside = size_max(
                    layout.inside, mem_round_up(group * output_floats(&vgg16->shapes[l]) * sizeof(float)));
            layout.engine = size_max(layout.engine,
                                     mem_round_up(vgg16->engine->workspace_nbytes(vgg16->plans[l], group)));
        }
    }
    return layout;
}

size_t vgg16_workspace_nbytes(const struct vgg16 *vgg16, size_t count) {
    struct layout layout = layout_of(vgg16, count);
    size_t nbytes = 2 * layout.inside + layout.engine;
    for (size_t s = 0; s < STAGES; s++)
        nbytes += layout.input[s];
    return nbytes;
}

/* The parts of the workspace in use. */
struct run {
    const struct vgg16 *vgg16;
    float *input[STAGES], *inside[2];
    void *engine;
};

/* Images gray[count][size][size] through stages 0..s; `out` takes what stage s gives. */
static void run_stage(const struct run *run, size_t s, size_t count, const uint8_t *gray, float *out) {
    const struct vgg16 *vgg16 = run->vgg16;
    size_t group = stage_group(vgg16, s, count), begin = stage_begin(vgg16, s), last = stages[s].last;
    for (size_t first = 0; first < count; first += group) {
        size_t images = size_min(count - first, group);
        const uint8_t *pixels = gray + first * vgg16->size * vgg16->size;
        if (s == 0)
            make_input(vgg16, images, pixels, run->input[0]);
        else
            run_stage(run, s - 1, images, pixels, run->input[s]);
        const float *from = run->input[s];
        for (size_t l = begin; l <= last; l++) {
            float *to =
                l == last ? out + first * output_floats(&vgg16->shapes[l]) : run->inside[(l - begin) % 2];
            vgg16->engine->run(vgg16->plans[l], images, from, to, run->engine);
            from = to;
        }
    }
}

void vgg16_run(const struct vgg16 *vgg16, size_t count, const uint8_t *gray, float *features,
               void *workspace) {
    struct layout layout = layout_of(vgg16, count);
    struct run run = {.vgg16 = vgg16, .engine = workspace};
    char *at = (char *)workspace + layout.engine;
    for (size_t i = 0; i < 2; i++, at += layout.inside)
        run.inside[i] = (float *)(void *)at;
    for (size_t s = 0; s < STAGES; at += layout.input[s], s++)
        run.input[s] = (float *)(void *)at;
    run_stage(&run, STAGES - 1, count, gray, features);
}
