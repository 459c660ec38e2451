/* winograd_tiling: cuts the outputs of a layer into tiles. It owns the cost model.
 *
 * A side of S outputs is cut into tiles of one or two sizes m; each costs n = m + 2 points. Two-dimensional
 * tiles are the products, so a layer takes (sum of n over the rows) x (sum of n over the columns) x C x K
 * multiplications: 56 = 9 x 6 + 2 gives 76^2 points for 56^2 outputs, 1.84 each; direct, it is 9.
 * The cost of a tiling, in vector operations per image (half a cycle each, where two go at once):
 *
 *     products     points x C x K / L, over the share of the peak that products reach;
 *     transforms   per tile and chunk of L channels, the operations of the 1-D transforms:
 *                  nw x in(mh) + nh x in(mw) for the input, nw x out(mh) + mh x out(mw) for the output;
 *                  and the loads and stores; and a pooling of its own where a size is odd;
 *     weights      each kind reads its transformed weights once per group of tiles. A kind with few tiles per
 *                  image shares them with those of the other images of a call.
 *
 * Sizes above 8 are left out for their rounding (winograd_points.h). The memory for the weights is reckoned
 * but does not decide: the tilings of least cost have few kinds, and so take little (326 MB for all of
 * VGG16). */
#include "common/network/winograd/winograd.h"

#include <assert.h>
#include <float.h>

/* Operations of the 1-D transforms, counted in winograd_transforms.h. */
static const double input_operations[WINOGRAD_KERNELS_TILE_MAX + 1] = {
    [2] = 4, [3] = 10, [4] = 12, [6] = 24, [7] = 36, [8] = 40};
static const double output_operations[WINOGRAD_KERNELS_TILE_MAX + 1] = {
    [2] = 4, [3] = 8, [4] = 11, [6] = 19, [7] = 29, [8] = 40};

/* Constants of the model; tests/bench/README.md compares it with measurements. */
static const double product_efficiency = 0.95; /* share of the peak that products reach */
static const double memory_operation = 0.5;    /* a load or store of a vector */
static const double weights_operation = 4.0;   /* a vector of weights from the third-level cache */
static const double group_tiles = 64;          /* that share one reading of the weights */
static const double call_pixels = 32 * 49;     /* of a call's images, if one image has less */

static double images_per_call(const struct conv_shape *shape) {
    double images = call_pixels / (double)(shape->height * shape->width);
    return images < 1 ? 1 : images > 64 ? 64 : images;
}

void winograd_tiling_cost(const struct conv_shape *shape, const struct winograd_tiling *tiling, size_t lanes,
                          struct winograd_cost *cost_ret) {
    double C = (double)shape->channels, K = (double)shape->filters, L = (double)lanes;
    struct winograd_cost cost = {0};
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++) {
            double tiles = (double)(tiling->rows.count[a] * tiling->columns.count[b]);
            if (tiles == 0)
                continue;
            size_t mh = tiling->rows.size[a], mw = tiling->columns.size[b];
            double h = (double)mh, w = (double)mw, nh = h + 2, nw = w + 2;
            double input =
                nw * input_operations[mh] + nh * input_operations[mw] + memory_operation * 4 * nh * nw;
            double output = nw * output_operations[mh] + h * output_operations[mw] +
                            memory_operation * (nh * nw + 2 * h * nw + h * w);
            double vectors = nh * nw * C * K / L;
            double groups = tiles * images_per_call(shape) / group_tiles;
            cost.products += tiles * vectors / product_efficiency;
            cost.transforms += tiles * (input * C / L + output * K / L);
            cost.weights += weights_operation * vectors * (groups < 1 ? 1 : groups) / images_per_call(shape);
            cost.weights_nbytes += (size_t)(nh * nw * C * K) * sizeof(float);
        }
    if (shape->pool && (tiling->rows.size[0] % 2 != 0 || tiling->columns.size[0] % 2 != 0))
        cost.transforms += memory_operation * 6 * (double)(shape->height * shape->width) * K / L;
    cost.total = cost.products + cost.transforms + cost.weights;
    *cost_ret = cost;
}

static const size_t sizes[] = {2, 3, 4, 6, 7, 8};
enum { SIZES_COUNT = sizeof sizes / sizeof sizes[0], SIDES_MAX = 64 };

/* All ways to cut a side with two sizes, the fewest tiles of the second for each number of the first;
 * with pooling both sizes even, or one odd one. Returns their number. */
static size_t list_sides(size_t side, bool pool, struct winograd_side list[SIDES_MAX]) {
    size_t count = 0;
    for (size_t a = 0; a < SIZES_COUNT; a++) {
        size_t full = side / sizes[a];
        list[count++] = (struct winograd_side){.size = {sizes[a]}, .count = {(side - 1) / sizes[a] + 1}};
        for (size_t b = 0; b < a; b++) {
            if (pool && (sizes[a] % 2 != 0 || sizes[b] % 2 != 0))
                continue;
            /* at most as many of the smaller as fill two of the larger */
            for (size_t first = full > 2 ? full - 2 : 1; first <= full; first++) {
                size_t rest = side - first * sizes[a];
                if (rest > 0 && count < SIDES_MAX)
                    list[count++] = (struct winograd_side){.size = {sizes[a], sizes[b]},
                                                           .count = {first, (rest - 1) / sizes[b] + 1}};
            }
        }
    }
    return count;
}

void winograd_tiling_choose(const struct conv_shape *shape, size_t lanes,
                            struct winograd_tiling *tiling_ret) {
    struct winograd_side rows[SIDES_MAX], columns[SIDES_MAX];
    size_t rows_count = list_sides(winograd_needed_side(shape, shape->height), shape->pool, rows);
    size_t columns_count = list_sides(winograd_needed_side(shape, shape->width), shape->pool, columns);
    double least = DBL_MAX;
    for (size_t a = 0; a < rows_count; a++)
        for (size_t b = 0; b < columns_count; b++) {
            struct winograd_tiling tiling = {rows[a], columns[b]};
            struct winograd_cost cost;
            winograd_tiling_cost(shape, &tiling, lanes, &cost);
            if (cost.total < least) {
                least = cost.total;
                *tiling_ret = tiling;
            }
        }
    assert(least < DBL_MAX);
}
