/* conv: what a convolution of the network is, and the engines that compute it.
 *
 * Every convolution of VGG16 is 3x3, stride 1, padding 1 (keras.layers.Conv2D(padding="same")), followed
 * by its bias, the rectifier, and after the last one of a block a 2x2 maximum of stride 2 that drops an odd
 * last row and column (keras.layers.MaxPooling2D(2)). All of that is one operation here, and an engine is a
 * way to do it: a plan per layer, made once and const from then on, and a workspace from the caller.
 *
 * Legend: N images, H rows, W columns, C channels in, K filters = channels out.
 * Activations are float[N][H][W][C], rows of pixels, channels innermost. */
#ifndef COMMON_NETWORK_CONV_H
#define COMMON_NETWORK_CONV_H

#include "common/base/status.h"
#include <stdbool.h>
#include <stddef.h>

struct conv_shape {
    size_t height, width; /* H, W of the input, and of the output before pooling */
    size_t channels;      /* C */
    size_t filters;       /* K, the channels out */
    bool pool;            /* the 2x2 maximum follows; H and W are then at least 2 */
};

/* What an engine prepares for one layer. Const once made: any number of threads may run it at once. */
struct conv_plan;

/* An engine: a name and four functions, none of which starts threads. */
struct conv_engine {
    const char *name;

    /* The first layer may be folded to one or two channels because the input is gray (see vgg16.h). */
    bool gray_input;

    /* Prepares a layer: kernel[3][3][C][K] and bias[K] are read during the call only. On success
     * *plan_ret is to be freed with plan_free(). STATUS_NO_MEMORY otherwise. */
    enum status (*plan_create)(struct conv_plan **plan_ret, const struct conv_shape *shape,
                               const float *kernel, const float *bias);
    void (*plan_free)(struct conv_plan *plan);

    /* Bytes of workspace that run() needs for up to `count` images. */
    size_t (*workspace_nbytes)(const struct conv_plan *plan, size_t count);

    /* in[count][H][W][C] -> out[count][H'][W'][K], where H', W' are H, W, or H/2, W/2 (rounded down) with
     * pooling. `workspace` is MEM_ALIGNMENT-aligned; no two arguments overlap. `in` and `out` are
     * MEM_ALIGNMENT-aligned. The same bits for any count: an image's result depends on
     * that image alone (with `gemm` on its place in the group too, by OpenBLAS's choice of kernels).
     * Allocates nothing and cannot fail. */
    void (*run)(const struct conv_plan *plan, size_t count, const float *in, float *out, void *workspace);

    /* NULL, or: makes `plan` compute the layer before it, `first`, on the way: from then on its run() takes
     * the input of `first`, and what lies between never goes through memory. `first` has few channels and no
     * pooling, and must outlive `plan`. `background` is one image, in[H][W][C of first], of which most images
     * repeat large parts: where they do, the outputs are copied, and the results are the same bits. Once,
     * before any run(). STATUS_NO_MEMORY. */
    enum status (*fuse)(struct conv_plan *plan, const struct conv_plan *first, const float *background);
};

/* conv_reference.c: loops that one can check by eye, double accumulators. */
extern const struct conv_engine conv_reference;

/* conv_gemm.c: patches to a matrix (im2col), product by OpenBLAS, in blocks of bounded size. */
extern const struct conv_engine conv_gemm;

/* conv_winograd.c: Winograd's minimal filtering with kernels of our own. */
extern const struct conv_engine conv_winograd;

/* Height (width) of the output of a layer for the height (width) of its input. */
static inline size_t conv_output_side(const struct conv_shape *shape, size_t side) {
    return shape->pool ? side / 2 : side;
}

/* keras.layers.MaxPooling2D(2) of in[height][width][filters] -> out[height / 2][width / 2][filters]; an odd last row or
 * column is dropped. conv_reference.c does not use it: it judges it. */
void conv_pool(const float *in, size_t height, size_t width, size_t filters, float *out);

#endif
