/* conv_reference: the convolution as its definition reads, with a double accumulator. It is the judge of the
 * other engines: to be checked by eye, never to be made fast. */
#include "common/network/conv.h"

#include <stdlib.h>
#include <string.h>

struct conv_plan {
    struct conv_shape shape;
    float *kernel; /* [3][3][C][K] */
    float *bias;   /* [K] */
};

static void plan_free(struct conv_plan *plan) {
    free(plan->kernel);
    free(plan->bias);
    free(plan);
}

static enum status plan_create(struct conv_plan **plan_ret, const struct conv_shape *shape,
                               const float *kernel, const float *bias) {
    size_t kernel_nbytes = 9 * shape->channels * shape->filters * sizeof *kernel;
    size_t bias_nbytes = shape->filters * sizeof *bias;
    struct conv_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return status_set_no_memory(sizeof *plan, "convolution");
    plan->shape = *shape;
    plan->kernel = malloc(kernel_nbytes);
    plan->bias = malloc(bias_nbytes);
    if (plan->kernel == NULL || plan->bias == NULL) {
        plan_free(plan);
        return status_set_no_memory(kernel_nbytes, "convolution");
    }
    memcpy(plan->kernel, kernel, kernel_nbytes);
    memcpy(plan->bias, bias, bias_nbytes);
    *plan_ret = plan;
    return STATUS_OK;
}

static size_t workspace_nbytes(const struct conv_plan *plan, size_t count) {
    (void)plan, (void)count;
    return 0;
}

/* Output k of the pixel (y, x) of one image, after bias and rectifier. */
static float pixel(const struct conv_plan *plan, const float *in, size_t y, size_t x, size_t k) {
    size_t H = plan->shape.height, W = plan->shape.width, C = plan->shape.channels, K = plan->shape.filters;
    double sum = plan->bias[k];
    for (size_t r = 0; r < 3; r++)
        for (size_t s = 0; s < 3; s++) {
            if (y + r < 1 || y + r > H || x + s < 1 || x + s > W)
                continue; /* padding */
            const float *from = in + ((y + r - 1) * W + (x + s - 1)) * C;
            for (size_t c = 0; c < C; c++)
                sum += (double)from[c] * (double)plan->kernel[((r * 3 + s) * C + c) * K + k];
        }
    return sum < 0 ? 0 : (float)sum; /* a NaN stays one */
}

static float larger(float a, float b) {
    return a > b ? a : b;
}

static void run(const struct conv_plan *plan, size_t count, const float *in, float *out, void *workspace) {
    const struct conv_shape *shape = &plan->shape;
    size_t rows = conv_output_side(shape, shape->height), columns = conv_output_side(shape, shape->width);
    (void)workspace;
    for (size_t n = 0; n < count; n++, in += shape->height * shape->width * shape->channels)
        for (size_t y = 0; y < rows; y++)
            for (size_t x = 0; x < columns; x++)
                for (size_t k = 0; k < shape->filters; k++)
                    *out++ = !shape->pool ? pixel(plan, in, y, x, k)
                                          : larger(larger(pixel(plan, in, 2 * y, 2 * x, k),
                                                          pixel(plan, in, 2 * y, 2 * x + 1, k)),
                                                   larger(pixel(plan, in, 2 * y + 1, 2 * x, k),
                                                          pixel(plan, in, 2 * y + 1, 2 * x + 1, k)));
}

const struct conv_engine conv_reference = {
    .name = "reference",
    .plan_create = plan_create,
    .plan_free = plan_free,
    .workspace_nbytes = workspace_nbytes,
    .run = run,
};
