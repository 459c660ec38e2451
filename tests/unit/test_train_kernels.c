/* test_train_kernels: train/kernels, every instruction set that this machine has, against plain loops in
 * double. */
#include "tests/unit/unit.h"

#include <math.h>

#include "common/mem.h"
#include "common/rng.h"
#include "train/kernels.h"

static const struct kernels *kernels; /* the table under test */

static float *floats(struct rng *rng, size_t count, double scale) {
    float *values = mem_alloc(count, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(rng_normal(rng) * scale);
    return values;
}

/* NaN never passes. */
static void expect_near(double got, double want, double tolerance, const char *what) {
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s, %s: %.9g instead of %.9g", kernels->isa, what, got, want);
}

enum { ROWS_MAX = 21, DIM = 80 };

/* Row counts, classes and ranges of features below, at and above what the kernels hold in registers. */
static void test_products(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 1, 0);
    const size_t class_counts[] = {1, 2, 5, 6, 7, 10, 13, 14, 15, 16, 17, 28, 29, 43};
    const size_t counts[] = {16, 32, 48, 80};
    float *x = floats(&rng, ROWS_MAX * DIM, 1);
    const float *rows[ROWS_MAX];
    for (size_t r = 0; r < ROWS_MAX; r++)
        rows[r] = x + (r * 13 % ROWS_MAX) * DIM; /* in no order */
    size_t cases = 0;
    for (size_t k = 0; k < 14; k++) {
        size_t classes = class_counts[k], stride = (classes + 15) / 16 * 16, weights = DIM * classes;
        float *w = floats(&rng, weights, 1), *start = floats(&rng, classes, 1);
        float *error = floats(&rng, ROWS_MAX * stride, 1), *before = floats(&rng, weights, 1);
        float *out = floats(&rng, (ROWS_MAX + 1) * stride, 1), *gradient = floats(&rng, weights + 16, 1);
        for (size_t i = 0; i < 4; i++)
            for (size_t row_count = 1; row_count <= ROWS_MAX; row_count += 4, cases++) {
                size_t count = counts[i], first = DIM - count;
                const float *begin = i % 2 ? start : NULL;
                memset(out, 0xff, (ROWS_MAX + 1) * stride * sizeof *out);
                kernels->forward(rows, i % 2 ? NULL : rows, row_count, first, count, w, classes, begin, out,
                                 stride);
                for (size_t r = 0; r < row_count; r++)
                    for (size_t c = 0; c < stride; c++) {
                        if (c >= classes) { /* nothing beside its columns */
                            assert_true(isnan(out[r * stride + c]));
                            continue;
                        }
                        double sum = begin ? (double)begin[c] : 0;
                        for (size_t d = 0; d < count; d++)
                            sum +=
                                (double)rows[r][first + d] * (double)w[(d / 16 * classes + c) * 16 + d % 16];
                        expect_near((double)out[r * stride + c], sum, 2e-5, "forward");
                    }
                assert_true(isnan(out[row_count * stride])); /* nor its rows */
                bool add = i >= 2;
                memset(gradient, 0xff, (weights + 16) * sizeof *gradient);
                if (add)
                    memcpy(gradient, before, count * classes * sizeof *gradient);
                kernels->gradient(rows, i % 2 ? rows : NULL, row_count, first, count, error, stride, classes,
                                  gradient, add);
                for (size_t d = 0; d < count; d++)
                    for (size_t c = 0; c < classes; c++) {
                        size_t at = (d / 16 * classes + c) * 16 + d % 16;
                        double sum = add ? (double)before[at] : 0;
                        for (size_t r = 0; r < row_count; r++)
                            sum += (double)rows[r][first + d] * (double)error[r * stride + c];
                        expect_near((double)gradient[at], sum, 2e-5, "gradient");
                    }
                assert_true(isnan(gradient[count * classes]));
                memcpy(out, start, classes * sizeof *out);
                for (size_t c = classes; c < stride; c++)
                    out[c] = 0;
                kernels->column_sum(row_count, stride, error, out, add);
                for (size_t c = 0; c < classes; c++) {
                    double sum = add ? (double)start[c] : 0;
                    for (size_t r = 0; r < row_count; r++)
                        sum += (double)error[r * stride + c];
                    expect_near((double)out[c], sum, 1e-5, "column_sum");
                }
            }
        mem_free(w);
        mem_free(start);
        mem_free(error);
        mem_free(before);
        mem_free(out);
        mem_free(gradient);
    }
    assert_int_equal(cases, 14 * 4 * 6);
    mem_free(x);
}

/* The products and slopes of a row and a class do not depend on which others stand beside them: bit for bit.
 */
static void test_neighbours_do_not_matter(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 2, 0);
    enum { CLASSES = 43, STRIDE = 48 };
    float *x = floats(&rng, ROWS_MAX * DIM, 1), *w = floats(&rng, DIM * CLASSES, 1);
    float *error = floats(&rng, ROWS_MAX * STRIDE, 1), *one_w = floats(&rng, DIM, 1);
    float *all = floats(&rng, ROWS_MAX * STRIDE, 1), *slopes = floats(&rng, DIM * CLASSES, 1);
    float *one = floats(&rng, 16, 1), *one_slope = floats(&rng, DIM, 1);
    const float *rows[ROWS_MAX];
    for (size_t r = 0; r < ROWS_MAX; r++)
        rows[r] = x + r * DIM;
    kernels->forward(rows, NULL, ROWS_MAX, 0, DIM, w, CLASSES, NULL, all, STRIDE);
    kernels->gradient(rows, NULL, ROWS_MAX, 0, DIM, error, STRIDE, CLASSES, slopes, false);
    for (size_t c = 0; c < CLASSES; c++) {
        for (size_t d = 0; d < DIM; d++)
            one_w[d] = w[(d / 16 * CLASSES + c) * 16 + d % 16];
        for (size_t r = 0; r < ROWS_MAX; r++) {
            kernels->forward(rows + r, NULL, 1, 0, DIM, one_w, 1, NULL, one, 16);
            assert_true(one[0] == all[r * STRIDE + c]);
        }
        kernels->gradient(rows, NULL, ROWS_MAX, 0, DIM, error + c, STRIDE, 1, one_slope, false);
        for (size_t d = 0; d < DIM; d++)
            assert_true(one_slope[d] == slopes[(d / 16 * CLASSES + c) * 16 + d % 16]);
    }
    mem_free(x);
    mem_free(w);
    mem_free(error);
    mem_free(one_w);
    mem_free(all);
    mem_free(slopes);
    mem_free(one);
    mem_free(one_slope);
}

/* Logits in two parts, classes below and above a panel, scales from tiny to enormous. */
static void test_softmax(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 3, 0);
    const size_t class_counts[] = {1, 2, 10, 16, 17, 100};
    const double scales[] = {1e-6, 1, 30, 1e4};
    for (size_t k = 0; k < 6; k++) {
        size_t classes = class_counts[k], columns = (classes + 15) / 16 * 16;
        for (size_t s = 0; s < 4; s++) {
            float *parts = floats(&rng, 2 * ROWS_MAX * columns, scales[s]);
            float *p = mem_alloc(ROWS_MAX * columns, sizeof *p);
            uint16_t labels[ROWS_MAX], predicted[ROWS_MAX];
            double want_loss = 0;
            for (size_t r = 0; r < ROWS_MAX; r++) {
                labels[r] = (uint16_t)rng_below(&rng, classes);
                for (size_t c = classes; c < columns; c++) {
                    parts[r * columns + c] = KERNELS_NEVER;
                    parts[(ROWS_MAX + r) * columns + c] = 0;
                }
            }
            double loss = kernels->softmax(parts, 2, ROWS_MAX * columns, ROWS_MAX, columns, labels, 0.25f, p,
                                           predicted);
            for (size_t r = 0; r < ROWS_MAX; r++) {
                double top = -INFINITY, total = 0;
                size_t best = 0;
                float z[112];
                for (size_t c = 0; c < classes; c++) {
                    z[c] = parts[r * columns + c] + parts[(ROWS_MAX + r) * columns + c];
                    if ((double)z[c] > top) {
                        top = (double)z[c];
                        best = c;
                    }
                }
                for (size_t c = 0; c < classes; c++)
                    total += exp((double)(z[c] - (float)top)); /* the difference rounds in float */
                want_loss += log(total) + top - (double)z[labels[r]];
                assert_int_equal(predicted[r], best);
                for (size_t c = 0; c < columns; c++) {
                    double want = c < classes ? exp((double)(z[c] - (float)top)) / total : 0;
                    expect_near((double)p[r * columns + c], 0.25 * want, 0.25 * (4e-7 * want + 1e-37),
                                "softmax");
                }
            }
            expect_near(loss, want_loss, 1e-6 * (1 + fabs(want_loss)), "loss");
            mem_free(parts);
            mem_free(p);
        }
    }
}

static void test_softmax_corners(void **state) {
    (void)state;
    _Alignas(64) float z[16], p[16];
    uint16_t label = 3, predicted = 99;
    for (int c = 0; c < 16; c++)
        z[c] = 1e4f; /* all equal: the first wins, each has 1/16 */
    double loss = kernels->softmax(z, 1, 16, 1, 16, &label, 1, p, &predicted);
    expect_near(loss, log(16), 1e-6, "loss of equals");
    expect_near((double)p[15], 1.0 / 16, 1e-8, "probability of equals");
    assert_int_equal(predicted, 0);
    z[7] = z[11] = 2e4f; /* a tie at the top */
    loss = kernels->softmax(z, 1, 16, 1, 16, &label, 1, p, &predicted);
    expect_near(loss, 1e4 + log(2), 1e-3, "loss far from the top");
    assert_int_equal(predicted, 7);
    expect_near((double)p[7], 0.5, 1e-7, "probability of a tie");
    z[0] = NAN;
    loss = kernels->softmax(z, 1, 16, 1, 16, &label, 1, p, &predicted);
    assert_true(isnan(loss)); /* never hidden */
    z[0] = INFINITY;
    loss = kernels->softmax(z, 1, 16, 1, 16, &label, 1, p, &predicted);
    assert_false(isfinite(loss));
    assert_true(predicted < 16);
}

static void test_square_sum(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 4, 0);
    for (size_t count = 16; count <= 160; count += 16) {
        float *w = floats(&rng, count, 1);
        double want = 0;
        for (size_t i = 0; i < count; i++)
            want += (double)w[i] * (double)w[i];
        expect_near(kernels->square_sum(count, w), want, 1e-5 * want, "square_sum");
        mem_free(w);
    }
}

/* The choice by name, by machine, and of no such thing. */
static void test_select(void **state) {
    (void)state;
    const struct kernels *chosen = NULL;
    setenv("VGGCACHE_ISA", "sse9", 1);
    assert_int_equal(kernels_select(&chosen), STATUS_USAGE);
    assert_null(chosen);
    assert_non_null(strstr(status_message(), "VGGCACHE_ISA=sse9"));
    setenv("VGGCACHE_ISA", "generic", 1);
    assert_int_equal(kernels_select(&chosen), STATUS_OK);
    assert_string_equal(chosen->isa, "generic");
    unsetenv("VGGCACHE_ISA");
    assert_int_equal(kernels_select(&chosen), STATUS_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),   cmocka_unit_test(test_neighbours_do_not_matter),
        cmocka_unit_test(test_softmax),    cmocka_unit_test(test_softmax_corners),
        cmocka_unit_test(test_square_sum),
    };
    static const char *const names[] = {"generic", "avx2", "avx512"};
    const struct CMUnitTest choice[] = {cmocka_unit_test(test_select)};
    int failed = cmocka_run_group_tests(choice, NULL, NULL), ran = 0;
    for (size_t i = 0; i < 3; i++) {
        setenv("VGGCACHE_ISA", names[i], 1);
        enum status status = kernels_select(&kernels);
        if (status == STATUS_UNSUPPORTED) {
            printf("SKIP: %s is not on this machine\n", names[i]);
            continue;
        }
        printf("kernels: %s\n", names[i]);
        failed += status != STATUS_OK || cmocka_run_group_tests_name(names[i], tests, NULL, NULL) != 0;
        ran++;
    }
    return failed != 0 || ran == 0;
}
