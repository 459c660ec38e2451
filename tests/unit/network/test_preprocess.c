/* test_preprocess: the three modes against their constants, for every gray value. */
#include "common/network/preprocess.h"
#include "tests/unit/compare.h"
#include "tests/unit/guard.h"
#include "tests/unit/unit.h"

/* keras.applications.imagenet_utils.preprocess_input, written again. */
static double expected(enum preprocess_mode mode, int x, int c) {
    static const double caffe[] = {103.939, 116.779, 123.68}, mean[] = {0.485, 0.456, 0.406},
                        deviation[] = {0.229, 0.224, 0.225};
    switch (mode) {
    case PREPROCESS_RESCALE:
        return x / 255.0;
    case PREPROCESS_CAFFE:
        return x - caffe[c];
    default:
        return (x / 255.0 - mean[c]) / deviation[c];
    }
}

static void test_values(void **state) {
    (void)state;
    for (int mode = 0; mode < PREPROCESS_MODES; mode++) {
        struct guard gray = guard_make(256, 0), pixels = guard_make(256 * 3 * sizeof(float), 0xff);
        float *out = (float *)(void *)pixels.block;
        for (int x = 0; x < 256; x++)
            gray.block[x] = (uint8_t)(255 - x);
        preprocess_run((enum preprocess_mode)mode, 256, gray.block, out);
        for (int x = 0; x < 256; x++)
            for (int c = 0; c < 3; c++) {
                float want = (float)expected((enum preprocess_mode)mode, 255 - x, c);
                assert_true(out[3 * x + c] == want); /* computed in double and rounded once */
            }
        assert_true(guard_free(&gray) && guard_free(&pixels));
    }
}

static void test_affine(void **state) {
    (void)state;
    for (int mode = 0; mode < PREPROCESS_MODES; mode++) {
        struct preprocess_affine affine = preprocess_affine((enum preprocess_mode)mode);
        for (int c = 0; c < 3; c++)
            for (int x = 0; x < 256; x++) {
                double want = expected((enum preprocess_mode)mode, x, c);
                assert_true(fabs(affine.scale[c] * x + affine.offset[c] - want) <= 1e-13 * (1 + fabs(want)));
            }
        assert_true((affine.offset[0] != 0) == (mode != PREPROCESS_RESCALE));
    }
}

static void test_names(void **state) {
    (void)state;
    assert_string_equal(preprocess_names[PREPROCESS_RESCALE], "rescale");
    assert_string_equal(preprocess_names[PREPROCESS_CAFFE], "caffe");
    assert_string_equal(preprocess_names[PREPROCESS_TORCH], "torch");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_affine),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
