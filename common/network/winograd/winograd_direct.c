/* winograd_direct: the first layer. With C <= 4 channels a patch of 3 x 3 pixels has at most 36 values,
 * and Winograd's transforms would cost more than they save: here the products are taken as they are, many
 * pixels side by side by two vectors of filters. What bounds it is the writing of the output.
 *
 * Order of the sum for each output: the bias, then row, column, channel of the patch. */
#include "common/network/winograd/winograd_direct.h"
#include "common/base/mem.h"

#include <assert.h>
#include <string.h>

enum status winograd_direct_create(struct winograd_direct *direct, const struct conv_shape *shape,
                                   const float *kernel, const float *bias,
                                   const struct winograd_kernels *kernels) {
    assert(shape->channels <= WINOGRAD_KERNELS_DIRECT_CHANNELS_MAX);
    direct->shape = *shape;
    size_t K = shape->filters, depth = 1 + 9 * shape->channels, width = 2 * kernels->lanes;
    size_t panels = (K + width - 1) / width;
    size_t nbytes = panels * depth * width * sizeof(float);
    direct->u = mem_alloc(nbytes, 1);
    if (direct->u == NULL)
        return status_set_no_memory(nbytes, "the weights of a convolution");
    memset(direct->u, 0, nbytes);
    for (size_t k = 0; k < K; k++) {
        float *u = direct->u + k / width * depth * width + k % width;
        *u = bias[k];
        for (size_t d = 1; d < depth; d++)
            u[d * width] = kernel[(d - 1) * K + k];
    }
    return STATUS_OK;
}

void winograd_direct_free(struct winograd_direct *direct) {
    mem_free(direct->u);
}

/* The workspace: pad[4][W + 2][C], four rows of the image with a zero pixel at each end, and for pooling
 * wide[2][W][K], two rows of outputs. */
static size_t pad_nbytes(const struct winograd_direct *direct) {
    return mem_round_up(4 * (direct->shape.width + 2) * direct->shape.channels * sizeof(float));
}

size_t winograd_direct_workspace_nbytes(const struct winograd_direct *direct) {
    const struct conv_shape *shape = &direct->shape;
    size_t wide = shape->pool ? 2 * shape->width * shape->filters * sizeof(float) : 0;
    return pad_nbytes(direct) + mem_round_up(wide);
}

/* Row y of an image, or zeros for y = -1 (wrapped around) and y = H, to its place y mod 4. Returns it. */
static const float *pad_row(const struct winograd_direct *direct, const float *image, size_t y, float *pad) {
    size_t W = direct->shape.width, C = direct->shape.channels;
    float *row = pad + (y + 4) % 4 * (W + 2) * C;
    memset(row, 0, (W + 2) * C * sizeof(float));
    if (y < direct->shape.height)
        memcpy(row + C, image + y * W * C, W * C * sizeof(float));
    return row;
}

/* `rows` pixels of a panel of which only `count` filters exist, by way of a copy. */
static void last_filters(winograd_kernels_direct_func one, struct winograd_kernels_direct g, size_t C,
                         size_t rows, size_t count) {
    float pixel[2 * WINOGRAD_KERNELS_LANES_MAX] __attribute__((aligned(64)));
    float *out = g.out;
    g.out = pixel;
    for (size_t r = 0; r < rows; r++, out += g.out_step) {
        one(&g);
        memcpy(out, pixel, count * sizeof(float));
        for (size_t a = 0; a < 3; a++)
            g.row[a] += C;
    }
}

/* How many of `count` pixels to take next: all, or so many that the rest can be taken at once. */
static size_t pixels_at_once(const winograd_kernels_direct_func *direct, size_t rows_max, size_t count) {
    if (count >= 2 * rows_max)
        return rows_max;
    for (size_t rest = 0; rest < count; rest++)
        if (count - rest <= rows_max && direct[count - rest] != NULL &&
            (rest == 0 || (rest <= rows_max && direct[rest] != NULL)))
            return count - rest;
    return count < rows_max ? 1 : rows_max;
}

void winograd_direct_pixels(const struct winograd_direct *direct, const struct winograd_kernels *kernels,
                            const float *const rows[3], size_t count, float *out) {
    size_t C = direct->shape.channels, K = direct->shape.filters, width = 2 * kernels->lanes;
    struct winograd_kernels_direct g = {.out_step = K};
    for (size_t x = 0, step; x < count; x += step) {
        step = pixels_at_once(kernels->direct[C], kernels->rows_max, count - x);
        for (size_t a = 0; a < 3; a++)
            g.row[a] = rows[a] + x * C;
        g.bias = direct->u;
        for (size_t k = 0; k < K; k += width, g.bias += (1 + 9 * C) * width) {
            g.u = g.bias + width;
            g.out = out + x * K + k;
            if (K - k >= width)
                kernels->direct[C][step](&g);
            else
                last_filters(kernels->direct[C][1], g, C, step, K - k);
        }
    }
}

void winograd_direct_run(const struct winograd_direct *direct, const struct winograd_kernels *kernels,
                         size_t count, const float *in, float *out, void *workspace) {
    const struct conv_shape *shape = &direct->shape;
    size_t H = shape->height, W = shape->width, C = shape->channels, K = shape->filters;
    size_t out_w = conv_output_side(shape, W);
    float *pad = workspace, *wide = pad + pad_nbytes(direct) / sizeof(float);
    for (size_t image = 0; image < count; image++, in += H * W * C) {
        const float *rows[3] = {NULL, pad_row(direct, in, (size_t)-1, pad), pad_row(direct, in, 0, pad)};
        for (size_t y = 0; y < (shape->pool ? H / 2 * 2 : H); y++) {
            rows[0] = rows[1];
            rows[1] = rows[2];
            rows[2] = pad_row(direct, in, y + 1, pad);
            if (!shape->pool) {
                winograd_direct_pixels(direct, kernels, rows, W, out);
                out += W * K;
                continue;
            }
            winograd_direct_pixels(direct, kernels, rows, W, wide + y % 2 * W * K);
            if (y % 2 == 1) {
                conv_pool(wide, 2, W, K, out);
                out += out_w * K;
            }
        }
    }
}
