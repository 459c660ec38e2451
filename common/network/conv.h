/* conv: what a convolution of the network is, and the engines that compute it.
 *
 * Every convolution of VGG16 is 3x3, stride 1, padding 1 (keras.layers.Conv2D(padding="same")). Its bias and the
 * rectifier follow; after the last one of a block, a 2x2 maximum of stride 2 follows too and drops an odd last row
 * and column (keras.layers.MaxPooling2D(2)). All of this is one operation here. An engine is a way to do it: it makes
 * a plan for each layer once, which is const from then on, and the caller gives it a workspace.
 *
 * Legend: N images, H rows, W columns, C channels in, K filters = channels out. Activations are float[N][H][W][C]:
 * rows of pixels, channels innermost. */
#ifndef COMMON_NETWORK_CONV_H
#define COMMON_NETWORK_CONV_H

#include "common/base/status.h"
#include <stdbool.h>
#include <stddef.h>

struct conv_shape {
    size_t height, width; /* H, W of the input, and of the output before pooling */
    size_t channels;      /* C */
    size_t filters;       /* K */
    bool pool;            /* the 2x2 maximum follows; H and W are then at least 2 */
};

/* What an engine prepares for one layer. It is const once made, so any number of threads may run it at once. */
struct conv_plan;

/* An engine: a name and functions, none of which starts threads. */
struct conv_engine {
    const char *name;

    /* Whether the first layer may be folded to one or two channels, because the input is gray (see vgg16.h). */
    bool gray_input;

    /* Prepares a layer. It reads kernel[3][3][C][K] and bias[K] during the call only. Free *plan_ret
     * with plan_free(). STATUS_NO_MEMORY. */
    enum status (*plan_create)(struct conv_plan **plan_ret, const struct conv_shape *shape,
                               const float *kernel, const float *bias);
    void (*plan_free)(struct conv_plan *plan);

    /* Bytes of workspace that run() needs for up to `count` images. */
    size_t (*workspace_nbytes)(const struct conv_plan *plan, size_t count);

    /* in[count][H][W][C] -> out[count][H'][W'][K], where H', W' are H, W, or with pooling H/2, W/2 (rounded down).
     * `in`, `out` and `workspace` are MEM_ALIGNMENT-aligned and do not overlap. An image's result depends on that
     * image alone, so it has the same bits for any count. (With `gemm` it depends on the image's place in the group
     * too, because OpenBLAS chooses its kernels.) Allocates nothing and cannot fail. */
    void (*run)(const struct conv_plan *plan, size_t count, const float *in, float *out, void *workspace);

    /* Makes `plan` compute the layer before it, `first`, too; NULL where an engine cannot. From then on its run()
     * takes the input of `first`, and the activations between the two layers never go through memory. `first` has few
     * channels and no pooling, and must outlive `plan`. `background` is one image, in[H][W][C of first], of which
     * most images repeat large parts. Where an image does, the outputs are copied; the results are the same bits.
     * Call it once, before any run(). STATUS_NO_MEMORY. */
    enum status (*fuse)(struct conv_plan *plan, const struct conv_plan *first, const float *background);
};

/* conv_reference.c: loops that one can check by eye, with double accumulators. */
extern const struct conv_engine conv_reference;

/* conv_gemm.c: copies the patches into a matrix (im2col) and multiplies by OpenBLAS, in blocks of bounded size. */
extern const struct conv_engine conv_gemm;

/* conv_winograd.c: Winograd's minimal filtering, with our own kernels. */
extern const struct conv_engine conv_winograd;

/* Height (width) of the output of a layer for the height (width) of its input. */
static inline size_t conv_output_side(const struct conv_shape *shape, size_t side) {
    return shape->pool ? side / 2 : side;
}

/* keras.layers.MaxPooling2D(2): in[height][width][filters] -> out[height / 2][width / 2][filters], without an odd
 * last row or column. conv_reference.c has its own, because it judges this one. */
void conv_pool(const float *in, size_t height, size_t width, size_t filters, float *out);

#endif
