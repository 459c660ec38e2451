/* test_head_kernels: train/kernels, every instruction set that this machine has, against plain loops in double. */
#include "tests/unit/unit.h"

#include <math.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "train/head/head_kernels.h"

static const struct head_kernels *kernels; /* the table under test */

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

enum { ROWS_MAX = 37, ROOM = 48, DIM = 80 }; /* ROOM: rows rounded up to 16 */

static void expect_forward(const float *const rows[], size_t row_count, size_t first, size_t count,
                           const float *w, size_t classes, const float *begin, const float *out) {
    for (size_t r = 0; r < row_count; r++)
        for (size_t c = 0; c < classes; c++) {
            double sum = begin ? (double)begin[c] : 0;
            for (size_t d = 0; d < count; d++)
                sum += (double)rows[r][first + d] * (double)w[head_kernels_index(classes, d, c)];
            expect_near((double)out[head_kernels_index(classes, r, c)], sum, 2e-5, "forward");
        }
    assert_true(isnan(out[(row_count + 15) / 16 * 16 * classes])); /* nothing behind them */
}

static void expect_gradient(const float *const rows[], size_t row_count, size_t first, size_t count,
                            const float *error, size_t classes, const float *before, const float *gradient) {
    for (size_t d = 0; d < count; d++)
        for (size_t c = 0; c < classes; c++) {
            double sum = before ? (double)before[head_kernels_index(classes, d, c)] : 0;
            for (size_t r = 0; r < row_count; r++)
                sum += (double)rows[r][first + d] * (double)error[head_kernels_index(classes, r, c)];
            expect_near((double)gradient[head_kernels_index(classes, d, c)], sum, 2e-5, "gradient");
        }
    assert_true(isnan(gradient[count * classes]));
}

/* Row counts, classes and ranges of features below, at and above what the kernels hold in registers. */
static void test_products(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 1, 0);
    const size_t class_counts[] = {1, 2, 5, 6, 7, 10, 13, 14, 15, 16, 17, 28, 29, 43};
    const size_t counts[] = {16, 32, 48, 80};
    float *x = floats(&rng, ROWS_MAX * DIM, 1);
    const float *rows[ROWS_MAX + HEAD_KERNELS_AHEAD + 1];
    for (size_t r = 0; r < ROWS_MAX + HEAD_KERNELS_AHEAD + 1; r++)
        rows[r] = x + (r * 13 % ROWS_MAX) * DIM; /* in no order */
    size_t cases = 0;
    for (size_t k = 0; k < 14; k++) {
        size_t classes = class_counts[k], weights = DIM * classes;
        float *w = floats(&rng, weights, 1), *start = floats(&rng, classes, 1);
        float *error = floats(&rng, ROOM * classes, 1), *before = floats(&rng, weights, 1);
        float *out = floats(&rng, ROOM * classes + 16, 1), *gradient = floats(&rng, weights + 16, 1);
        for (size_t i = 0; i < 4; i++)
            for (size_t row_count = 1; row_count <= ROWS_MAX; row_count += 4, cases++) {
                size_t count = counts[i], first = DIM - count;
                const float *begin = i % 2 ? start : NULL;
                enum head_kernels_fetch fetch = (enum head_kernels_fetch)(i % 3);
                memset(out, 0xff, (ROOM * classes + 16) * sizeof *out);
                kernels->forward(rows, fetch, row_count, first, count, w, classes, begin, out);
                expect_forward(rows, row_count, first, count, w, classes, begin, out);
                bool add = i >= 2;
                memset(gradient, 0xff, (weights + 16) * sizeof *gradient);
                if (add)
                    memcpy(gradient, before, count * classes * sizeof *gradient);
                kernels->gradient(rows, i % 2 ? rows : NULL, row_count, first, count, error, classes,
                                  gradient, add);
                expect_gradient(rows, row_count, first, count, error, classes, add ? before : NULL, gradient);
            }
        mem_free(w);
        mem_free(start);
        mem_free(error);
        mem_free(before);
        mem_free(out);
        mem_free(gradient);
    }
    assert_int_equal(cases, 14 * 4 * 10);
    mem_free(x);
}

/* The sum over rows leaves out none, and not what fills up the last sixteen. */
static void test_row_sum(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 5, 0);
    const size_t class_counts[] = {1, 7, 10, 16, 17, 43};
    for (size_t k = 0; k < 6; k++) {
        size_t classes = class_counts[k], columns = (classes + 15) / 16 * 16;
        float *error = floats(&rng, ROOM * classes, 1), *start = floats(&rng, columns, 1);
        float *sums = floats(&rng, columns, 1);
        for (size_t row_count = 1; row_count <= ROWS_MAX; row_count += 3) {
            bool add = row_count % 2;
            memcpy(sums, start, columns * sizeof *sums);
            for (size_t r = row_count; r < ROOM; r++)
                for (size_t c = 0; c < classes; c++)
                    error[head_kernels_index(classes, r, c)] = r < (row_count + 15) / 16 * 16 ? 0 : NAN;
            for (size_t r = 0; r < row_count; r++)
                for (size_t c = 0; c < classes; c++)
                    error[head_kernels_index(classes, r, c)] = (float)rng_normal(&rng);
            kernels->row_sum(row_count, classes, error, sums, add);
            for (size_t c = 0; c < classes; c++) {
                double sum = add ? (double)start[c] : 0;
                for (size_t r = 0; r < row_count; r++)
                    sum += (double)error[head_kernels_index(classes, r, c)];
                expect_near((double)sums[c], sum, 1e-5, "row_sum");
            }
        }
        mem_free(error);
        mem_free(start);
        mem_free(sums);
    }
}

/* The products and slopes of a row and a class do not depend on which others stand beside them: bit for bit. */
static void test_neighbours_do_not_matter(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 2, 0);
    enum { CLASSES = 43 };
    float *x = floats(&rng, ROWS_MAX * DIM, 1), *w = floats(&rng, DIM * CLASSES, 1);
    float *error = floats(&rng, ROOM * CLASSES, 1), *one_w = floats(&rng, DIM, 1);
    float *all = floats(&rng, ROOM * CLASSES, 1), *slopes = floats(&rng, DIM * CLASSES, 1);
    float *one = floats(&rng, ROOM, 1), *one_slope = floats(&rng, DIM, 1), *one_error = floats(&rng, ROOM, 1);
    const float *rows[ROWS_MAX];
    for (size_t r = 0; r < ROWS_MAX; r++)
        rows[r] = x + r * DIM;
    kernels->forward(rows, HEAD_KERNELS_FETCH_NONE, ROWS_MAX, 0, DIM, w, CLASSES, NULL, all);
    kernels->gradient(rows, NULL, ROWS_MAX, 0, DIM, error, CLASSES, slopes, false);
    for (size_t c = 0; c < CLASSES; c++) {
        for (size_t d = 0; d < DIM; d++)
            one_w[d] = w[head_kernels_index(CLASSES, d, c)];
        for (size_t r = 0; r < ROWS_MAX; r++) {
            kernels->forward(rows + r, HEAD_KERNELS_FETCH_NONE, 1, 0, DIM, one_w, 1, NULL, one);
            assert_true(one[0] == all[head_kernels_index(CLASSES, r, c)]);
            one_error[r] = error[head_kernels_index(CLASSES, r, c)];
        }
        kernels->gradient(rows, NULL, ROWS_MAX, 0, DIM, one_error, 1, one_slope, false);
        for (size_t d = 0; d < DIM; d++)
            assert_true(one_slope[d] == slopes[head_kernels_index(CLASSES, d, c)]);
    }
    mem_free(x);
    mem_free(w);
    mem_free(error);
    mem_free(one_w);
    mem_free(all);
    mem_free(slopes);
    mem_free(one);
    mem_free(one_slope);
    mem_free(one_error);
}

/* A row's softmax in double, from its logits in float: their difference rounds in float, as the kernel's does. */
static void plain_softmax(const float *z, size_t classes, double *p, size_t *best_ret, double *log_sum_ret) {
    double total = 0;
    size_t best = 0;
    for (size_t c = 1; c < classes; c++)
        best = z[c] > z[best] ? c : best;
    for (size_t c = 0; c < classes; c++)
        total += p[c] = exp((double)(z[c] - z[best]));
    for (size_t c = 0; c < classes; c++)
        p[c] /= total;
    *best_ret = best;
    *log_sum_ret = log(total) + (double)z[best];
}

/* Logits in two parts, classes below and above a panel, scales from tiny to enormous; then the errors. */
static void test_softmax(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 3, 0);
    const size_t class_counts[] = {1, 2, 10, 16, 17, 100}, row_counts[] = {ROWS_MAX, 1, 16, 32, 35, 33};
    const double scales[] = {1e-6, 1, 30, 1e4};
    for (size_t k = 0; k < 6; k++) {
        size_t classes = class_counts[k], count = row_counts[k], stride = ROOM * classes;
        for (size_t s = 0; s < 4; s++) {
            float *parts = floats(&rng, 2 * stride, scales[s]), *got = floats(&rng, stride, 1);
            float weights[ROWS_MAX], *row_weights = s % 2 ? weights : NULL;
            uint16_t labels[ROWS_MAX], predicted[ROWS_MAX];
            double want_loss = 0, want[ROWS_MAX][100];
            for (size_t r = 0; r < count; r++) {
                labels[r] = (uint16_t)rng_below(&rng, classes);
                weights[r] = (float)rng_uniform(&rng);
            }
            for (size_t r = count; r < ROOM; r++) /* what fills up the last sixteen does not matter */
                for (size_t c = 0; c < classes; c++)
                    parts[head_kernels_index(classes, r, c)] = NAN;
            double loss =
                kernels->softmax(parts, 2, stride, count, classes, labels, row_weights, got, predicted);
            for (size_t r = 0; r < count; r++) {
                float z[100];
                size_t best;
                double log_sum;
                for (size_t c = 0; c < classes; c++)
                    z[c] = parts[head_kernels_index(classes, r, c)] +
                           parts[stride + head_kernels_index(classes, r, c)];
                plain_softmax(z, classes, want[r], &best, &log_sum);
                want_loss += (row_weights ? (double)weights[r] : 1) * (log_sum - (double)z[labels[r]]);
                assert_int_equal(predicted[r], best);
                for (size_t c = 0; c < classes; c++)
                    expect_near((double)got[head_kernels_index(classes, r, c)], want[r][c],
                                4e-7 * want[r][c] + 1e-37, "softmax");
            }
            expect_near(loss, want_loss, 1e-6 * (1 + fabs(want_loss)), "loss");
            kernels->error(count, classes, labels, row_weights, 0.25f, got);
            for (size_t r = 0; r < (count + 15) / 16 * 16; r++)
                for (size_t c = 0; c < classes; c++) {
                    double weight = r >= count ? 0 : row_weights ? (double)weights[r] : 1;
                    double slope = r >= count ? 0 : 0.25 * weight * (want[r][c] - (c == labels[r]));
                    expect_near((double)got[head_kernels_index(classes, r, c)], slope, 2e-7 * weight,
                                "error");
                }
            mem_free(parts);
            mem_free(got);
        }
    }
}

/* One row, whose sixteen logits are every sixteenth of z. */
static double softmax_of(float *z, uint16_t label, float *p, uint16_t *predicted) {
    return kernels->softmax(z, 1, 0, 1, 16, &label, NULL, p, predicted);
}

static void test_softmax_corners(void **state) {
    (void)state;
    _Alignas(64) float z[256], p[256];
    uint16_t predicted = 99;
    for (int c = 0; c < 256; c++)
        z[c] = 1e4f; /* all equal: the first wins, each has 1/16 */
    double loss = softmax_of(z, 3, p, &predicted);
    expect_near(loss, log(16), 1e-6, "loss of equals");
    expect_near((double)p[15 * 16], 1.0 / 16, 1e-8, "probability of equals");
    assert_int_equal(predicted, 0);
    z[7 * 16] = z[11 * 16] = 2e4f; /* a tie at the top */
    loss = softmax_of(z, 3, p, &predicted);
    expect_near(loss, 1e4 + log(2), 1e-3, "loss far from the top");
    assert_int_equal(predicted, 7);
    expect_near((double)p[7 * 16], 0.5, 1e-7, "probability of a tie");
    z[0] = NAN;
    loss = softmax_of(z, 3, p, &predicted);
    assert_true(isnan(loss)); /* never hidden */
    z[0] = INFINITY;
    loss = softmax_of(z, 3, p, &predicted);
    assert_false(isfinite(loss));
    assert_true(predicted < 16);
    for (int c = 0; c < 256; c++)
        p[c] = 1e4f; /* in place, as when there is one part */
    expect_near(softmax_of(p, 3, p, &predicted), log(16), 1e-6, "loss in place");
    expect_near((double)p[15 * 16], 1.0 / 16, 1e-8, "probability in place");
}

/* So many classes and rows that the product of the sums would overflow, were it kept too long. */
static void test_softmax_many(void **state) {
    (void)state;
    enum { CLASSES = 10000, ROWS = 256 };
    float *z = mem_alloc(ROWS * CLASSES, sizeof *z), *p = mem_alloc(ROWS * CLASSES, sizeof *p);
    uint16_t labels[ROWS] = {0}, predicted[ROWS];
    assert_true(z != NULL && p != NULL);
    memset(z, 0, ROWS * CLASSES * sizeof *z);
    double loss = kernels->softmax(z, 1, 0, ROWS, CLASSES, labels, NULL, p, predicted);
    expect_near(loss, ROWS * log(CLASSES), 1e-9 * loss, "loss of many");
    mem_free(z);
    mem_free(p);
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
    const struct head_kernels *chosen = NULL;
    setenv("VGGCACHE_ISA", "sse9", 1);
    assert_int_equal(head_kernels_select(&chosen), STATUS_USAGE);
    assert_null(chosen);
    assert_non_null(strstr(status_message(), "VGGCACHE_ISA=sse9"));
    setenv("VGGCACHE_ISA", "generic", 1);
    assert_int_equal(head_kernels_select(&chosen), STATUS_OK);
    assert_string_equal(chosen->isa, "generic");
    unsetenv("VGGCACHE_ISA");
    assert_int_equal(head_kernels_select(&chosen), STATUS_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),        cmocka_unit_test(test_neighbours_do_not_matter),
        cmocka_unit_test(test_row_sum),         cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_softmax_corners), cmocka_unit_test(test_softmax_many),
        cmocka_unit_test(test_square_sum),
    };
    static const char *const names[] = {"generic", "avx2", "avx512"};
    const struct CMUnitTest choice[] = {cmocka_unit_test(test_select)};
    int failed = cmocka_run_group_tests(choice, NULL, NULL), ran = 0;
    for (size_t i = 0; i < 3; i++) {
        setenv("VGGCACHE_ISA", names[i], 1);
        enum status status = head_kernels_select(&kernels);
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
