/* test_lbfgs: train/lbfgs: memory that fails, features that are no numbers, checkpoints, and a signal.
 * The optimum is held against scikit-learn's in tests/interop/test_lbfgs.py. */
#include "tests/unit/unit.h"

#include <math.h>

#include "common/base/blas.h"
#include "common/base/interrupt.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "train/fit/checkpoint.h"
#include "train/fit/lbfgs.h"

enum { ROWS = 600, FITTED = 500, DIM = 30, CLASSES = 4, EPOCHS = 12 };

static const struct head_kernels *kernels;

static struct data_split make_data(void) {
    struct rng rng;
    rng_init(&rng, 4, 4);
    struct data_split data = {.count = ROWS, .dim = DIM, .stride = 32};
    data.features = mem_alloc(ROWS * data.stride, sizeof(float));
    memset(data.features, 0, ROWS * data.stride * sizeof(float));
    data.labels = mem_alloc(ROWS, sizeof(uint16_t));
    for (size_t r = 0; r < ROWS; r++) {
        data.labels[r] = (uint16_t)rng_below(&rng, CLASSES);
        for (size_t d = 0; d < DIM; d++)
            data.features[r * data.stride + d] =
                (float)(rng_normal(&rng) + (d % CLASSES == data.labels[r] ? 0.5 : 0));
    }
    return data;
}

static const struct checkpoint *checkpoint; /* of the fits, or NULL */

static enum status fit_head(struct head *head, const struct data_split *data, fit_listener listener,
                            void *context, struct fit_epoch *history, size_t *done,
                            struct lbfgs_result *result) {
    struct lbfgs_options options = {.l2 = 1e-3,
                                    .tolerance = 1e-12,
                                    .epochs = EPOCHS,
                                    .threads = 2,
                                    .patience = EPOCHS,
                                    .checkpoint = checkpoint};
    return lbfgs_run(head, data_slice(data, 0, FITTED), data_slice(data, FITTED, ROWS - FITTED), &options,
                     listener, context, history, done, result);
}

static enum status fit(const struct data_split *data, fit_listener listener, struct fit_epoch *history,
                       size_t *done, struct lbfgs_result *result) {
    struct head head;
    enum status status = head_create(&head, kernels, DIM, CLASSES);
    if (status != STATUS_OK)
        return status;
    status = fit_head(&head, data, listener, NULL, history, done, result);
    head_free(&head);
    return status;
}

static void test_history(void **state) {
    (void)state;
    struct data_split data = make_data();
    struct fit_epoch history[EPOCHS];
    struct lbfgs_result result;
    size_t done;
    assert_ok(fit(&data, NULL, history, &done, &result));
    assert_int_equal(done, EPOCHS);
    assert_int_equal(result.end, LBFGS_EPOCHS);
    assert_true(result.passes > EPOCHS && result.passes < 3 * EPOCHS);
    assert_true(result.slope > 0 && result.slope < 0.1);
    assert_true(history[0].loss < log(CLASSES));
    for (size_t i = 0; i < EPOCHS; i++) {
        assert_int_equal(history[i].epoch, i + 1);
        assert_true(history[i].val_loss > 0 && history[i].seconds >= 0);
        assert_true(i == 0 || history[i].loss < history[i - 1].loss);
    }
    data_unload(&data);
}

static void test_not_finite(void **state) {
    (void)state;
    struct data_split data = make_data();
    struct fit_epoch history[EPOCHS];
    struct lbfgs_result result;
    size_t done;
    const size_t rows[] = {17, FITTED + 20};
    const float bad[] = {NAN, INFINITY};
    for (size_t i = 0; i < 4; i++) {
        float *feature = &data.features[rows[i / 2] * data.stride + 5], before = *feature;
        char words[32];
        snprintf(words, sizeof words, "row %zu ", rows[i / 2]);
        *feature = bad[i % 2];
        assert_fails(fit(&data, NULL, history, &done, &result), STATUS_NOT_FINITE, words);
        *feature = before;
    }
    data_unload(&data);
}

static void test_no_memory(void **state) {
    (void)state;
    struct data_split data = make_data();
    struct fit_epoch history[EPOCHS];
    struct lbfgs_result result;
    size_t done;
    long n = 1;
    for (;; n++) {
        mem_test_fail_at(n);
        enum status status = fit(&data, NULL, history, &done, &result);
        if (status == STATUS_OK)
            break;
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
    mem_test_fail_at(0);
    assert_true(n > 12);
    data_unload(&data);
}

/* Ends the fit in the epoch *context, unless that is 0. */
static enum status stop_at(void *context, size_t which, const struct fit_epoch *epoch) {
    size_t *stop = context;
    assert_int_equal(which, 0);
    return epoch->epoch == *stop ? status_set(STATUS_IO, "stopped") : STATUS_OK;
}

/* A fit that was stopped in each epoch in turn, and went on each time, has the bits of one that was not. */
static void test_checkpoint(void **state) {
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", unit_path("state.h5"));
    struct data_split data = make_data();
    struct fit_epoch want[EPOCHS], got[EPOCHS];
    struct lbfgs_result want_result, result;
    struct head head, other;
    size_t done, stop = 0;
    assert_ok(head_create(&head, kernels, DIM, CLASSES));
    assert_ok(fit_head(&head, &data, stop_at, &stop, want, &done, &want_result));
    for (size_t every = 1; every <= 3; every++) {
        const struct checkpoint ours = {path, every, "a=1\n"}, foreign = {path, every, "a=2\n"};
        checkpoint = &ours;
        for (stop = 1; stop <= EPOCHS; stop++) {
            assert_ok(head_create(&other, kernels, DIM, CLASSES));
            assert_fails(fit_head(&other, &data, stop_at, &stop, got, &done, &result), STATUS_IO, "stopped");
            assert_int_equal(done, stop);
            head_free(&other);
        }
        assert_true(unit_exists(path));
        checkpoint = &foreign;
        assert_fails(fit(&data, NULL, got, &done, &result), STATUS_MISMATCH, "a=1 there, 2 here");
        checkpoint = &ours;
        assert_ok(head_create(&other, kernels, DIM, CLASSES));
        stop = 0;
        memset(got, 0x7f, sizeof got);
        assert_ok(fit_head(&other, &data, stop_at, &stop, got, &done, &result));
        assert_int_equal(done, EPOCHS);
        for (size_t i = 0; i < EPOCHS; i++)
            got[i].seconds = want[i].seconds;
        assert_memory_equal(got, want, sizeof got);
        assert_memory_equal(&result, &want_result, sizeof result);
        assert_memory_equal(other.kernel, head.kernel, head_weights(&head) * sizeof(float));
        assert_memory_equal(other.bias, head.bias, head.columns * sizeof(float));
        head_free(&other);
        unlink(path);
    }
    checkpoint = NULL;
    head_free(&head);
    data_unload(&data);
}

static enum status interrupt_at_3(void *context, size_t which, const struct fit_epoch *epoch) {
    assert_int_equal(which, 0);
    (void)context;
    if (epoch->epoch == 3)
        raise(SIGINT);
    return STATUS_OK;
}

/* The last test: the signal stays noted. */
static void test_interrupt(void **state) {
    (void)state;
    struct data_split data = make_data();
    struct fit_epoch history[EPOCHS];
    struct lbfgs_result result;
    size_t done;
    signal(SIGINT, SIG_DFL); /* which is ignored behind a shell's & */
    interrupt_init();
    assert_fails(fit(&data, interrupt_at_3, history, &done, &result), STATUS_INTERRUPTED,
                 "interrupted in epoch 4 of 12");
    assert_int_equal(done, 3);
    data_unload(&data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history),   cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_checkpoint),
        cmocka_unit_test(test_interrupt),
    };
    if (blas_init(2) != STATUS_OK || head_kernels_select(&kernels) != STATUS_OK)
        return 1;
    return cmocka_run_group_tests_name("lbfgs", tests, unit_scratch_make, unit_scratch_remove);
}
