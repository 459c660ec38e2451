/* winograd: the parts of the Winograd engine. conv_winograd.c puts them together; the tests and the benchmark also
 * call them directly. It knows no files, no threads, and no layer by its name.
 *
 * Legend: N images, H rows, W columns, C channels in, K filters. A tile has m x m outputs and n x n points, n =
 * m + 2. */
#ifndef COMMON_NETWORK_WINOGRAD_WINOGRAD_H
#define COMMON_NETWORK_WINOGRAD_WINOGRAD_H

#include "common/network/conv.h"
#include "common/network/winograd/winograd_kernels.h"

/* How one side of the outputs is cut into tiles: count[0] tiles of m = size[0], then count[1] tiles of m = size[1].
 * count[1] is 0 when one size is enough. The last tile may reach over the edge of the image. */
struct winograd_side {
    size_t size[2], count[2];
};

/* The tiles of a layer. Each pair of a height and a width is one kind of tile, with its own transformed weights. */
struct winograd_tiling {
    struct winograd_side rows, columns;
};

/* What a tiling costs: vector operations per image, and bytes of transformed weights. */
struct winograd_cost {
    double products, transforms, weights; /* in vector operations */
    double total;
    size_t weights_nbytes;
};

/* How much of a side of the outputs is needed: pooling drops an odd last row or column. */
static inline size_t winograd_needed_side(const struct conv_shape *shape, size_t side) {
    return shape->pool ? side / 2 * 2 : side;
}

/* Computes the cost of a tiling on vectors of `lanes` floats. */
void winograd_tiling_cost(const struct conv_shape *shape, const struct winograd_tiling *tiling, size_t lanes,
                          struct winograd_cost *cost_ret);

/* Chooses the tiling with the least cost. */
void winograd_tiling_choose(const struct conv_shape *shape, size_t lanes, struct winograd_tiling *tiling_ret);

/* The matrix G of F(m,3) in double, g[n][3]. m is 2, 3, 4, 6, 7 or 8. */
void winograd_weights_matrix(size_t m, double g[WINOGRAD_KERNELS_POINTS_MAX][3]);

/* Transforms kernel[3][3][C][K] for tiles of mh x mw outputs and packs the result for the products: u[nh * nw][ceil(K
 * / width)][C][width]; filters past K are zero. It computes in double and rounds once. */
void winograd_weights_pack(const struct conv_shape *shape, const float *kernel, size_t mh, size_t mw,
                           size_t width, float *u);

/* Like conv_winograd.plan_create(), but for the instruction set `isa`, which the processor must have. If `tiling` is
 * not NULL, the plan uses these tiles, also for a layer of few channels, which is computed directly otherwise. The
 * tiles must cover winograd_needed_side() rows and columns. With pooling: if all sizes are even, the output transform
 * pools; if one is odd, pooling is a separate pass. */
enum status winograd_plan_create(struct conv_plan **plan_ret, const struct conv_shape *shape,
                                 const float *kernel, const float *bias, enum cpu_isa isa,
                                 const struct winograd_tiling *tiling);

/* Makes `plan` compute the layer before it, too. `first` is the plan of that layer. From then on, run() of `plan`
 * takes the input of `first`, in[N][H][W][C of first], and the activations between the two layers never go through
 * memory. `first` has at most WINOGRAD_KERNELS_DIRECT_CHANNELS_MAX channels, no pooling and the same instruction set.
 * It must live as long as `plan`.
 *
 * `background` is NULL, or one image [H][W][C of first] of which most images repeat large parts (for digits: the
 * black image). If the inputs of a tile equal those of the background, bit for bit, the tile gets the outputs of the
 * background: they are copied, not computed. The results are the same bits with and without a background.
 *
 * Call it once, before any run(). STATUS_NO_MEMORY leaves the plan as it was. */
enum status winograd_fuse(struct conv_plan *plan, const struct conv_plan *first, const float *background);

/* For the benchmark: the processor time of a thread in each step, in seconds. Each run() of the thread adds its time
 * to *winograd_profile. NULL, as at the start, switches this off. */
struct winograd_profile {
    double input, product, output;
};
extern _Thread_local struct winograd_profile *winograd_profile;

#endif
