/* conv_gemm: the convolution as a matrix product by OpenBLAS.
 *
 * The 3x3 patch around each pixel is one row of a matrix (im2col), patches[pixels][9 C], and Keras' kernel is
 * already the other, kernel[9 C][K]. To bound memory the pixels are taken in strips: some rows of one image,
 * or, where images are small, several whole images.
 *
 * Which micro-kernel of OpenBLAS computes a row of the product may depend on the row's place and on the
 * number of rows, and so may its last bits. Hence every strip of a layer has the same shape for any count of
 * images (what a last strip lacks is filled with zeros), and a group always starts at its own first strip. */
#include "common/base/blas.h"
#include "common/base/mem.h"
#include "common/base/size.h"
#include "common/network/conv.h"

#include <stdlib.h>
#include <string.h>

enum {
    STRIP_NBYTES = 1 << 20,
    STRIP_PIXELS_MIN = 96
}; /* patches of a strip: about 1 MiB, but not too flat */

struct conv_plan {
    struct conv_shape shape;
    size_t rows;         /* of an image that anybody reads: all, or an even number with pooling */
    size_t strip_rows;   /* rows of one image in a strip; = rows when strip_images > 1 */
    size_t strip_images; /* images in a strip */
    float *kernel;       /* [9 C][K] */
    float *bias;         /* [K] */
};

static void plan_free(struct conv_plan *plan) {
    mem_free(plan->kernel);
    mem_free(plan->bias);
    free(plan);
}

/* Rows of a strip: as many as fit, an even number so that pooling stays inside, at least two. */
static void choose_strip(struct conv_plan *plan) {
    const struct conv_shape *shape = &plan->shape;
    size_t pixels = size_max(STRIP_NBYTES / (9 * shape->channels * sizeof(float)), STRIP_PIXELS_MIN);
    size_t fitting = size_max(pixels / shape->width / 2 * 2, 2);
    plan->rows = shape->pool ? shape->height / 2 * 2 : shape->height;
    plan->strip_rows = size_min(fitting, plan->rows);
    size_t images = pixels / (plan->rows * shape->width);
    plan->strip_images = plan->strip_rows < plan->rows || images < 1 ? 1 : images;
}

static enum status plan_create(struct conv_plan **plan_ret, const struct conv_shape *shape,
                               const float *kernel, const float *bias) {
    size_t kernel_count = 9 * shape->channels * shape->filters;
    struct conv_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return status_set_no_memory(sizeof *plan, "convolution");
    plan->shape = *shape;
    choose_strip(plan);
    plan->kernel = mem_alloc(kernel_count, sizeof *kernel);
    plan->bias = mem_alloc(shape->filters, sizeof *bias);
    if (plan->kernel == NULL || plan->bias == NULL) {
        plan_free(plan);
        return status_set_no_memory(kernel_count * sizeof *kernel, "convolution");
    }
    memcpy(plan->kernel, kernel, kernel_count * sizeof *kernel);
    memcpy(plan->bias, bias, shape->filters * sizeof *bias);
    *plan_ret = plan;
    return STATUS_OK;
}

static size_t strip_pixels(const struct conv_plan *plan) {
    return plan->strip_images * plan->strip_rows * plan->shape.width;
}

static size_t patches_nbytes(const struct conv_plan *plan) {
    return mem_round_up(strip_pixels(plan) * 9 * plan->shape.channels * sizeof(float));
}

/* The patches of a strip, and its product. */
static size_t workspace_nbytes(const struct conv_plan *plan, size_t count) {
    (void)count;
    return patches_nbytes(plan) + mem_round_up(strip_pixels(plan) * plan->shape.filters * sizeof(float));
}

/* patches[rows][W][3][3][C] of rows first..first+rows-1 of one image. Returns the end of what was written. */
static float *im2col(const struct conv_shape *shape, const float *in, size_t first, size_t rows,
                     float *patches) {
    size_t H = shape->height, W = shape->width, C = shape->channels;
    for (size_t y = first; y < first + rows; y++)
        for (size_t x = 0; x < W; x++)
            for (size_t r = 0; r < 3; r++, patches += 3 * C) {
                if (y + r < 1 || y + r > H) {
                    memset(patches, 0, 3 * C * sizeof *patches);
                    continue;
                }
                /* The three pixels of a patch's row lie side by side; at the left and right border one is
                 * padding. */
                const float *row = in + (y + r - 1) * W * C;
                size_t from = x == 0 ? 0 : x - 1, to = x + 1 < W ? x + 2 : W;
                size_t left = x == 0 ? C : 0, middle = (to - from) * C;
                memset(patches, 0, left * sizeof *patches);
                memcpy(patches + left, row + from * C, middle * sizeof *patches);
                memset(patches + left + middle, 0, (3 * C - left - middle) * sizeof *patches);
            }
    return patches;
}

static float rectify(float value) {
    return value < 0 ? 0 : value; /* a NaN stays one */
}

/* product[rows][W][K] of one image -> out, pooled, with bias and rectifier. Both are monotone, so they may come after
 * the maximum. */
static void finish(const struct conv_plan *plan, size_t rows, const float *product, float *out) {
    size_t W = plan->shape.width, K = plan->shape.filters, pixels = rows * W;
    const float *sums = product;
    if (plan->shape.pool) {
        conv_pool(product, rows, W, K, out);
        pixels = rows / 2 * (W / 2);
        sums = out;
    }
    for (size_t i = 0; i < pixels; i++)
        for (size_t k = 0; k < K; k++)
            out[i * K + k] = rectify(sums[i * K + k] + plan->bias[k]);
}

static void run(const struct conv_plan *plan, size_t count, const float *in, float *out, void *workspace) {
    const struct conv_shape *shape = &plan->shape;
    size_t H = shape->height, W = shape->width, C = shape->channels, K = shape->filters;
    size_t out_width = conv_output_side(shape, W), out_height = conv_output_side(shape, H);
    float *patches = workspace, *product = (float *)(void *)((char *)workspace + patches_nbytes(plan));
    size_t pixels = strip_pixels(plan);
    for (size_t n = 0; n < count; n += plan->strip_images) {
        size_t images = size_min(count - n, plan->strip_images);
        for (size_t y = 0; y < plan->rows; y += plan->strip_rows) {
            size_t rows = size_min(plan->rows - y, plan->strip_rows);
            float *end = patches;
            for (size_t i = 0; i < images; i++)
                end = im2col(shape, in + (n + i) * H * W * C, y, rows, end);
            memset(end, 0, (size_t)(patches + pixels * 9 * C - end) * sizeof *end);
            blas_sgemm(CblasNoTrans, CblasNoTrans, pixels, K, 9 * C, 1, patches, 9 * C, plan->kernel, K, 0,
                       product, K);
            for (size_t i = 0; i < images; i++)
                finish(plan, rows, product + i * rows * W * K,
                       out + ((n + i) * out_height + conv_output_side(shape, y)) * out_width * K);
        }
    }
}

const struct conv_engine conv_gemm = {
    .name = "gemm",
    .gray_input = true,
    .plan_create = plan_create,
    .plan_free = plan_free,
    .workspace_nbytes = workspace_nbytes,
    .run = run,
};
