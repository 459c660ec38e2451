/* test_tensorboard: train/tensorboard: histograms of chosen weights, names of files, and failures. What
 * a fit writes is tested by tests/interop/test_tensorboard.py, with a reader of its own. */
#include "tests/unit/unit.h"

#include <glob.h>
#include <math.h>
#include <sys/stat.h>

#include "common/base/mem.h"
#include "train/results/tensorboard.h"
#include "train/results/tensorboard.pb-c.h"

enum { DIM = 31 };

static const struct head_kernels *kernels;
static const struct fit_epoch epoch = {.epoch = 1, .loss = 0.5, .accuracy = 0.25};

static size_t count_files(const char *pattern) {
    glob_t found;
    size_t count = glob(unit_path(pattern), 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return count;
}

/* A head of one class with these weights. */
static struct head make_head(const float kernel[DIM], float bias) {
    struct head head;
    assert_ok(head_create(&head, kernels, DIM, 1));
    head_set(&head, kernel, &bias);
    return head;
}

/* Logs one epoch of a head into a new folder and unpacks its event, the second record. */
static Tensorboard__Event *log_epoch(const char *folder, const float kernel[DIM], float bias) {
    struct head head = make_head(kernel, bias);
    struct tensorboard_options options = {.folder = unit_path(folder), .histogram_freq = 1, .batches = 1};
    struct tensorboard *board;
    assert_ok(tensorboard_open(&board, &options));
    assert_ok(tensorboard_write(board, &epoch, &head));
    tensorboard_close(board);
    head_free(&head);
    glob_t found;
    char pattern[64];
    snprintf(pattern, sizeof pattern, "%s/train/*", folder);
    assert_int_equal(glob(unit_path(pattern), 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    size_t nbytes;
    unsigned char *bytes = unit_read_file(found.gl_pathv[0], &nbytes);
    uint64_t first, second;
    memcpy(&first, bytes, 8);
    memcpy(&second, bytes + first + 16, 8);
    assert_int_equal(first + second + 32, nbytes);
    Tensorboard__Event *event = tensorboard__event__unpack(NULL, second, bytes + first + 16 + 12);
    assert_non_null(event);
    assert_int_equal(event->what_case, TENSORBOARD__EVENT__WHAT_SUMMARY);
    free(bytes);
    globfree(&found);
    return event;
}

/* Whole numbers 0..30 in 30 buckets lie on their edges: each belongs to the bucket it opens, the last to the last. */
static void test_values_on_edges(void **state) {
    (void)state;
    float kernel[DIM];
    for (int i = 0; i < DIM; i++)
        kernel[i] = (float)i;
    Tensorboard__Event *event = log_epoch("edges", kernel, 7);
    assert_int_equal(event->summary->n_value, 5);
    const Tensorboard__Value *value = event->summary->value[3];
    assert_string_equal(value->tag, "dense/kernel/histogram");
    assert_int_equal(value->histo->n_bucket, TENSORBOARD_BUCKETS);
    assert_int_equal(value->histo->n_bucket_limit, TENSORBOARD_BUCKETS);
    for (int b = 0; b < TENSORBOARD_BUCKETS; b++) {
        assert_true(value->histo->bucket_limit[b] == b + 1);
        assert_true(value->histo->bucket[b] == (b < TENSORBOARD_BUCKETS - 1 ? 1 : 2));
    }
    assert_true(value->histo->min == 0 && value->histo->max == 30 && value->histo->num == 31);
    assert_true(value->histo->sum == 465 && value->histo->sum_squares == 9455);
    value = event->summary->value[4];
    assert_string_equal(value->tag, "dense/bias/histogram");
    assert_int_equal(value->histo->n_bucket, 1);
    assert_true(value->histo->bucket_limit[0] == 7 && value->histo->bucket[0] == 1);
    tensorboard__event__free_unpacked(event, NULL);
}

/* Every edge, of ranges whose thirtieth is no float, and the floats beside it. */
static void test_values_beside_edges(void **state) {
    (void)state;
    struct rng rng;
    unit_rng(&rng, "values beside edges");
    for (int turn = 0; turn < 50; turn++) {
        char folder[32];
        snprintf(folder, sizeof folder, "beside%d", turn);
        float low = (float)-rng_uniform(&rng), high = low + (float)rng_uniform(&rng) + 1e-3f, kernel[DIM];
        for (int i = 0; i < DIM; i++) {
            double edge = (double)low + ((double)high - (double)low) * i / TENSORBOARD_BUCKETS;
            kernel[i] = i == 0 ? low : i == DIM - 1 ? high : nextafterf((float)edge, turn % 2 ? low : high);
        }
        Tensorboard__Event *event = log_epoch(folder, kernel, 0);
        const Tensorboard__Histogram *histogram = event->summary->value[3]->histo;
        double wanted[TENSORBOARD_BUCKETS] = {0};
        for (int i = 0; i < DIM; i++) {
            int b = 0;
            while (b < TENSORBOARD_BUCKETS - 1 && (double)kernel[i] >= histogram->bucket_limit[b])
                b++;
            wanted[b]++;
        }
        for (int b = 0; b < TENSORBOARD_BUCKETS; b++)
            assert_true(histogram->bucket[b] == wanted[b]);
        tensorboard__event__free_unpacked(event, NULL);
    }
}

/* What is not finite is not counted, and a weight of which nothing is left has no histogram. */
static void test_not_finite(void **state) {
    (void)state;
    float kernel[DIM] = {NAN, INFINITY, -INFINITY, -2, 1};
    Tensorboard__Event *event = log_epoch("nan", kernel, NAN);
    assert_int_equal(event->summary->n_value, 4);
    const Tensorboard__Histogram *histogram = event->summary->value[3]->histo;
    assert_true(histogram->min == -2 && histogram->max == 1 && histogram->num == DIM - 3);
    double sum = 0;
    for (size_t b = 0; b < histogram->n_bucket; b++)
        sum += histogram->bucket[b];
    assert_true(sum == DIM - 3);
    tensorboard__event__free_unpacked(event, NULL);
}

/* Two fits of one process and one second do not meet. */
static void test_names(void **state) {
    (void)state;
    struct tensorboard_options options = {.folder = unit_path("names"), .validation = true, .batches = 1};
    struct tensorboard *boards[3];
    for (int i = 0; i < 3; i++)
        assert_ok(tensorboard_open(&boards[i], &options));
    assert_int_equal(count_files("names/train/*"), 3);
    assert_int_equal(count_files("names/validation/*"), 3);
    for (int i = 0; i < 3; i++)
        tensorboard_close(boards[i]);
    tensorboard_close(NULL);
}

static void test_failures(void **state) {
    (void)state;
    struct tensorboard_options options = {
        .folder = unit_path("failures"), .validation = true, .histogram_freq = 1, .batches = 1};
    struct tensorboard *board;
    assert_ok(tensorboard_open(&board, &options));
    float kernel[DIM] = {0};
    struct head head = make_head(kernel, 0);
    for (long n = 1; n <= 2; n++) {
        mem_test_fail_at(n);
        assert_fails(tensorboard_write(board, &epoch, &head), STATUS_NO_MEMORY, "histograms");
    }
    mem_test_fail_at(0);
    assert_ok(tensorboard_write(board, &epoch, &head));
    tensorboard_close(board);
    head_free(&head);

    /* The second folder cannot be made: the first keeps no file. */
    unit_write_file(unit_path("plain"), "", 0);
    options.folder = unit_path("plain");
    assert_fails(tensorboard_open(&board, &options), STATUS_IO, "plain/train: cannot make the folder");
    assert_null(board);
    assert_int_equal(mkdir(unit_path("half"), 0777), 0);
    unit_write_file(unit_path("half/validation"), "", 0);
    options.folder = unit_path("half");
    assert_fails(tensorboard_open(&board, &options), STATUS_IO, "half/validation/events.out");
    assert_int_equal(count_files("half/train/*"), 0);
}

int main(void) {
    if (head_kernels_select(&kernels) != STATUS_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_on_edges), cmocka_unit_test(test_values_beside_edges),
        cmocka_unit_test(test_not_finite),      cmocka_unit_test(test_names),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, unit_scratch_make, unit_scratch_remove);
}
