/* test_optim: train/optim against steps computed by hand from Keras' formulas. */
#include "tests/unit/unit.h"

#include <math.h>

#include "common/base/mem.h"
#include "train/fit/optim.h"

static const struct head_kernels *kernels;

static void expect_near(double got, double want, const char *what) {
    if (!(fabs(got - want) <= 3e-7 * fabs(want)))
        fail_msg("%s, %s: %.9g instead of %.9g", kernels->isa, what, got, want);
}

/* Steps 32 weights of 1 with the slopes g1 and then g2, of which only 16..31 are in the range, and compares. */
static void run(struct optim_settings settings, bool penalized, double g1, double g2, double w1, double w2,
                const char *what) {
    struct optim optim;
    assert_int_equal(optim_create(&optim, &settings, 32), STATUS_OK);
    _Alignas(64) float weights[32], gradient[32];
    for (int i = 0; i < 32; i++)
        weights[i] = 1;
    const double slopes[] = {g1, g2}, wants[] = {w1, w2};
    for (size_t t = 1; t <= 2; t++) {
        for (int i = 0; i < 32; i++)
            gradient[i] = (float)slopes[t - 1];
        optim_step(&optim, kernels, t, 16, 16, penalized, gradient, weights);
        for (int i = 0; i < 32; i++)
            expect_near((double)weights[i], i < 16 ? 1 : wants[t - 1], what);
    }
    optim_free(&optim);
}

/* rate 0.1; the numbers are those of the formula in double precision. */
static void test_adam(void **state) {
    (void)state;
    struct optim_settings adam = {.kind = OPTIM_ADAM, .rate = 0.1};
    run(adam, true, 0.5, -0.25, 0.900000632451532, 0.8733670792079218, "adam");
}

/* With slopes near epsilon it shows that epsilon stands outside the bias correction: inside, as PyTorch has
 * it, the first step would be 0.0909, not 0.0240. */
static void test_adam_epsilon(void **state) {
    (void)state;
    struct optim_settings adam = {.kind = OPTIM_ADAM, .rate = 0.1};
    run(adam, true, 1e-6, 1e-6, 0.9759746926647958, 0.9450783324445531, "adam's epsilon");
}

static void test_sgd(void **state) {
    (void)state;
    struct optim_settings sgd = {.kind = OPTIM_SGD, .rate = 0.1};
    run(sgd, true, 0.5, -0.25, 0.95, 0.975, "sgd");
}

/* u = -0.05, w = 0.95; u = 0.9 * -0.05 + 0.025 = -0.02, w = 0.93. */
static void test_momentum(void **state) {
    (void)state;
    struct optim_settings sgd = {.kind = OPTIM_SGD, .rate = 0.1, .momentum = 0.9};
    run(sgd, true, 0.5, -0.25, 0.95, 0.93, "momentum");
}

/* u = -0.05, w = 1 - 0.045 - 0.05 = 0.905; u = -0.02, w = 0.905 - 0.018 + 0.025 = 0.912. */
static void test_nesterov(void **state) {
    (void)state;
    struct optim_settings sgd = {.kind = OPTIM_SGD, .rate = 0.1, .momentum = 0.9, .nesterov = true};
    run(sgd, true, 0.5, -0.25, 0.905, 0.912, "nesterov");
}

/* l2 = 0.25 adds 0.5 * w to the slope: 1 - 0.1 * (0.5 + 0.5) = 0.9; 0.9 - 0.1 * (-0.25 + 0.45) = 0.88. The
 * bias is spared. */
static void test_l2(void **state) {
    (void)state;
    struct optim_settings sgd = {.kind = OPTIM_SGD, .rate = 0.1, .l2 = 0.25};
    run(sgd, true, 0.5, -0.25, 0.9, 0.88, "l2");
    run(sgd, false, 0.5, -0.25, 0.95, 0.975, "l2 on the bias");
}

/* l2 adds to the slope of all others as well: with slope 0.5 - 0.5 * w it is the step without it. */
static void test_l2_everywhere(void **state) {
    (void)state;
    struct optim_settings all[] = {
        {.kind = OPTIM_ADAM, .rate = 0.1, .l2 = 0.25},
        {.kind = OPTIM_SGD, .rate = 0.1, .momentum = 0.9, .l2 = 0.25},
        {.kind = OPTIM_SGD, .rate = 0.1, .momentum = 0.9, .nesterov = true, .l2 = 0.25},
    };
    const double first[] = {0.900000632451532, 0.95, 0.905}, second[] = {0.8733670792079218, 0.93, 0.912};
    for (int i = 0; i < 3; i++)
        run(all[i], true, 0.5 - 0.5, -0.25 - 0.5 * first[i], first[i], second[i], "l2 with the others");
}

static void test_no_memory(void **state) {
    (void)state;
    struct optim_settings adam = {.kind = OPTIM_ADAM, .rate = 0.1};
    struct optim optim;
    for (int n = 1; n <= 2; n++) {
        mem_test_fail_at(n);
        assert_int_equal(optim_create(&optim, &adam, 32), STATUS_NO_MEMORY);
    }
    mem_test_fail_at(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adam),          cmocka_unit_test(test_adam_epsilon), cmocka_unit_test(test_sgd),
        cmocka_unit_test(test_momentum),      cmocka_unit_test(test_nesterov),     cmocka_unit_test(test_l2),
        cmocka_unit_test(test_l2_everywhere), cmocka_unit_test(test_no_memory),
    };
    static const char *const names[] = {"generic", "avx2", "avx512"};
    int failed = 0, ran = 0;
    for (size_t i = 0; i < 3; i++) {
        setenv("VGGCACHE_ISA", names[i], 1);
        enum status status = head_kernels_select(&kernels);
        if (status == STATUS_UNSUPPORTED) {
            printf("SKIP: %s is not on this machine\n", names[i]);
            continue;
        }
        failed += status != STATUS_OK || cmocka_run_group_tests_name(names[i], tests, NULL, NULL) != 0;
        ran++;
    }
    return failed != 0 || ran == 0;
}
