/* test_vgg16: the table of layers, the two engines through the whole network on 32 x 32 images, groups of any
 * size with the same bits, and buffers to the byte. */
#include "common/base/blas.h"
#include "common/base/mem.h"
#include "common/network/vgg16.h"
#include "common/network/weights.h"
#include "tests/unit/compare.h"
#include "tests/unit/guard.h"
#include "tests/unit/unit.h"

#include <omp.h>

enum { SIZE = 32, IMAGES = 7, DIM = 512 };

static struct weights weights;
static uint8_t gray[IMAGES][SIZE * SIZE];

static int prepare(void **state) {
    (void)state;
    struct rng rng;
    unit_rng(&rng, "test_vgg16");
    if (weights_load(&weights, "random:3") != STATUS_OK)
        return 1;
    for (size_t l = 0; l < BACKBONE_CONVS; l++) /* biases that matter */
        for (size_t k = 0; k < backbone_layers[l].filters; k++)
            weights.tensors.bias[l][k] = (float)(0.1 * rng_normal(&rng));
    for (int n = 0; n < IMAGES; n++)
        for (int i = 0; i < SIZE * SIZE; i++) /* noise, a black one, a white one, and some with margins */
            gray[n][i] = (uint8_t)(n == 1                                     ? 0
                                   : n == 2                                   ? 255
                                   : n > 3 && (i % SIZE < 8 || i / SIZE > 20) ? 0
                                                                              : rng_below(&rng, 256));
    return 0;
}

static int cleanup(void **state) {
    (void)state;
    weights_free(&weights);
    return 0;
}

static void test_table(void **state) {
    (void)state;
    size_t parameters = 0, pools = 0, channels = 3;
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        const struct backbone_layer *layer = &backbone_layers[l];
        assert_int_equal(layer->channels, channels);
        channels = layer->filters;
        parameters += 9 * layer->channels * layer->filters + layer->filters;
        char name[16];
        size_t first = l;
        while (first > 0 && !backbone_layers[first - 1].pool)
            first--;
        snprintf(name, sizeof name, "block%zu_conv%zu", pools + 1, l - first + 1);
        assert_string_equal(layer->name, name);
        pools += layer->pool;
    }
    assert_int_equal(parameters, 14714688); /* design.md, section 1 */
    assert_int_equal(pools, 5);
    assert_int_equal(channels, BACKBONE_FEATURE_CHANNELS);
    assert_true(backbone_layers[BACKBONE_CONVS - 1].pool);
}

static void test_dim(void **state) {
    (void)state;
    static const size_t cases[][2] = {{32, 512},  {56, 512},  {63, 512},    {64, 2048},
                                      {75, 2048}, {96, 4608}, {224, 25088}, {4096, 8388608}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(backbone_dim(cases[i][0]), cases[i][1]);
        size_t side = cases[i][0]; /* five halvings, rounded down each time, are one division by 32 */
        for (int pool = 0; pool < 5; pool++)
            side /= 2;
        assert_int_equal(side * side * 512, cases[i][1]);
    }
}

static void run(const struct vgg16 *vgg16, size_t first, size_t count, float *features) {
    struct guard in = guard_make(count * SIZE * SIZE, 0), out = guard_make(count * DIM * sizeof(float), 0xff),
                 work = guard_make(vgg16_workspace_nbytes(vgg16, count), 0xa5);
    assert_true(in.block && out.block && work.block);
    memcpy(in.block, gray[first], in.nbytes);
    vgg16_run(vgg16, count, in.block, (float *)(void *)out.block, work.block);
    memcpy(features, out.block, out.nbytes);
    assert_memory_equal(in.block, gray[first], in.nbytes);
    assert_true(guard_free(&in) && guard_free(&out) && guard_free(&work));
}

/* gemm (gray folded into one or two channels) against the reference (three channels, double sums). */
static void test_engines(void **state) {
    (void)state;
    static float want[IMAGES][DIM], got[IMAGES][DIM], part[IMAGES][DIM];
    for (int mode = 0; mode < PREPROCESS_MODES; mode++) {
        struct vgg16 *reference, *gemm;
        assert_ok(
            vgg16_create(&reference, &conv_reference, SIZE, (enum preprocess_mode)mode, &weights.tensors));
        assert_ok(vgg16_create(&gemm, &conv_gemm, SIZE, (enum preprocess_mode)mode, &weights.tensors));
        run(gemm, 0, IMAGES, got[0]);
        for (size_t n = 0; n < IMAGES; n += mode == 0 ? 1 : 3) {
            run(reference, n, 1, want[n]);
            assert_true(compare_norm(preprocess_names[mode], got[n], want[n], DIM, 5e-6));
            assert_true(compare_largest(want[n], DIM) > 1e-3); /* there is something to compare */
        }
        static const size_t counts[] = {1, 2, 3, 7};
        for (size_t c = 0; c < 4; c++) { /* from the group's start: see test_conv.c */
            run(gemm, 0, counts[c], part[0]);
            if (memcmp(part, got, counts[c] * sizeof part[0]) != 0)
                fail_msg("%s: other bits for %zu images", preprocess_names[mode], counts[c]);
        }
        if (mode == 0) { /* the reference does not care for groups either */
            run(reference, 0, 2, part[0]);
            assert_memory_equal(part[0], want[0], sizeof part[0]);
            assert_memory_equal(part[1], want[1], sizeof part[1]);
        }
        vgg16_free(reference);
        vgg16_free(gemm);
    }
    vgg16_free(NULL);
}

/* Two images differ, and so do their features; the modes differ too. */
static void test_not_constant(void **state) {
    (void)state;
    static float features[PREPROCESS_MODES][2][DIM];
    for (int mode = 0; mode < PREPROCESS_MODES; mode++) {
        struct vgg16 *gemm;
        assert_ok(vgg16_create(&gemm, &conv_gemm, SIZE, (enum preprocess_mode)mode, &weights.tensors));
        run(gemm, 0, 2, features[mode][0]);
        vgg16_free(gemm);
        assert_memory_not_equal(features[mode][0], features[mode][1], sizeof features[0][0]);
    }
    assert_memory_not_equal(features[0][0], features[1][0], sizeof features[0][0]);
    assert_memory_not_equal(features[0][0], features[2][0], sizeof features[0][0]);
    assert_memory_not_equal(features[1][0], features[2][0], sizeof features[0][0]);
}

static void test_no_memory(void **state) {
    (void)state;
    struct vgg16 *vgg16 = NULL;
    long n = 1;
    for (;; n++) {
        mem_test_fail_at(n);
        enum status status = vgg16_create(&vgg16, &conv_gemm, SIZE, PREPROCESS_CAFFE, &weights.tensors);
        mem_test_fail_at(0);
        if (status == STATUS_OK)
            break;
        assert_int_equal(status, STATUS_NO_MEMORY);
        assert_null(vgg16);
    }
    assert_int_equal(n, 2 * BACKBONE_CONVS + 1);
    vgg16_free(vgg16);
}

int main(void) {
    omp_set_num_threads(1);
    if (blas_init(1) != STATUS_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),        cmocka_unit_test(test_dim),       cmocka_unit_test(test_engines),
        cmocka_unit_test(test_not_constant), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, prepare, cleanup);
}
