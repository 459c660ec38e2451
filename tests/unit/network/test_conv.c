/* test_conv: the reference engine against loops written another way, and the gemm engine against the
 * reference over a grid of shapes, for any number of images, in exact buffers. (The Winograd engine:
 * test_winograd.c.) */
#include "common/base/blas.h"
#include "common/base/mem.h"
#include "common/network/conv.h"
#include "common/network/vgg16.h"
#include "tests/unit/compare.h"
#include "tests/unit/guard.h"
#include "tests/unit/unit.h"

#include <omp.h>

static void fill(struct rng *rng, float *values, size_t count, double deviation) {
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(deviation * rng_normal(rng));
}

/* The definition once more, sharing nothing with conv_reference.c: every output is scattered to from every
 * input, pooling is a pass of its own. out[n][H'][W'][K]. */
static void loops(const struct conv_shape *shape, size_t count, const float *in, const float *kernel,
                  const float *bias, float *out) {
    long H = (long)shape->height, W = (long)shape->width;
    size_t C = shape->channels, K = shape->filters, map = (size_t)(H * W) * K;
    double *sum = malloc(map * sizeof *sum);
    assert_non_null(sum);
    for (size_t n = 0; n < count; n++) {
        for (size_t i = 0; i < map; i++)
            sum[i] = (double)bias[i % K];
        for (long y = 0; y < H; y++)
            for (long x = 0; x < W; x++)
                for (size_t c = 0; c < C; c++, in++)
                    for (long r = -1; r <= 1; r++)
                        for (long s = -1; s <= 1; s++)
                            for (size_t k = 0; k < K; k++)
                                if (y - r >= 0 && y - r < H && x - s >= 0 && x - s < W)
                                    sum[(size_t)((y - r) * W + x - s) * K + k] +=
                                        (double)*in *
                                        (double)kernel[((size_t)((r + 1) * 3 + s + 1) * C + c) * K + k];
        for (size_t i = 0; i < map; i++)
            sum[i] = sum[i] > 0 ? sum[i] : 0;
        long step = shape->pool ? 2 : 1;
        for (long y = 0; y + step <= H; y += step)
            for (long x = 0; x + step <= W; x += step)
                for (size_t k = 0; k < K; k++) {
                    double most = 0;
                    for (long i = 0; i < step; i++)
                        for (long j = 0; j < step; j++)
                            most = fmax(most, sum[(size_t)((y + i) * W + x + j) * K + k]);
                    *out++ = (float)most;
                }
    }
    free(sum);
}

static size_t in_count(const struct conv_shape *shape) {
    return shape->height * shape->width * shape->channels;
}

static size_t out_count(const struct conv_shape *shape) {
    return conv_output_side(shape, shape->height) * conv_output_side(shape, shape->width) * shape->filters;
}

/* Runs an engine on exact buffers: outputs of NaN, a workspace of 0xa5, unmapped pages around all. */
static void run(const struct conv_engine *engine, const struct conv_shape *shape, size_t count,
                const float *in, const float *kernel, const float *bias, float *out) {
    struct conv_plan *plan;
    assert_ok(engine->plan_create(&plan, shape, kernel, bias));
    struct guard in_guard = guard_make(count * in_count(shape) * sizeof *in, 0),
                 out_guard = guard_make(count * out_count(shape) * sizeof *out, 0xff),
                 work = guard_make(engine->workspace_nbytes(plan, count), 0xa5);
    assert_true(in_guard.block && out_guard.block && work.block);
    memcpy(in_guard.block, in, in_guard.nbytes);
    engine->run(plan, count, (const float *)(const void *)in_guard.block, (float *)(void *)out_guard.block,
                work.block);
    memcpy(out, out_guard.block, out_guard.nbytes);
    assert_memory_equal(in_guard.block, in, in_guard.nbytes);
    if (!(guard_free(&in_guard) && guard_free(&out_guard) && guard_free(&work)))
        fail_msg("%s wrote outside its buffers: %zux%zu, C %zu, K %zu, pool %d, %zu images", engine->name,
                 shape->height, shape->width, shape->channels, shape->filters, shape->pool, count);
    engine->plan_free(plan);
}

static float *floats(size_t count) {
    float *values = mem_alloc(count + 1, sizeof *values);
    assert_non_null(values);
    return values;
}

/* A layer's random tensors, and the reference's result for `count` images. */
struct layer {
    struct conv_shape shape;
    size_t count;
    float *in, *kernel, *bias, *want, *got;
};

static struct layer layer_make(struct rng *rng, struct conv_shape shape, size_t count) {
    size_t kernel_count = 9 * shape.channels * shape.filters;
    struct layer layer = {shape,
                          count,
                          floats(count * in_count(&shape)),
                          floats(kernel_count),
                          floats(shape.filters),
                          floats(count * out_count(&shape)),
                          floats(count * out_count(&shape))};
    fill(rng, layer.in, count * in_count(&shape), 1);
    fill(rng, layer.kernel, kernel_count, sqrt(2 / (9.0 * (double)shape.channels)));
    fill(rng, layer.bias, shape.filters, 0.5);
    return layer;
}

static void layer_free(struct layer *layer) {
    mem_free(layer->in);
    mem_free(layer->kernel);
    mem_free(layer->bias);
    mem_free(layer->want);
    mem_free(layer->got);
}

static const char *layer_text(const struct layer *layer, char text[128]) {
    const struct conv_shape *shape = &layer->shape;
    snprintf(text, 128, "%zux%zu, C %zu, K %zu, pool %d, %zu images", shape->height, shape->width,
             shape->channels, shape->filters, shape->pool, layer->count);
    return text;
}

static void test_reference(void **state) {
    (void)state;
    struct rng rng;
    unit_rng(&rng, "test_reference");
    static const size_t sides[] = {1, 2, 3, 4, 5, 8}, channels[] = {1, 2, 3, 17}, filters[] = {1, 3, 16};
    char text[128];
    size_t cases = 0;
    for (size_t h = 0; h < 6; h++)
        for (size_t w = 0; w < 6; w++)
            for (size_t c = 0; c < 4; c++)
                for (size_t k = 0; k < 3; k++)
                    for (int pool = 0; pool < 2; pool++) {
                        struct conv_shape shape = {sides[h], sides[w], channels[c], filters[k], pool == 1};
                        if (pool && (shape.height < 2 || shape.width < 2))
                            continue;
                        struct layer layer = layer_make(&rng, shape, 1 + cases++ % 3);
                        size_t count = layer.count * out_count(&shape);
                        loops(&shape, layer.count, layer.in, layer.kernel, layer.bias, layer.want);
                        run(&conv_reference, &shape, layer.count, layer.in, layer.kernel, layer.bias,
                            layer.got);
                        /* Both sum in double: what is left is the last rounding. */
                        assert_true(compare_floats(layer_text(&layer, text), layer.got, layer.want, count,
                                                   2 * (double)FLT_EPSILON, 1e-12));
                        layer_free(&layer);
                    }
    assert_true(cases > 700);
}

/* By hand: one channel of ones, a kernel that only shifts, a bias, and the rectifier. */
static void test_by_hand(void **state) {
    (void)state;
    static const struct conv_engine *const engines[] = {&conv_reference, &conv_gemm};
    static const float in[] = {1, 2, 3, 4, 5, 6}; /* 2 x 3 */
    static const float bias[] = {-3};
    float kernel[9] = {0}, out[6];
    for (int e = 0; e < 2; e++) {
        struct conv_shape shape = {2, 3, 1, 1, false};
        memset(kernel, 0, sizeof kernel);
        kernel[5] = 1; /* [1][2]: the pixel on the right (a correlation, not flipped) */
        run(engines[e], &shape, 1, in, kernel, bias, out);
        static const float shifted[] = {0, 0, 0, 2, 3, 0};
        assert_memory_equal(out, shifted, sizeof shifted);
        for (int i = 0; i < 9; i++)
            kernel[i] = 1;
        run(engines[e], &shape, 1, in, kernel, bias, out);
        static const float sums[] = {9, 18, 13, 9, 18, 13};
        assert_memory_equal(out, sums, sizeof sums);
        shape.pool = true; /* the third column is dropped */
        run(engines[e], &shape, 1, in, kernel, bias, out);
        assert_true(out[0] == 18);
    }
}

/* A NaN must come out as one, not as 0 that looks like a feature. */
static void test_nan(void **state) {
    (void)state;
    static const struct conv_engine *const engines[] = {&conv_reference, &conv_gemm};
    for (int e = 0; e < 2; e++)
        for (int pool = 0; pool < 2; pool++) {
            struct conv_shape shape = {2, 2, 1, 1, pool == 1};
            float in[4] = {1, NAN, 2, 3}, kernel[9], bias[1] = {0}, out[4];
            for (int i = 0; i < 9; i++)
                kernel[i] = 1;
            run(engines[e], &shape, 1, in, kernel, bias, out);
            assert_true(isnan(out[0]));
        }
}

static void test_gemm(void **state) {
    (void)state;
    struct rng rng;
    unit_rng(&rng, "test_gemm");
    static const size_t channels[] = {1, 2, 3, 17, 64}, filters[] = {1, 3, 16, 65}, counts[] = {1, 2, 3};
    enum { MOST = 5 };
    char text[128];
    size_t cases = 0;
    for (size_t h = 1; h <= 9; h++)
        for (size_t w = 1; w <= 9; w++)
            for (size_t c = 0; c < 5; c++)
                for (size_t k = 0; k < 4; k++)
                    for (int pool = 0; pool < 2; pool++) {
                        struct conv_shape shape = {h, w, channels[c], filters[k], pool == 1};
                        if (pool && (h < 2 || w < 2))
                            continue;
                        struct layer layer = layer_make(&rng, shape, MOST);
                        size_t one = out_count(&shape);
                        run(&conv_reference, &shape, MOST, layer.in, layer.kernel, layer.bias, layer.want);
                        run(&conv_gemm, &shape, MOST, layer.in, layer.kernel, layer.bias, layer.got);
                        double tolerance = compare_sum_tolerance(9 * shape.channels),
                               largest = compare_largest(layer.want, MOST * one);
                        assert_true(compare_floats(layer_text(&layer, text), layer.got, layer.want,
                                                   MOST * one, tolerance, tolerance * (largest + 1) / 2));
                        /* The same bits for any number of images; each third case will do. */
                        for (size_t i = 0; i < 3 && cases % 3 == 0; i++) {
                            run(&conv_gemm, &shape, counts[i], layer.in, layer.kernel, layer.bias,
                                layer.want);
                            if (memcmp(layer.want, layer.got, counts[i] * one * sizeof(float)) != 0)
                                fail_msg("%s: other bits for %zu images", text, counts[i]);
                        }
                        layer_free(&layer);
                        cases++;
                    }
    assert_int_equal(cases, 20 * (81 + 64));
}

/* The 13 layers of the network at 32 x 32, and the same bits for any number of images. (Not for any place in
 * the group: OpenBLAS may compute the columns of a product by different kernels. Groups always start at
 * multiples of the cache's block, so an image's place never changes.) */
static void test_real_layers(void **state) {
    (void)state;
    struct rng rng;
    unit_rng(&rng, "test_real_layers");
    enum { MOST = 5 };
    size_t side = 32;
    char text[128];
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        struct conv_shape shape = {side, side, backbone_layers[l].channels, backbone_layers[l].filters,
                                   backbone_layers[l].pool};
        struct layer layer = layer_make(&rng, shape, MOST);
        size_t one = out_count(&shape);
        run(&conv_reference, &shape, 1, layer.in, layer.kernel, layer.bias, layer.want);
        run(&conv_gemm, &shape, MOST, layer.in, layer.kernel, layer.bias, layer.got);
        double tolerance = compare_sum_tolerance(9 * shape.channels),
               largest = compare_largest(layer.want, one);
        assert_true(
            compare_floats(layer_text(&layer, text), layer.got, layer.want, one, 0, tolerance * largest));
        for (size_t count = 1; count < MOST; count++) {
            run(&conv_gemm, &shape, count, layer.in, layer.kernel, layer.bias, layer.want);
            if (memcmp(layer.want, layer.got, count * one * sizeof(float)) != 0)
                fail_msg("%s: other bits for %zu images", text, count);
        }
        layer_free(&layer);
        side = conv_output_side(&shape, side);
    }
    assert_int_equal(side, 1);
}

static void test_no_memory(void **state) {
    (void)state;
    struct conv_shape shape = {4, 4, 3, 5, false};
    float kernel[9 * 3 * 5] = {0}, bias[5] = {0};
    struct conv_plan *plan = NULL;
    long n = 1;
    for (;; n++) {
        mem_test_fail_at(n);
        enum status status = conv_gemm.plan_create(&plan, &shape, kernel, bias);
        mem_test_fail_at(0);
        if (status == STATUS_OK)
            break;
        assert_int_equal(status, STATUS_NO_MEMORY);
        assert_null(plan);
    }
    assert_int_equal(n, 3);
    conv_gemm.plan_free(plan);
}

int main(void) {
    omp_set_num_threads(1);
    if (blas_init(1) != STATUS_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),   cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_nan),         cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_real_layers), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
