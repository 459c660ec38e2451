/* test_shuffle: train/shuffle and train/data: rows that stay in a cache are the rows that are read into
 * memory, each once per epoch, in the order that the header describes; and whatever walks over them gives the
 * same bits. */
#include "tests/unit/rows_fixture.h"

#include <math.h>

#include "train/fit/evaluate.h"
#include "train/fit/fit.h"
#include "train/fit/standardize.h"
#include "train/rows/shuffle.h"

static const struct head_kernels *kernels;

/* Rows in memory, and the same in a cache. */
struct both {
    struct data_split memory, file;
    struct cache *cache;
};

static struct both open_both(size_t count, size_t dim, size_t block_rows, size_t window_nbytes) {
    struct both both = {.memory = rows_make(count, dim, ROWS_CLASSES, count + dim)};
    rows_write_cache(unit_path("rows.h5"), &both.memory, block_rows);
    assert_ok(cache_open(&both.cache, unit_path("rows.h5")));
    assert_ok(data_open(both.cache, CACHE_TRAIN, window_nbytes, &both.file));
    return both;
}

static void close_both(struct both *both) {
    data_unload(&both->file);
    data_unload(&both->memory);
    cache_close(both->cache);
}

static void assert_same_rows(struct data_rows got, const struct data_split *want, size_t first) {
    assert_true(first + got.count <= want->count);
    assert_true(got.dim == want->dim && got.stride == want->stride && got.features != NULL);
    assert_memory_equal(got.features, want->features + first * want->stride,
                        got.count * want->stride * sizeof(float));
    assert_memory_equal(got.labels, want->labels + first, got.count * sizeof *got.labels);
}

static void test_load(void **state) {
    (void)state;
    static const size_t dims[] = {1, 6, 16, 17, 40}, counts[] = {1, 4, 11, 130};
    for (size_t d = 0; d < 5; d++)
        for (size_t c = 0; c < 4; c++) {
            struct both both = open_both(counts[c], dims[d], 4, 0);
            struct data_split loaded;
            assert_ok(data_load(both.cache, CACHE_TRAIN, &loaded));
            assert_same_rows(rows_all(&loaded), &both.memory, 0);
            assert_int_equal(loaded.count, counts[c]);
            assert_int_equal(data_nbytes(cache_info(both.cache), CACHE_TRAIN),
                             counts[c] * loaded.stride * sizeof(float));
            assert_null(both.file.features);
            assert_memory_equal(both.file.labels, both.memory.labels, counts[c] * sizeof(uint16_t));
            data_unload(&loaded);
            close_both(&both);
        }
}

/* All windows of all slices against the rows in memory. */
static void check_windows(size_t count, size_t dim, size_t block_rows, size_t window_nbytes) {
    struct both both = open_both(count, dim, block_rows, window_nbytes);
    const size_t some[] = {1, 2, 3, block_rows, block_rows + 1, 255, 256, 257, count, SIZE_MAX};
    const size_t firsts[] = {0, 1, block_rows, count / 2, count - 1};
    for (size_t s = 0; s < 5; s++) {
        size_t slice = firsts[s] < count ? firsts[s] : count - 1;
        struct data_rows rows = data_slice(&both.file, slice, count - slice), window;
        assert_memory_equal(rows.labels, both.memory.labels + slice, rows.count * sizeof(uint16_t));
        for (size_t first = 0; first < rows.count; first += 1 + first / 3)
            for (size_t m = 0; m < sizeof some / sizeof some[0]; m++) {
                size_t left = rows.count - first, wanted = some[m] < left ? some[m] : left;
                assert_ok(data_window(rows, first, some[m], &window));
                assert_true(window.count <= wanted);
                assert_true(window.count == wanted || window.count >= HEAD_BLOCK_MAX);
                assert_same_rows(window, &both.memory, slice + first);
            }
    }
    close_both(&both);
}

static void test_windows(void **state) {
    (void)state;
    check_windows(1, 6, 4, 0);
    check_windows(11, 6, 4, 0);
    check_windows(11, 16, 1, 1 << 20);
    check_windows(700, 17, 64, 0);
    check_windows(1500, 33, 64, 500 * 48 * 4);
    check_windows(1500, 16, 300, 0);
    check_windows(600, 5, 7, 0);
}

/* Of rows in memory a window is what was asked for, without a copy. */
static void test_window_of_memory(void **state) {
    (void)state;
    struct data_split data = rows_make(20, 6, 3, 1);
    struct data_rows rows = data_slice(&data, 5, 10), window;
    assert_ok(data_window(rows, 2, 4, &window));
    assert_true(window.features == data.features + (size_t)7 * 16 && window.labels == data.labels + 7);
    assert_int_equal(window.count, 4);
    assert_ok(data_window(rows, 2, SIZE_MAX, &window));
    assert_int_equal(window.count, 8);
    data_unload(&data);
}

static void test_order_in_memory(void **state) {
    (void)state;
    enum { COUNT = 301 };
    struct data_split data = rows_make(COUNT, 6, 3, 1);
    struct shuffle shuffle;
    struct shuffle_part part;
    assert_ok(shuffle_create(&shuffle, rows_all(&data), 32, 99, 0));
    for (size_t epoch = 1; epoch <= 3; epoch++) {
        struct rng rng;
        uint32_t want[COUNT];
        rng_init(&rng, 99, epoch);
        rng_permutation(&rng, want, COUNT);
        shuffle_begin(&shuffle, epoch);
        assert_ok(shuffle_next(&shuffle, &part));
        assert_int_equal(part.count, COUNT);
        assert_true(part.rows.features == data.features && part.rows.labels == data.labels);
        assert_memory_equal(part.order, want, sizeof want);
        assert_ok(shuffle_next(&shuffle, &part));
        assert_int_equal(part.count, 0);
    }
    shuffle_free(&shuffle);
    data_unload(&data);
}

/* The rows of an epoch in their order, as the header describes it: blocks in a random order, as many at a
 * time as fit, their rows in a random order, what is left over first. Returns the number of parts. */
static size_t describe(size_t count, size_t block_rows, size_t part_blocks, uint64_t seed, size_t epoch,
                       size_t *sequence) {
    size_t blocks = (count + block_rows - 1) / block_rows, used = 0, parts = 0;
    uint32_t *block_order = malloc(blocks * sizeof *block_order), *order = malloc(count * sizeof *order);
    size_t *read = malloc(count * sizeof *read);
    struct rng rng;
    rng_init(&rng, seed, epoch);
    rng_permutation(&rng, block_order, blocks);
    for (size_t next = 0; next < blocks; parts++) {
        size_t rows = 0;
        for (size_t b = 0; b < part_blocks && next < blocks; b++, next++)
            for (size_t r = 0; r < block_rows && block_order[next] * block_rows + r < count; r++)
                read[rows++] = block_order[next] * block_rows + r;
        rng_permutation(&rng, order, rows);
        for (size_t i = 0; i < rows; i++)
            sequence[used++] = read[order[i]];
    }
    assert_int_equal(used, count);
    free(read);
    free(order);
    free(block_order);
    return parts;
}

/* One epoch as it comes: every part in turn, its rows compared with those in memory. */
static size_t collect(struct shuffle *shuffle, const struct data_split *memory, size_t batch, size_t epoch,
                      size_t *sequence) {
    size_t used = 0, parts = 0;
    struct shuffle_part part;
    shuffle_begin(shuffle, epoch);
    for (;; parts++) {
        assert_ok(shuffle_next(shuffle, &part));
        if (part.count == 0)
            break;
        assert_true(used + part.count <= memory->count);
        for (size_t i = 0; i < part.count; i++) {
            const float *row = part.rows.features + part.order[i] * part.rows.stride;
            size_t number = rows_number(row);
            assert_true(part.order[i] < part.rows.count && number < memory->count);
            assert_memory_equal(row, memory->features + number * memory->stride,
                                memory->stride * sizeof(float));
            assert_int_equal(part.rows.labels[part.order[i]], memory->labels[number]);
            sequence[used++] = number;
        }
        assert_true(part.count % batch == 0 || used == memory->count);
    }
    assert_int_equal(used, memory->count);
    assert_ok(shuffle_next(shuffle, &part)); /* it stays at the end */
    assert_int_equal(part.count, 0);
    return parts;
}

static void check_order(size_t count, size_t block_rows, size_t batch, size_t part_blocks) {
    struct both both = open_both(count, 18, block_rows, 0);
    size_t nbytes = part_blocks * block_rows * both.file.stride * sizeof(float),
           total = sizeof(size_t) * count;
    size_t *first = malloc(total), *again = malloc(total), *want = malloc(total), *seen = calloc(count, 8);
    size_t epochs[] = {1, 2, 1};
    struct shuffle shuffle;
    assert_ok(shuffle_create(&shuffle, rows_all(&both.file), batch, 5, nbytes + 100));
    for (size_t e = 0; e < 3; e++) {
        size_t parts = collect(&shuffle, &both.memory, batch, epochs[e], again);
        size_t most = describe(count, block_rows, part_blocks > 0 ? part_blocks : 1, 5, epochs[e], want);
        assert_memory_equal(again, want, total);
        assert_true(parts <= most);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(seen[again[i]]++, e);
        if (e == 0)
            memcpy(first, again, total);
        else if (count > 10)
            assert_int_equal(memcmp(first, again, total) == 0, e == 2);
    }
    free(seen);
    free(want);
    free(again);
    free(first);
    shuffle_free(&shuffle);
    close_both(&both);
}

static void test_order_in_file(void **state) {
    (void)state;
    static const size_t counts[] = {1, 5, 64, 300}, blocks[] = {1, 4, 64}, batches[] = {1, 7, 32, 128, 1000};
    static const size_t part_blocks[] = {0, 1, 3, 1000};
    for (size_t c = 0; c < 4; c++)
        for (size_t b = 0; b < 3; b++)
            for (size_t n = 0; n < 5; n++)
                for (size_t p = 0; p < 4; p++)
                    check_order(counts[c], blocks[b], batches[n], part_blocks[p]);
}

/* A slice that begins in a block, as the validation rows do. */
static void check_evaluation(size_t count, size_t dim, size_t first) {
    struct both both = open_both(count, dim, 64, 0);
    size_t rows = count - first;
    uint16_t *predicted = malloc(2 * rows * sizeof *predicted);
    float *probabilities = malloc(2 * rows * ROWS_CLASSES * sizeof *probabilities);
    struct evaluate_result want, got;
    struct head head;
    assert_ok(head_create(&head, kernels, dim, ROWS_CLASSES));
    head_initialize(&head, 3);
    assert_true(both.file.file->window_rows < rows); /* there are several windows */
    assert_ok(
        evaluate_run(&head, data_slice(&both.memory, first, rows), 0.01, 2, predicted, probabilities, &want));
    for (int threads = 1; threads <= 3; threads++) {
        memset(predicted + rows, 0xff, rows * sizeof *predicted);
        assert_ok(evaluate_run(&head, data_slice(&both.file, first, rows), 0.01, threads, predicted + rows,
                               probabilities + rows * ROWS_CLASSES, &got));
        assert_memory_equal(&got, &want, sizeof want);
        assert_memory_equal(predicted + rows, predicted, rows * sizeof *predicted);
        assert_memory_equal(probabilities + rows * ROWS_CLASSES, probabilities,
                            rows * ROWS_CLASSES * sizeof *probabilities);
    }
    head_free(&head);
    free(probabilities);
    free(predicted);
    close_both(&both);
}

static void test_evaluation(void **state) {
    (void)state;
    check_evaluation(1500, 40, 0);
    check_evaluation(1500, 40, 333);
    check_evaluation(1000, 600, 1); /* several pieces; smaller blocks */
}

static void test_standardize(void **state) {
    (void)state;
    struct both both = open_both(1500, 70, 64, 0);
    struct scale want, got;
    struct data_rows window;
    assert_ok(standardize_measure(&want, data_slice(&both.memory, 0, 1203), 2));
    for (int threads = 1; threads <= 3; threads++) {
        assert_ok(standardize_measure(&got, data_slice(&both.file, 0, 1203), threads));
        assert_int_equal(got.constant_count, want.constant_count);
        assert_memory_equal(got.mean, want.mean, 70 * sizeof(double));
        assert_memory_equal(got.inverse, want.inverse, 70 * sizeof(double));
        scale_free(&got);
    }
    data_scale(&both.memory, &want, 2);
    data_scale(&both.file, &want, 2);
    for (size_t at = 0; at < 1500; at += window.count) {
        assert_ok(data_window(rows_all(&both.file), at, SIZE_MAX, &window));
        assert_same_rows(window, &both.memory, at);
    }
    scale_free(&want);
    close_both(&both);
}

/* The fit of an epoch from a file is that of rows in memory which stand so that memory's order of rows makes
 * the same sequence of them. */
static void check_fit(size_t count, size_t validation, size_t batch, size_t part_blocks, double l2) {
    struct both both = open_both(count + validation, 600, 64, 0);
    struct data_split placed = rows_make(count, 600, ROWS_CLASSES, 0);
    size_t *sequence = malloc(count * sizeof *sequence), done;
    uint32_t *order = malloc(count * sizeof *order);
    struct rng rng;
    describe(count, 64, part_blocks, 5, 1, sequence);
    rng_init(&rng, 5, 1);
    rng_permutation(&rng, order, count);
    for (size_t i = 0; i < count; i++) {
        memcpy(placed.features + order[i] * placed.stride, both.memory.features + sequence[i] * placed.stride,
               placed.stride * sizeof(float));
        placed.labels[order[i]] = both.memory.labels[sequence[i]];
    }
    struct fit_options options = {.epochs = 1,
                                  .batch_size = batch,
                                  .seed = 5,
                                  .threads = 2,
                                  .part_nbytes = part_blocks * 64 * placed.stride * sizeof(float),
                                  .optim = {.kind = OPTIM_ADAM, .rate = 0.01, .l2 = l2}};
    struct fit_epoch want, got;
    struct head heads[2];
    for (int threads = 0; threads <= 3; threads++) {
        struct head *head = &heads[threads > 0];
        options.threads = threads > 0 ? threads : 2;
        assert_ok(head_create(head, kernels, 600, ROWS_CLASSES));
        head_initialize(head, 1);
        assert_ok(fit_run(head, threads > 0 ? data_slice(&both.file, 0, count) : rows_all(&placed),
                          data_slice(threads > 0 ? &both.file : &both.memory, count, validation), &options,
                          NULL, NULL, threads > 0 ? &got : &want, &done));
        if (threads == 0)
            continue;
        want.seconds = got.seconds;
        assert_memory_equal(&got, &want, sizeof got);
        assert_memory_equal(head->kernel, heads[0].kernel, head_weights(head) * sizeof(float));
        assert_memory_equal(head->bias, heads[0].bias, head->columns * sizeof(float));
        head_free(head);
    }
    head_free(&heads[0]);
    free(order);
    free(sequence);
    data_unload(&placed);
    close_both(&both);
}

static void test_fit(void **state) {
    (void)state;
    check_fit(640, 64, 50, 2, 0); /* batches cross from part to part */
    check_fit(1000, 500, 128, 3, 0.01);
    check_fit(700, 300, 1000, 1, 0);  /* one batch, many parts */
    check_fit(300, 20, 7, 100, 0.01); /* one part */
}

/* What changes in the cache after it was opened is found whenever it is read. */
static void test_damage(void **state) {
    (void)state;
    struct both both = open_both(1000, 40, 64, 0);
    size_t offset, nbytes, parts = 0, done;
    rows_write_cache(unit_path("same.h5"), &both.memory, 64);
    fixture_place(unit_path("same.h5"), "/train/features", &offset, &nbytes);
    struct data_rows rows = rows_all(&both.file), window;
    struct head head;
    struct evaluate_result result;
    struct scale standardize;
    struct shuffle shuffle;
    struct shuffle_part part;
    struct fit_epoch history;
    struct fit_options options = {
        .epochs = 1, .batch_size = 32, .threads = 2, .optim = {.kind = OPTIM_SGD, .rate = 0.01}};
    assert_ok(head_create(&head, kernels, 40, ROWS_CLASSES));
    assert_ok(evaluate_run(&head, rows, 0, 2, NULL, NULL, &result));
    FILE *stream = fopen(unit_path("rows.h5"), "r+b");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, (long)(offset + 900 * 40 * sizeof(float)), SEEK_SET), 0);
    int byte = fgetc(stream);
    assert_int_equal(fseek(stream, -1, SEEK_CUR), 0);
    assert_int_equal(fputc(byte ^ 1, stream), byte ^ 1);
    assert_int_equal(fclose(stream), 0);
    const char *says = "rows 896 to 959 of train are damaged";
    assert_ok(data_window(rows, 0, 64, &window));
    assert_fails(data_window(rows, 900, 1, &window), STATUS_CORRUPT, says);
    assert_fails(evaluate_run(&head, rows, 0, 2, NULL, NULL, &result), STATUS_CORRUPT, says);
    assert_fails(standardize_measure(&standardize, rows, 2), STATUS_CORRUPT, says);
    assert_fails(data_check_finite(rows, 0), STATUS_CORRUPT, says);
    assert_fails(data_open(both.cache, CACHE_TRAIN, 0, &(struct data_split){0}), STATUS_CORRUPT, says);
    assert_fails(fit_run(&head, rows, (struct data_rows){.dim = 40}, &options, NULL, NULL, &history, &done),
                 STATUS_CORRUPT, says);
    assert_fails(fit_run(&head, data_slice(&both.file, 0, 800), data_slice(&both.file, 800, 200), &options,
                         NULL, NULL, &history, &done),
                 STATUS_CORRUPT, says);
    assert_ok(shuffle_create(&shuffle, rows, 32, 5, 0));
    shuffle_begin(&shuffle, 1);
    enum status status = STATUS_OK;
    for (; status == STATUS_OK && parts < 1000; parts++)
        status = shuffle_next(&shuffle, &part);
    assert_fails(status, STATUS_CORRUPT, says);
    shuffle_free(&shuffle);
    head_free(&head);
    close_both(&both);
}

static void test_not_finite(void **state) {
    (void)state;
    struct data_split memory = rows_make(1000, 20, ROWS_CLASSES, 1), file;
    struct cache *cache;
    struct scale standardize;
    memory.features[777 * memory.stride + 19] = NAN;
    rows_write_cache(unit_path("rows.h5"), &memory, 64);
    assert_ok(cache_open(&cache, unit_path("rows.h5")));
    assert_ok(data_open(cache, CACHE_TRAIN, 0, &file));
    assert_ok(data_check_finite(data_slice(&file, 0, 777), 0));
    assert_ok(data_check_finite(data_slice(&file, 778, 222), 778));
    assert_fails(data_check_finite(rows_all(&file), 0), STATUS_NOT_FINITE, "training row 777 ");
    assert_fails(data_check_finite(data_slice(&file, 600, 400), 600), STATUS_NOT_FINITE, "row 777 ");
    assert_fails(standardize_measure(&standardize, rows_all(&file), 2), STATUS_NOT_FINITE, "row 777 ");
    data_unload(&file);
    data_unload(&memory);
    cache_close(cache);
}

/* The n-th allocation fails, for every n until all goes well. */
static void test_no_memory(void **state) {
    (void)state;
    struct both both = open_both(500, 20, 64, 0);
    struct data_split split;
    struct shuffle shuffle;
    static const long calls[] = {4, 3, 7, 2}; /* the last of which does not fail */
    for (int which = 0; which < 4; which++) {
        enum status status = STATUS_NO_MEMORY;
        long n = 0;
        while (status == STATUS_NO_MEMORY) {
            mem_test_fail_at(++n);
            if (which == 0)
                status = data_open(both.cache, CACHE_TRAIN, 0, &split);
            else if (which == 1)
                status = data_load(both.cache, CACHE_TRAIN, &split);
            else
                status = shuffle_create(&shuffle, rows_all(which == 2 ? &both.file : &both.memory), 32, 1, 0);
            mem_test_fail_at(0);
        }
        assert_ok(status);
        assert_int_equal(n, calls[which]);
        if (which < 2)
            data_unload(&split);
        else
            shuffle_free(&shuffle);
    }
    close_both(&both);
}

int main(void) {
    h5_init();
    if (head_kernels_select(&kernels) != STATUS_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_window_of_memory),
        cmocka_unit_test(test_order_in_memory),
        cmocka_unit_test(test_order_in_file),
        cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_standardize),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, unit_scratch_make, unit_scratch_remove);
}
