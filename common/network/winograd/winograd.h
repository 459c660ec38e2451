/* winograd: the parts of the Winograd engine that conv_winograd.c puts together, and what the tests and
 * the benchmark want to reach past the engine's seam (conv.h). It refuses to know of images on disk,
 * threads and layers by name.
 *
 * Legend: N images, H rows, W columns, C channels in, K filters, m outputs and n = m + 2 points of a
 * tile's side. */
#ifndef COMMON_NETWORK_WINOGRAD_WINOGRAD_H
#define COMMON_NETWORK_WINOGRAD_WINOGRAD_H

#include "common/network/conv.h"
#include "common/network/winograd/winograd_kernels.h"

/* A side of the outputs cut into tiles: `count[0]` tiles of m = size[0], then `count[1]` of size[1]. The last
 * tile may overhang the image. count[1] = 0 where one size does. */
struct winograd_side {
    size_t size[2], count[2];
};

/* The tiles of a layer: each pair of a height and a width is a kind, with weights of its own. */
struct winograd_tiling {
    struct winograd_side rows, columns;
};

/* What the choice of tiles reckons with: vector operations per image, and bytes of transformed weights. */
struct winograd_cost {
    double products, transforms, weights; /* in vector operations */
    double total;
    size_t weights_nbytes;
};

/* The side of the outputs of a layer that anybody reads: with pooling an odd last row is dropped. */
static inline size_t winograd_needed_side(const struct conv_shape *shape, size_t side) {
    return shape->pool ? side / 2 * 2 : side;
}

/* Reckons what a tiling costs on vectors of `lanes` floats. */
void winograd_tiling_cost(const struct conv_shape *shape, const struct winograd_tiling *tiling, size_t lanes,
                          struct winograd_cost *cost_ret);

/* The tiling of least cost. */
void winograd_tiling_choose(const struct conv_shape *shape, size_t lanes, struct winograd_tiling *tiling_ret);

/* G of F(m,3), float64: g[n][3]. m is 2, 3, 4, 6, 7 or 8. */
void winograd_weights_matrix(size_t m, double g[WINOGRAD_KERNELS_POINTS_MAX][3]);

/* Transforms kernel[3][3][C][K] for tiles of mh x mw and packs it for the products:
 * u[nh * nw][ceil(K / width)][C][width], filters past K being zero. Computed in double, rounded once. */
void winograd_weights_pack(const struct conv_shape *shape, const float *kernel, size_t mh, size_t mw,
                           size_t width, float *u);

/* Like conv_winograd.plan_create(), but for a given instruction set, which the processor must have, and,
 * where `tiling` is not NULL, for those tiles (also where few channels would take the direct way). The tiles
 * must cover what winograd_needed_side() says; with pooling, either all sizes are even, or the sizes are as
 * they like and pooling is a pass of its own. */
enum status winograd_plan_create(struct conv_plan **plan_ret, const struct conv_shape *shape,
                                 const float *kernel, const float *bias, enum cpu_isa isa,
                                 const struct winograd_tiling *tiling);

/* Makes `plan`, of a layer that takes what the layer of `first` gives, compute that layer on the way: from
 * then on its run() takes the input of `first`, in[N][H][W][C of first], and the activations between the two
 * never go through memory. `first` has at most WINOGRAD_KERNELS_DIRECT_CHANNELS_MAX channels and no pooling, and must
 * live as long as `plan`, and be of the same instruction set.
 *
 * `background`, NULL or one image [H][W][C of first], is an image of which most images repeat large parts
 * (for digits: the black image). Tiles whose inputs are those of the background, bit for bit, get the outputs
 * that the background has there, and cost nothing. The results are the same bits with and without.
 * STATUS_NO_MEMORY leaves the plan as it was. Before any run(), and once. */
enum status winograd_fuse(struct conv_plan *plan, const struct conv_plan *first, const float *background);

/* Where a thread's processor time goes, in seconds, added up by its run()s; for the benchmark. NULL in
 * winograd_profile, as at the start, switches it off. */
struct winograd_profile {
    double input, product, output;
};
extern _Thread_local struct winograd_profile *winograd_profile;

#endif
