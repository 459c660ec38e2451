/* test_standardize: train/standardize: means and deviations, constant features, and the folded head. */
#include "tests/unit/unit.h"

#include <float.h>
#include <math.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "train/fit/evaluate.h"
#include "train/fit/standardize.h"

enum { ROWS = 203, FITTED = 150, DIM = 150, CLASSES = 5 };

static const struct head_kernels *kernels;

static struct data_split make_data(void) {
    struct rng rng;
    rng_init(&rng, 4, 4);
    struct data_split data = {.count = ROWS, .dim = DIM, .stride = (DIM + 15) / 16 * 16};
    data.features = mem_alloc(ROWS * data.stride, sizeof(float));
    memset(data.features, 0, ROWS * data.stride * sizeof(float));
    data.labels = mem_alloc(ROWS, sizeof(uint16_t));
    for (size_t r = 0; r < ROWS; r++) {
        data.labels[r] = (uint16_t)rng_below(&rng, CLASSES);
        for (size_t d = 0; d < DIM; d++) {
            double scale = pow(10, (double)(d % 7) - 3), offset = (double)(d % 11) * 3 * scale;
            data.features[r * data.stride + d] = (float)(scale * rng_normal(&rng) + offset);
        }
        data.features[r * data.stride + 20] = 0;                           /* constant */
        data.features[r * data.stride + 21] = 7.3f;                        /* constant */
        data.features[r * data.stride + 22] = r % 2 ? 1 : 1 + FLT_EPSILON; /* the spacing of floats */
        data.features[r * data.stride + 23] = r < FITTED ? 5 : 6;          /* constant in the fitted rows */
        data.features[r * data.stride + 24] = r == 7 ? 1e-3f : 0;          /* nearly always 0: not constant */
    }
    return data;
}

static void test_moments(void **state) {
    (void)state;
    struct data_split data = make_data();
    struct scale got, again;
    assert_ok(standardize_measure(&got, data_slice(&data, 0, FITTED), 1));
    assert_int_equal(got.constant_count, 4);
    for (size_t d = 0; d < DIM; d++) {
        double mean = 0, variance = 0;
        for (size_t r = 0; r < FITTED; r++)
            mean += (double)data.features[r * data.stride + d] / FITTED;
        for (size_t r = 0; r < FITTED; r++)
            variance += pow((double)data.features[r * data.stride + d] - mean, 2) / FITTED;
        assert_true(fabs(got.mean[d] - mean) <= 1e-12 * (fabs(mean) + sqrt(variance)));
        if (d >= 20 && d <= 23)
            assert_true(got.inverse[d] == 0);
        else
            assert_true(fabs(got.inverse[d] * sqrt(variance) - 1) <= 1e-10);
    }
    for (int threads = 2; threads <= 7; threads += 5) {
        assert_ok(standardize_measure(&again, data_slice(&data, 0, FITTED), threads));
        assert_memory_equal(again.mean, got.mean, DIM * sizeof(double));
        assert_memory_equal(again.inverse, got.inverse, DIM * sizeof(double));
        scale_free(&again);
    }
    data_scale(&data, &got, 2);
    for (size_t d = 0; d < DIM; d++) {
        double sum = 0, squares = 0;
        for (size_t r = 0; r < FITTED; r++) {
            sum += (double)data.features[r * data.stride + d];
            squares += pow((double)data.features[r * data.stride + d], 2);
        }
        assert_true(fabs(sum / FITTED) < 1e-6);
        assert_true(fabs(squares / FITTED - (d >= 20 && d <= 23 ? 0 : 1)) < 1e-5);
    }
    assert_true(data.features[(ROWS - 1) * data.stride + 23] == 0); /* also in a row that was not measured */
    for (size_t r = 0; r < ROWS; r++)
        for (size_t d = DIM; d < data.stride; d++)
            assert_true(data.features[r * data.stride + d] == 0);
    scale_free(&got);
    data_unload(&data);
}

static void test_fold(void **state) {
    (void)state;
    struct data_split data = make_data(), scaled = make_data();
    struct scale standardize;
    struct head head;
    struct evaluate_result result;
    static float want[ROWS * CLASSES], got[ROWS * CLASSES], kernel[DIM * CLASSES], bias[CLASSES];
    assert_ok(standardize_measure(&standardize, data_slice(&data, 0, FITTED), 2));
    data_scale(&scaled, &standardize, 2);
    assert_ok(head_create(&head, kernels, DIM, CLASSES));
    head_initialize(&head, 3);
    head.bias[2] = 0.5f;
    assert_ok(evaluate_run(&head, data_slice(&scaled, 0, ROWS), 0, 2, NULL, want, &result));
    assert_ok(standardize_fold(&standardize, &head));
    assert_ok(evaluate_run(&head, data_slice(&data, 0, ROWS), 0, 2, NULL, got, &result));
    for (size_t i = 0; i < ROWS * CLASSES; i++)
        assert_true(fabsf(got[i] - want[i]) <= 2e-5f);
    head_get(&head, kernel, bias);
    for (size_t c = 0; c < CLASSES; c++)
        for (size_t d = 20; d < 24; d++)
            assert_true(kernel[d * CLASSES + c] == 0);
    for (size_t c = CLASSES; c < head.columns; c++)
        assert_true(head.bias[c] == 0);
    head_free(&head);
    scale_free(&standardize);
    data_unload(&scaled);
    data_unload(&data);
}

static void test_not_finite(void **state) {
    (void)state;
    struct data_split data = make_data();
    struct scale standardize = {0};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        data.features[17 * data.stride + 140] = bad[i];
        assert_fails(standardize_measure(&standardize, data_slice(&data, 0, FITTED), 2), STATUS_NOT_FINITE,
                     "row 17 ");
        assert_null(standardize.mean);
    }
    data_unload(&data);
}

static void test_weight_out_of_range(void **state) {
    (void)state;
    struct data_split data = make_data();
    struct scale standardize;
    struct head head;
    assert_ok(standardize_measure(&standardize, data_slice(&data, 0, FITTED), 2));
    assert_ok(head_create(&head, kernels, DIM, CLASSES));
    head_initialize(&head, 3);
    standardize.inverse[9] = 1e60;
    assert_fails(standardize_fold(&standardize, &head), STATUS_NOT_FINITE, "feature 9 ");
    head_free(&head);
    scale_free(&standardize);
    data_unload(&data);
}

static void test_no_memory(void **state) {
    (void)state;
    struct data_split data = make_data();
    struct scale standardize = {0};
    struct head head;
    assert_ok(head_create(&head, kernels, DIM, CLASSES));
    for (int n = 1; n <= 2; n++) {
        mem_test_fail_at(n);
        assert_fails(standardize_measure(&standardize, data_slice(&data, 0, FITTED), 2), STATUS_NO_MEMORY,
                     "");
    }
    mem_test_fail_at(0);
    assert_ok(standardize_measure(&standardize, data_slice(&data, 0, FITTED), 2));
    for (int n = 1; n <= 3; n++) {
        mem_test_fail_at(n);
        assert_fails(standardize_fold(&standardize, &head), STATUS_NO_MEMORY, "");
    }
    mem_test_fail_at(0);
    scale_free(&standardize);
    head_free(&head);
    data_unload(&data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments),    cmocka_unit_test(test_fold),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_weight_out_of_range),
        cmocka_unit_test(test_no_memory),
    };
    if (head_kernels_select(&kernels) != STATUS_OK)
        return 1;
    return cmocka_run_group_tests_name("standardize", tests, NULL, NULL);
}
