/* test_learner: train/fit with several heads side by side: each is bit for bit the head that it is alone,
 * whatever becomes of the others and however many threads there are. */
#include "tests/unit/rows_fixture.h"

#include <math.h>

#include "common/base/mem.h"
#include "train/fit/fit.h"

enum { ROWS = 700, FITTED = 500, EPOCHS = 4, CLASSES = 7, HEADS_MAX = 5 };

static const struct head_kernels *kernels;

/* Heads with their histories. */
struct set {
    size_t count;
    struct head heads[HEADS_MAX];
    struct fit_epoch histories[HEADS_MAX][EPOCHS];
    struct fit_head fits[HEADS_MAX];
};

static void set_create(struct set *set, const struct optim_settings *settings, size_t count, size_t dim) {
    set->count = count;
    memset(set->histories, 0, sizeof set->histories);
    for (size_t h = 0; h < count; h++) {
        assert_ok(head_create(&set->heads[h], kernels, dim, CLASSES));
        head_initialize(&set->heads[h], 9);
        set->fits[h] = (struct fit_head){
            .head = &set->heads[h], .optim = settings[h], .history = set->histories[h], .done = 99};
    }
}

static void set_free(struct set *set) {
    for (size_t h = 0; h < set->count; h++)
        head_free(&set->heads[h]);
}

static struct fit_options options_of(int threads) {
    return (struct fit_options){.epochs = EPOCHS, .batch_size = 96, .seed = 3, .threads = threads};
}

/* Fits each head alone: what all comparisons are with. A head that diverges leaves `diverged`. */
static void fit_alone(struct set *set, const struct data_split *data, const struct fit_options *all) {
    for (size_t h = 0; h < set->count; h++) {
        struct fit_options options = *all;
        struct fit_head *fit = &set->fits[h];
        options.optim = fit->optim;
        enum status status =
            fit_run(fit->head, data_slice(data, 0, FITTED), data_slice(data, FITTED, ROWS - FITTED), &options,
                    NULL, NULL, fit->history, &fit->done);
        assert_true(status == STATUS_OK || status == STATUS_NOT_FINITE);
        fit->diverged = status == STATUS_OK ? 0 : fit->done + 1;
    }
}

static enum status fit_together(struct set *set, const struct data_split *data,
                                const struct fit_options *options) {
    return fit_heads(set->fits, set->count, data_slice(data, 0, FITTED),
                     data_slice(data, FITTED, ROWS - FITTED), options, NULL, NULL);
}

static void assert_same_head(struct set *got, const struct set *want, size_t h) {
    const struct head *a = &got->heads[h], *b = &want->heads[h];
    assert_int_equal(got->fits[h].done, want->fits[h].done);
    assert_int_equal(got->fits[h].diverged, want->fits[h].diverged);
    for (size_t e = 0; e < want->fits[h].done; e++)
        got->histories[h][e].seconds = want->histories[h][e].seconds;
    assert_memory_equal(got->histories[h], want->histories[h], want->fits[h].done * sizeof(struct fit_epoch));
    if (want->fits[h].diverged > 0)
        return;
    assert_memory_equal(a->kernel, b->kernel, head_weights(b) * sizeof(float));
    assert_memory_equal(a->bias, b->bias, b->columns * sizeof(float));
}

static const struct optim_settings mixed[HEADS_MAX] = {
    {.kind = OPTIM_ADAM, .rate = 0.001},
    {.kind = OPTIM_SGD, .rate = 0.02, .momentum = 0.9, .nesterov = true, .l2 = 0.001},
    {.kind = OPTIM_ADAM, .rate = 0.01, .l2 = 0.01},
    {.kind = OPTIM_SGD, .rate = 0.05},
    {.kind = OPTIM_SGD, .rate = 0.01, .momentum = 0.5},
};

/* Any number of heads and threads. */
static void check_bits(size_t dim, const struct fit_options *like) {
    static const size_t counts[] = {1, 2, 3, 5};
    static const int threads[] = {1, 2, 3, 7};
    struct data_split data = rows_make(ROWS, dim, CLASSES, dim);
    struct set alone, got;
    set_create(&alone, mixed, HEADS_MAX, dim);
    fit_alone(&alone, &data, like);
    for (size_t c = 0; c < 4; c++)
        for (size_t t = 0; t < 4; t++) {
            struct fit_options options = *like;
            options.threads = threads[t];
            set_create(&got, mixed, counts[c], dim);
            assert_ok(fit_together(&got, &data, &options));
            for (size_t h = 0; h < counts[c]; h++)
                assert_same_head(&got, &alone, h);
            set_free(&got);
        }
    for (size_t h = 0; h < HEADS_MAX; h++) { /* the heads differ, and learned */
        assert_int_equal(alone.fits[h].diverged, 0);
        assert_true(alone.histories[h][EPOCHS - 1].loss < alone.histories[h][0].loss);
        for (size_t i = 0; i < h; i++)
            assert_true(alone.histories[h][EPOCHS - 1].loss != alone.histories[i][EPOCHS - 1].loss);
    }
    set_free(&alone);
    data_unload(&data);
}

static void test_one_piece(void **state) {
    (void)state;
    struct fit_options options = options_of(1);
    check_bits(40, &options);
    options.batch_size = 1000; /* one batch, several blocks */
    check_bits(37, &options);
}

static void test_pieces(void **state) {
    (void)state;
    struct fit_options options = options_of(1);
    check_bits(600, &options); /* two pieces: threads without one */
    options.batch_size = 300;
    check_bits(2051, &options);
}

static void test_weights_and_schedule(void **state) {
    (void)state;
    static const float weights[CLASSES] = {1, 0.5f, 2, 0, 1, 3, 0.25f};
    struct fit_options options = options_of(2);
    options.class_weights = weights;
    options.schedule = OPTIM_COSINE;
    check_bits(40, &options);
    options.schedule = OPTIM_STEP;
    options.step_epochs = 2;
    options.step_factor = 0.5;
    check_bits(300, &options);
}

/* The other order of the same heads. */
static void test_order_of_heads(void **state) {
    (void)state;
    struct data_split data = rows_make(ROWS, 40, CLASSES, 40);
    struct fit_options options = options_of(3);
    struct optim_settings turned[HEADS_MAX];
    struct set alone, got;
    for (size_t h = 0; h < HEADS_MAX; h++)
        turned[h] = mixed[HEADS_MAX - 1 - h];
    set_create(&alone, turned, HEADS_MAX, 40);
    set_create(&got, turned, HEADS_MAX, 40);
    fit_alone(&alone, &data, &options);
    assert_ok(fit_together(&got, &data, &options));
    for (size_t h = 0; h < HEADS_MAX; h++)
        assert_same_head(&got, &alone, h);
    set_free(&got);
    set_free(&alone);
    data_unload(&data);
}

/* Some heads diverge, in different epochs; the others do not notice. */
static void test_divergence(void **state) {
    (void)state;
    static const struct optim_settings settings[HEADS_MAX] = {
        {.kind = OPTIM_SGD, .rate = 1e30, .l2 = 0.01},
        {.kind = OPTIM_ADAM, .rate = 0.01},
        {.kind = OPTIM_SGD, .rate = 4000, .l2 = 0.01, .momentum = 0.5},
        {.kind = OPTIM_SGD, .rate = 0.05, .momentum = 0.9},
        {.kind = OPTIM_SGD, .rate = 20000, .l2 = 0.01},
    };
    struct data_split data = rows_make(ROWS, 40, CLASSES, 1);
    for (int threads = 1; threads <= 7; threads += 2) {
        struct fit_options options = options_of(threads);
        struct set alone, got;
        set_create(&alone, settings, HEADS_MAX, 40);
        set_create(&got, settings, HEADS_MAX, 40);
        fit_alone(&alone, &data, &options);
        assert_ok(fit_together(&got, &data, &options));
        for (size_t h = 0; h < HEADS_MAX; h++)
            assert_same_head(&got, &alone, h);
        assert_true(alone.fits[0].diverged > 0 && alone.fits[0].diverged < alone.fits[4].diverged);
        assert_true(alone.fits[1].diverged == 0 && alone.fits[3].diverged == 0);
        set_free(&got);
        set_free(&alone);
    }
    data_unload(&data);
}

static void test_all_diverge(void **state) {
    (void)state;
    static const struct optim_settings settings[3] = {
        {.kind = OPTIM_SGD, .rate = 20000, .l2 = 0.01},
        {.kind = OPTIM_SGD, .rate = 1e30, .l2 = 0.01},
        {.kind = OPTIM_SGD, .rate = 4000, .l2 = 0.01},
    };
    struct data_split data = rows_make(ROWS, 40, CLASSES, 1);
    struct fit_options options = options_of(2);
    struct set alone, got;
    char want[64];
    set_create(&alone, settings, 3, 40);
    set_create(&got, settings, 3, 40);
    fit_alone(&alone, &data, &options);
    assert_true(alone.fits[0].diverged > alone.fits[1].diverged && alone.fits[1].diverged > 0);
    snprintf(want, sizeof want, "in epoch %zu; try", alone.fits[0].diverged);
    assert_fails(fit_together(&got, &data, &options), STATUS_NOT_FINITE, want);
    assert_non_null(strstr(status_message(), "--learning-rate=2000"));
    data.features[30 * data.stride + 5] = NAN; /* or was it the features? */
    assert_fails(fit_together(&got, &data, &options), STATUS_NOT_FINITE, "training row 30 ");
    set_free(&got);
    set_free(&alone);
    data_unload(&data);
}

/* What a listener saw: the weights of each head after each epoch. */
struct seen {
    size_t calls, fail_at, epoch, which;
    struct set *set;
    float *kernels[HEADS_MAX][EPOCHS];
};

static enum status on_epoch(void *context, size_t which, const struct fit_epoch *epoch) {
    struct seen *seen = context;
    const struct head *head = &seen->set->heads[which];
    float *kernel = malloc(head_weights(head) * sizeof *kernel);
    if (kernel == NULL || epoch != &seen->set->histories[which][epoch->epoch - 1])
        return status_set(STATUS_IO, "not the epoch of the history");
    if (epoch->epoch < seen->epoch || (epoch->epoch == seen->epoch && which <= seen->which))
        return status_set(STATUS_IO, "out of order");
    memcpy(kernel, head->kernel, head_weights(head) * sizeof *kernel);
    seen->kernels[which][epoch->epoch - 1] = kernel;
    seen->epoch = epoch->epoch;
    seen->which = which;
    return ++seen->calls == seen->fail_at ? status_set(STATUS_IO, "enough") : STATUS_OK;
}

static void seen_free(struct seen *seen) {
    for (size_t h = 0; h < HEADS_MAX; h++)
        for (size_t e = 0; e < EPOCHS; e++)
            free(seen->kernels[h][e]);
}

/* Some heads stop early, each with the weights of its best epoch; the others do not notice. */
static void test_early_stopping(void **state) {
    (void)state;
    static const struct optim_settings settings[HEADS_MAX] = {
        {.kind = OPTIM_ADAM, .rate = 0.3},
        {.kind = OPTIM_ADAM, .rate = 0.0001},
        {.kind = OPTIM_SGD, .rate = 5, .momentum = 0.9},
        {.kind = OPTIM_ADAM, .rate = 0.002, .l2 = 0.001},
        {.kind = OPTIM_SGD, .rate = 1e30, .l2 = 0.01}, /* diverges */
    };
    struct data_split data = rows_make(ROWS, 300, CLASSES, 2);
    struct set alone, got;
    size_t stopped = 0, ran = 0, restored = 0;
    struct fit_options options = options_of(1);
    options.patience = 1;
    set_create(&alone, settings, HEADS_MAX, 300);
    fit_alone(&alone, &data, &options);
    for (int threads = 1; threads <= 3; threads++) {
        struct seen seen = {.set = &got};
        set_create(&got, settings, HEADS_MAX, 300);
        options.threads = threads;
        assert_ok(fit_heads(got.fits, HEADS_MAX, data_slice(&data, 0, FITTED),
                            data_slice(&data, FITTED, ROWS - FITTED), &options, on_epoch, &seen));
        for (size_t h = 0; h < HEADS_MAX; h++) {
            const struct fit_head *fit = &got.fits[h];
            size_t best = 0;
            assert_same_head(&got, &alone, h);
            if (fit->diverged > 0)
                continue;
            for (size_t e = 1; e < fit->done; e++)
                if (fit->history[e].val_loss < fit->history[best].val_loss)
                    best = e;
            assert_memory_equal(fit->head->kernel, seen.kernels[h][best],
                                head_weights(fit->head) * sizeof(float));
            assert_true(fit->done == EPOCHS || fit->done == best + 2);
            stopped += fit->done < EPOCHS;
            ran += fit->done == EPOCHS;
            restored += best + 1 < fit->done;
        }
        seen_free(&seen);
        set_free(&got);
    }
    assert_true(stopped > 0 && ran > 0 && restored > 0);
    assert_true(alone.fits[4].diverged > 0);
    set_free(&alone);
    data_unload(&data);
}

/* Told of each epoch of each head, in order; what it refuses ends the fit. */
static void test_listener(void **state) {
    (void)state;
    struct data_split data = rows_make(ROWS, 40, CLASSES, 1);
    struct fit_options options = options_of(2);
    for (size_t fail_at = 0; fail_at <= 5; fail_at++) {
        struct set set;
        struct seen seen = {.set = &set, .fail_at = fail_at};
        set_create(&set, mixed, 3, 40);
        enum status status =
            fit_heads(set.fits, 3, rows_all(&data), (struct data_rows){.dim = 40}, &options, on_epoch, &seen);
        if (fail_at == 0) {
            assert_ok(status);
            assert_int_equal(seen.calls, 3 * EPOCHS);
            assert_true(isnan(set.histories[2][0].val_loss));
        } else {
            assert_fails(status, STATUS_IO, "enough");
            assert_int_equal(seen.calls, fail_at);
            assert_int_equal(set.fits[0].done, (fail_at + 2) / 3);
        }
        seen_free(&seen);
        set_free(&set);
    }
    data_unload(&data);
}

/* The n-th allocation fails, for every n until all goes well. */
static void test_no_memory(void **state) {
    (void)state;
    struct data_split data = rows_make(ROWS, 40, CLASSES, 1);
    struct fit_options options = options_of(2);
    struct set set;
    long n = 0;
    options.patience = 2;
    set_create(&set, mixed, 3, 40);
    for (enum status status = STATUS_NO_MEMORY; status != STATUS_OK;) {
        mem_test_fail_at(++n);
        status = fit_together(&set, &data, &options);
        mem_test_fail_at(0);
        if (status != STATUS_OK)
            assert_fails(status, STATUS_NO_MEMORY, "");
    }
    assert_true(n > 20);
    set_free(&set);
    data_unload(&data);
}

int main(void) {
    if (head_kernels_select(&kernels) != STATUS_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_piece),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_weights_and_schedule),
        cmocka_unit_test(test_order_of_heads),
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_all_diverge),
        cmocka_unit_test(test_early_stopping),
        cmocka_unit_test(test_listener),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
