/* test_objective: value and slope against a straightforward float64 computation and against differences of the value;
 * the same bits for any number of threads. */
#include "common/base/blas.h"
#include "tests/unit/rows_fixture.h"
#include "train/fit/objective.h"

#include <math.h>
#include <omp.h>

enum { COUNT = 700, DIM = 19, CLASSES = 4, WEIGHTS = DIM * CLASSES + CLASSES };

static const struct head_kernels *kernels;

/* The definition of objective.h, in double; slope may be NULL. */
static double evaluate_slowly(struct data_rows rows, const float *class_weights, double l2,
                              const double *point, double *slope) {
    double value = 0;
    for (size_t i = 0; slope != NULL && i < WEIGHTS; i++)
        slope[i] = i < DIM * CLASSES ? 2 * l2 * point[i] : 0;
    for (size_t r = 0; r < rows.count; r++) {
        double logits[CLASSES], sum = 0,
                                weight = class_weights != NULL ? (double)class_weights[rows.labels[r]] : 1;
        for (size_t c = 0; c < CLASSES; c++) {
            logits[c] = point[DIM * CLASSES + c];
            for (size_t d = 0; d < DIM; d++)
                logits[c] += (double)rows.features[r * rows.stride + d] * point[d * CLASSES + c];
            sum += exp(logits[c]);
        }
        value += weight * (log(sum) - logits[rows.labels[r]]) / COUNT;
        for (size_t c = 0; slope != NULL && c < CLASSES; c++) {
            double error = weight * (exp(logits[c]) / sum - (c == rows.labels[r])) / COUNT;
            for (size_t d = 0; d < DIM; d++)
                slope[d * CLASSES + c] += error * (double)rows.features[r * rows.stride + d];
            slope[DIM * CLASSES + c] += error;
        }
    }
    for (size_t i = 0; i < DIM * CLASSES; i++)
        value += l2 * point[i] * point[i];
    return value;
}

static void test_value_and_slope(void **state) {
    (void)state;
    static const float class_weights[CLASSES] = {0.5f, 2, 1, 1.25f};
    struct data_split data = rows_make(COUNT, DIM, CLASSES, 9);
    struct data_rows rows = data_slice(&data, 0, COUNT);
    struct head head;
    struct rng rng;
    double point[WEIGHTS], slope[WEIGHTS], want[WEIGHTS], first[WEIGHTS], value, accuracy;
    unit_rng(&rng, "test_value_and_slope");
    assert_ok(head_create(&head, kernels, DIM, CLASSES));
    for (size_t i = 0; i < WEIGHTS; i++)
        point[i] = (double)(float)(0.3 * rng_normal(&rng));
    for (int weighted = 0; weighted < 2; weighted++)
        for (int threads = 1; threads <= 3; threads++) {
            struct objective objective;
            const float *weights = weighted ? class_weights : NULL;
            assert_ok(objective_create(&objective, &head, rows, weights, 0.01, threads));
            assert_int_equal(objective.count, WEIGHTS);
            assert_ok(objective_evaluate(&objective, point, slope, &value, &accuracy));
            double wanted = evaluate_slowly(rows, weights, 0.01, point, want);
            assert_true(fabs(value - wanted) <= 1e-6 * wanted);
            assert_true(accuracy >= 0 && accuracy <= 1);
            for (size_t i = 0; i < WEIGHTS; i++)
                assert_true(fabs(slope[i] - want[i]) <= 2e-6);
            if (threads > 1)
                assert_memory_equal(slope, first, sizeof slope);
            memcpy(first, slope, sizeof first);
            objective_free(&objective);
        }
    for (size_t i = 0; i < WEIGHTS; i += 7) { /* the slow computation itself, by differences */
        double moved[WEIGHTS], step = 1e-5;
        memcpy(moved, point, sizeof moved);
        moved[i] += step;
        double above = evaluate_slowly(rows, class_weights, 0.01, moved, NULL);
        moved[i] -= 2 * step;
        double below = evaluate_slowly(rows, class_weights, 0.01, moved, NULL);
        assert_true(fabs((above - below) / (2 * step) - want[i]) <= 1e-7);
    }
    head_free(&head);
    data_unload(&data);
}

static void test_no_memory(void **state) {
    (void)state;
    struct data_split data = rows_make(COUNT, DIM, CLASSES, 9);
    struct objective objective = {0};
    struct head head;
    assert_ok(head_create(&head, kernels, DIM, CLASSES));
    for (long n = 1; n <= 5; n++) {
        mem_test_fail_at(n);
        assert_int_equal(objective_create(&objective, &head, data_slice(&data, 0, COUNT), NULL, 0, 2),
                         STATUS_NO_MEMORY);
    }
    mem_test_fail_at(0);
    head_free(&head);
    data_unload(&data);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_value_and_slope),
                                       cmocka_unit_test(test_no_memory)};
    omp_set_num_threads(1);
    if (blas_init(3) != STATUS_OK || head_kernels_select(&kernels) != STATUS_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
