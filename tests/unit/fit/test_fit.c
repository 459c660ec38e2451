/* test_fit: train/fit and train/evaluate: slopes against central differences, the same bits for any
 * number of threads, and what happens when it cannot go on. */
#include "tests/unit/unit.h"

#include <math.h>
#include <omp.h>

#include "common/base/interrupt.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "train/fit/evaluate.h"
#include "train/fit/eventcount.h"
#include "train/fit/fit.h"

static const struct head_kernels *kernels;

static struct data_split make_data(size_t count, size_t dim, size_t classes, uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed, 77);
    struct data_split data = {.count = count, .dim = dim, .stride = (dim + 15) / 16 * 16};
    data.features = mem_alloc(count * data.stride, sizeof(float));
    memset(data.features, 0, count * data.stride * sizeof(float));
    data.labels = mem_alloc(count, sizeof(uint16_t));
    for (size_t r = 0; r < count; r++) {
        data.labels[r] = (uint16_t)rng_below(&rng, classes);
        for (size_t d = 0; d < dim; d++) {
            double x = rng_normal(&rng) + (d % classes == data.labels[r] ? 1 : 0);
            data.features[r * data.stride + d] = x > 0 ? (float)x : 0; /* like a rectifier's */
        }
    }
    return data;
}

static struct data_rows all_of(const struct data_split *data) {
    return data_slice(data, 0, data->count);
}

/* The objective in double: mean cross entropy plus l2 times the squares of the kernel. */
static double objective(const struct data_split *data, size_t classes, double l2, const double *kernel,
                        const double *bias) {
    double loss = 0, squares = 0, z[64];
    for (size_t r = 0; r < data->count; r++) {
        double top = -INFINITY, total = 0;
        for (size_t c = 0; c < classes; c++) {
            z[c] = bias[c];
            for (size_t d = 0; d < data->dim; d++)
                z[c] += (double)data->features[r * data->stride + d] * kernel[d * classes + c];
            top = fmax(top, z[c]);
        }
        for (size_t c = 0; c < classes; c++)
            total += exp(z[c] - top);
        loss += log(total) + top - z[data->labels[r]];
    }
    for (size_t i = 0; i < data->dim * classes; i++)
        squares += kernel[i] * kernel[i];
    return loss / (double)data->count + l2 * squares;
}

/* One step of plain gradient descent over all rows, at rate 1, moves each weight by its slope. */
static void check_slopes(size_t rows, size_t dim, size_t classes, double l2) {
    struct data_split data = make_data(rows, dim, classes, rows + dim);
    size_t count = dim * classes;
    float *before = malloc((count + classes) * sizeof *before),
          *after = malloc((count + classes) * sizeof *after);
    double *point = malloc((count + classes) * sizeof *point);
    struct head head;
    assert_int_equal(head_create(&head, kernels, dim, classes), STATUS_OK);
    head_initialize(&head, 5);
    for (size_t c = 0; c < classes; c++)
        head.bias[c] = 0.1f * (float)c;
    head_get(&head, before, before + count);
    struct fit_options options = {
        .epochs = 1, .batch_size = rows, .threads = 2, .optim = {.kind = OPTIM_SGD, .rate = 1, .l2 = l2}};
    struct fit_epoch epoch;
    struct evaluate_result result;
    size_t done;
    assert_int_equal(evaluate_run(&head, all_of(&data), l2, 2, NULL, NULL, &result), STATUS_OK);
    assert_int_equal(
        fit_run(&head, all_of(&data), (struct data_rows){.dim = dim}, &options, NULL, NULL, &epoch, &done),
        STATUS_OK);
    assert_int_equal(done, 1);
    assert_true(isnan(epoch.val_loss));
    head_get(&head, after, after + count);
    for (size_t i = 0; i < count + classes; i++)
        point[i] = (double)before[i];
    double want = objective(&data, classes, l2, point, point + count);
    assert_true(fabs(epoch.loss - want) <= 1e-6 * want);
    assert_true(fabs(result.loss - want) <= 1e-6 * want);
    assert_true(fabs(result.accuracy - epoch.accuracy) < 1e-12);
    double largest = 0;
    for (size_t i = 0; i < count + classes; i++) {
        const double h = 1e-4;
        point[i] = (double)before[i] + h;
        double up = objective(&data, classes, l2, point, point + count);
        point[i] = (double)before[i] - h;
        double down = objective(&data, classes, l2, point, point + count);
        point[i] = (double)before[i];
        double slope = (up - down) / (2 * h), got = (double)before[i] - (double)after[i];
        if (!(fabs(got - slope) <= 1e-6))
            fail_msg("slope %zu of %zu x %zu: %.9g instead of %.9g", i, dim, classes, got, slope);
        largest = fmax(largest, fabs(slope));
    }
    assert_true(largest > 1e-3); /* the slopes were not all nothing */
    head_free(&head);
    data_unload(&data);
    free(before);
    free(after);
    free(point);
}

static void test_slopes(void **state) {
    (void)state;
    check_slopes(50, 7, 3, 0);
    check_slopes(50, 7, 3, 0.01);
    check_slopes(9, 37, 20, 0.001);
    check_slopes(600, 5, 10, 0);    /* more rows than a block has */
    check_slopes(40, 300, 4, 0.01); /* more than one piece */
}

static void test_same_bits_for_any_threads(void **state) {
    (void)state;
    enum { ROWS = 900, DIM = 2051, CLASSES = 21, EPOCHS = 3 };
    struct data_split data = make_data(ROWS, DIM, CLASSES, 3);
    const struct optim_settings settings[] = {
        {.kind = OPTIM_ADAM, .rate = 0.001, .l2 = 0.001},
        {.kind = OPTIM_SGD, .rate = 0.01, .momentum = 0.9, .nesterov = true},
    };
    const int thread_counts[] = {1, 2, 3, 7};
    for (int s = 0; s < 2; s++) {
        struct fit_epoch first[EPOCHS], history[EPOCHS];
        struct evaluate_result first_result = {0}, result;
        float *first_kernel = NULL;
        size_t done, nbytes = 0;
        for (int t = 0; t < 4; t++) {
            struct fit_options options = {.epochs = EPOCHS,
                                          .batch_size = 300,
                                          .seed = 9,
                                          .threads = thread_counts[t],
                                          .optim = settings[s]};
            struct head head;
            assert_int_equal(head_create(&head, kernels, DIM, CLASSES), STATUS_OK);
            assert_int_equal(head.piece_count, HEAD_PIECES_MAX); /* there is something to share */
            head_initialize(&head, 9);
            assert_int_equal(fit_run(&head, data_slice(&data, 0, 700), data_slice(&data, 700, 200), &options,
                                     NULL, NULL, history, &done),
                             STATUS_OK);
            assert_int_equal(evaluate_run(&head, all_of(&data), 0.001, thread_counts[t], NULL, NULL, &result),
                             STATUS_OK);
            nbytes = head_weights(&head) * sizeof(float);
            for (int e = 0; e < EPOCHS; e++)
                history[e].seconds = 0;
            if (t == 0) {
                memcpy(first, history, sizeof first);
                first_result = result;
                first_kernel = mem_alloc(nbytes, 1);
                memcpy(first_kernel, head.kernel, nbytes);
            } else {
                assert_memory_equal(head.kernel, first_kernel, nbytes);
                assert_memory_equal(history, first, sizeof first);
                assert_memory_equal(&result, &first_result, sizeof result);
            }
            head_free(&head);
        }
        assert_true(first[EPOCHS - 1].loss < first[0].loss);
        mem_free(first_kernel);
    }
    data_unload(&data);
}

/* Another seed, another order: the test above can fail. */
static void test_seed_matters(void **state) {
    (void)state;
    struct data_split data = make_data(200, 30, 4, 3);
    struct fit_epoch history[2];
    for (uint64_t seed = 0; seed < 2; seed++) {
        struct fit_options options = {.epochs = 1,
                                      .batch_size = 16,
                                      .seed = seed,
                                      .threads = 1,
                                      .optim = {.kind = OPTIM_ADAM, .rate = 0.01}};
        struct head head;
        size_t done;
        assert_int_equal(head_create(&head, kernels, 30, 4), STATUS_OK);
        head_initialize(&head, 0);
        assert_int_equal(fit_run(&head, all_of(&data), (struct data_rows){.dim = 30}, &options, NULL, NULL,
                                 &history[seed], &done),
                         STATUS_OK);
        head_free(&head);
    }
    assert_true(history[0].loss != history[1].loss);
    data_unload(&data);
}

static void test_predictions(void **state) {
    (void)state;
    struct data_split data = make_data(300, 20, 5, 8);
    struct head head;
    struct evaluate_result result;
    struct evaluate_class per_class[5];
    uint16_t predicted[300];
    float probabilities[300 * 5];
    size_t matrix[25], right = 0, total = 0;
    assert_int_equal(head_create(&head, kernels, 20, 5), STATUS_OK);
    head_initialize(&head, 1);
    assert_int_equal(evaluate_run(&head, all_of(&data), 0, 2, predicted, probabilities, &result), STATUS_OK);
    for (size_t r = 0; r < 300; r++) {
        float sum = 0, top = 0;
        for (size_t c = 0; c < 5; c++) {
            sum += probabilities[r * 5 + c];
            top = fmaxf(top, probabilities[r * 5 + c]);
        }
        assert_true(fabsf(sum - 1) < 1e-6f);
        assert_true(probabilities[r * 5 + predicted[r]] == top);
        right += predicted[r] == data.labels[r];
    }
    assert_true(result.accuracy == (double)right / 300);
    evaluate_confusion(data.labels, predicted, 300, 5, per_class, matrix);
    right = 0;
    for (size_t c = 0; c < 5; c++) {
        right += matrix[c * 5 + c];
        assert_int_equal(matrix[c * 5 + c], per_class[c].correct);
    }
    for (size_t i = 0; i < 25; i++)
        total += matrix[i];
    assert_int_equal(total, 300);
    assert_true(result.accuracy == (double)right / 300);
    head_free(&head);
    data_unload(&data);
}

/* Labels 0 0 0 1 1 2, predictions 0 0 1 1 0 1, and a class 3 that never occurs. */
static void test_confusion(void **state) {
    (void)state;
    const uint16_t labels[] = {0, 0, 0, 1, 1, 2}, predicted[] = {0, 0, 1, 1, 0, 1};
    const size_t want[16] = {2, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    struct evaluate_class classes[4];
    size_t matrix[16];
    evaluate_confusion(labels, predicted, 6, 4, classes, matrix);
    assert_memory_equal(matrix, want, sizeof want);
    assert_int_equal(classes[0].support, 3);
    assert_true(fabs(classes[0].precision - 2.0 / 3) < 1e-12 && fabs(classes[0].recall - 2.0 / 3) < 1e-12);
    assert_true(fabs(classes[1].precision - 1.0 / 3) < 1e-12 && fabs(classes[1].recall - 0.5) < 1e-12);
    assert_true(fabs(classes[1].f1 - 0.4) < 1e-12);
    assert_true(classes[2].precision == 0 && classes[2].recall == 0 && classes[2].f1 == 0);
    assert_true(classes[3].support == 0 && classes[3].f1 == 0);
}

static enum status fit_once(struct data_split *data, double rate, size_t *done) {
    struct fit_options options = {.epochs = 4,
                                  .patience = 4,
                                  .batch_size = 32,
                                  .threads = 2,
                                  .optim = {.kind = OPTIM_SGD, .rate = rate, .momentum = 0.5, .l2 = 0.01}};
    struct fit_epoch history[4];
    struct head head;
    enum status status = head_create(&head, kernels, data->dim, 4);
    if (status != STATUS_OK)
        return status;
    head_initialize(&head, 0);
    status = fit_run(&head, data_slice(data, 0, 150), data_slice(data, 150, 50), &options, NULL, NULL,
                     history, done);
    head_free(&head);
    return status;
}

static void test_divergence(void **state) {
    (void)state;
    struct data_split data = make_data(200, 30, 4, 3);
    size_t done = 9;
    assert_int_equal(fit_once(&data, 1e5, &done), STATUS_NOT_FINITE);
    assert_true(done < 4);
    char want[32];
    snprintf(want, sizeof want, "epoch %zu", done + 1);
    assert_non_null(strstr(status_message(), want));
    assert_non_null(strstr(status_message(), "--learning-rate=10000"));
    data.features[17 * 32 + 4] = NAN; /* is it the rate's fault? */
    assert_int_equal(fit_once(&data, 0.01, &done), STATUS_NOT_FINITE);
    assert_int_equal(done, 0);
    assert_non_null(strstr(status_message(), "row 17 "));
    data.features[17 * 32 + 4] = 0;
    data.features[160 * 32] = INFINITY;
    assert_int_equal(fit_once(&data, 0.01, &done), STATUS_NOT_FINITE);
    assert_non_null(strstr(status_message(), "row 160 "));
    data_unload(&data);
}

/* 6 rows of classes 0 0 0 1 1 3: 6 / (3 * 3), 6 / (3 * 2), none, 6 / (3 * 1). */
static void test_balance(void **state) {
    (void)state;
    const uint16_t labels[] = {0, 3, 0, 1, 0, 1};
    float weights[4];
    struct data_rows rows = {.labels = labels, .count = 6};
    assert_int_equal(fit_balance(rows, 4, weights), STATUS_OK);
    assert_true(fabsf(weights[0] - 2.0f / 3) < 1e-7f && weights[1] == 1);
    assert_true(weights[2] == 0 && weights[3] == 2);
    mem_test_fail_at(1);
    assert_int_equal(fit_balance(rows, 4, weights), STATUS_NO_MEMORY);
    mem_test_fail_at(0);
}

/* The n-th allocation fails, for every n until all goes well. */
static void test_no_memory(void **state) {
    (void)state;
    struct data_split data = make_data(200, 30, 4, 3);
    size_t done;
    long n = 1;
    for (;; n++) {
        mem_test_fail_at(n);
        enum status status = fit_once(&data, 0.01, &done);
        if (status == STATUS_OK)
            break;
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
    assert_true(n > 10);
    mem_test_fail_at(0);
    struct head head;
    struct evaluate_result result;
    assert_int_equal(head_create(&head, kernels, 30, 4), STATUS_OK);
    for (n = 1;; n++) {
        mem_test_fail_at(n);
        enum status status = evaluate_run(&head, all_of(&data), 0, 2, NULL, NULL, &result);
        if (status == STATUS_OK)
            break;
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
    assert_int_equal(n, 4);
    mem_test_fail_at(0);
    head_free(&head);
    data_unload(&data);
}

/* Many threads, few processors: each must find what the others wrote before they advanced, also when the
 * counts wrap round. */
static void test_eventcount(void **state) {
    (void)state;
    enum { THREADS = 5, TURNS = 20000 };
    static struct eventcount eventcounts[THREADS];
    static size_t written[2][THREADS];
    const unsigned start = (unsigned)-TURNS / 2;
    size_t wrong = 0;
    for (size_t i = 0; i < THREADS; i++)
        eventcounts[i].count = start;
#pragma omp parallel num_threads(THREADS) reduction(+ : wrong)
    {
        size_t self = (size_t)omp_get_thread_num(), team = (size_t)omp_get_num_threads();
        for (size_t turn = 1; turn <= TURNS; turn++) {
            written[turn % 2][self] = turn;
            eventcount_advance(&eventcounts[self]);
            for (size_t i = 0; i < team; i++) {
                unsigned count = eventcount_await(&eventcounts[i], start + (unsigned)turn);
                wrong += written[turn % 2][i] != turn || !eventcount_reached(count, start + (unsigned)turn);
            }
        }
    }
    assert_int_equal(wrong, 0);
    assert_true(eventcount_reached(2, (unsigned)-3) && !eventcount_reached((unsigned)-3, 2));
}

static enum status interrupt_at_2(void *context, size_t which, const struct fit_epoch *epoch) {
    assert_int_equal(which, 0);
    *(size_t *)context = epoch->epoch;
    if (epoch->epoch == 2)
        raise(SIGINT);
    return STATUS_OK;
}

static enum status refuse_at_3(void *context, size_t which, const struct fit_epoch *epoch) {
    assert_int_equal(which, 0);
    *(size_t *)context = epoch->epoch;
    return epoch->epoch == 3 ? status_set(STATUS_IO, "full") : STATUS_OK;
}

static void test_listener_ends_the_fit(void **state) {
    (void)state;
    struct data_split data = make_data(200, 30, 4, 3);
    struct fit_options options = {
        .epochs = 5, .batch_size = 32, .threads = 2, .optim = {.kind = OPTIM_ADAM, .rate = 0.01}};
    struct fit_epoch history[5];
    struct head head;
    size_t done = 0, heard = 0;
    assert_int_equal(head_create(&head, kernels, 30, 4), STATUS_OK);
    head_initialize(&head, 0);
    assert_int_equal(fit_run(&head, all_of(&data), (struct data_rows){.dim = 30}, &options, refuse_at_3,
                             &heard, history, &done),
                     STATUS_IO);
    assert_int_equal(done, 3);
    assert_int_equal(heard, 3);
    assert_string_equal(status_message(), "full");
    head_free(&head);
    data_unload(&data);
}

/* The last test: the signal stays noted. */
static void test_interrupt(void **state) {
    (void)state;
    signal(SIGINT, SIG_DFL); /* which is ignored behind a shell's & */
    interrupt_init();
    struct data_split data = make_data(200, 30, 4, 3);
    struct fit_options options = {
        .epochs = 5, .batch_size = 32, .threads = 2, .optim = {.kind = OPTIM_ADAM, .rate = 0.01}};
    struct fit_epoch history[5];
    struct head head;
    struct evaluate_result result;
    size_t done = 0, heard = 0;
    assert_int_equal(head_create(&head, kernels, 30, 4), STATUS_OK);
    head_initialize(&head, 0);
    assert_int_equal(fit_run(&head, all_of(&data), (struct data_rows){.dim = 30}, &options, interrupt_at_2,
                             &heard, history, &done),
                     STATUS_INTERRUPTED);
    assert_int_equal(done, 2);
    assert_int_equal(heard, 2);
    assert_non_null(strstr(status_message(), "epoch 3 of 5"));
    assert_int_equal(evaluate_run(&head, all_of(&data), 0, 2, NULL, NULL, &result), STATUS_INTERRUPTED);
    head_free(&head);
    data_unload(&data);
}

int main(void) {
    if (head_kernels_select(&kernels) != STATUS_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slopes),       cmocka_unit_test(test_same_bits_for_any_threads),
        cmocka_unit_test(test_seed_matters), cmocka_unit_test(test_predictions),
        cmocka_unit_test(test_confusion),    cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_balance),      cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_eventcount),   cmocka_unit_test(test_listener_ends_the_fit),
        cmocka_unit_test(test_interrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
