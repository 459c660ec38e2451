/* checkpoint_fixture: some heads, their fit with a checkpoint, and its results, for tests. */
#ifndef TESTS_UNIT_CHECKPOINT_FIXTURE_H
#define TESTS_UNIT_CHECKPOINT_FIXTURE_H

#include "tests/unit/rows_fixture.h"
#include "train/fit/checkpoint.h"
#include "train/fit/fit.h"

enum {
    POINT_ROWS = 160,
    POINT_FITTED = 120,
    POINT_DIM = 21,
    POINT_CLASSES = 5,
    POINT_EPOCHS = 6,
    POINT_HEADS = 3
};

static const struct head_kernels *point_kernels;

/* Heads, and what their fit reported. */
struct point {
    size_t count;
    struct head heads[POINT_HEADS];
    struct fit_epoch histories[POINT_HEADS][POINT_EPOCHS];
    struct fit_head fits[POINT_HEADS];
    size_t first_heard, stop_at; /* its first epoch; the one in which it ends the fit, or 0 */
};

static inline void point_create(struct point *point, const struct optim_settings settings[], size_t count) {
    *point = (struct point){.count = count};
    memset(point->histories, 0x7f,
           sizeof point->histories); /* what is never written shows up as odd numbers */
    for (size_t h = 0; h < count; h++) {
        assert_ok(head_create(&point->heads[h], point_kernels, POINT_DIM, POINT_CLASSES));
        head_initialize(&point->heads[h], 2);
        point->fits[h] =
            (struct fit_head){.head = &point->heads[h], .optim = settings[h], .history = point->histories[h]};
    }
}

static inline void point_free(struct point *point) {
    for (size_t h = 0; h < point->count; h++)
        head_free(&point->heads[h]);
}

static inline enum status point_listen(void *context, size_t which, const struct fit_epoch *epoch) {
    struct point *point = context;
    (void)which;
    if (point->first_heard == 0)
        point->first_heard = epoch->epoch;
    return epoch->epoch == point->stop_at ? status_set(STATUS_IO, "stopped") : STATUS_OK;
}

/* Fits rows 0..POINT_FITTED-1 of POINT_ROWS; the listener ends it in epoch stop_at, unless that is 0. */
static inline enum status point_fit(struct point *point, const struct data_split *data,
                                    const struct fit_options *like, const struct checkpoint *checkpoint,
                                    size_t stop_at) {
    struct fit_options options = *like;
    options.checkpoint = checkpoint;
    point->stop_at = stop_at;
    point->first_heard = 0;
    return fit_heads(point->fits, point->count, data_slice(data, 0, POINT_FITTED),
                     data_slice(data, POINT_FITTED, POINT_ROWS - POINT_FITTED), &options, point_listen,
                     point);
}

/* The same bits, but for seconds. */
static inline void point_assert_same(struct point *got, const struct point *want) {
    for (size_t h = 0; h < want->count; h++) {
        const struct head *a = &got->heads[h], *b = &want->heads[h];
        assert_int_equal(got->fits[h].done, want->fits[h].done);
        assert_int_equal(got->fits[h].diverged, want->fits[h].diverged);
        for (size_t e = 0; e < want->fits[h].done; e++)
            got->histories[h][e].seconds = want->histories[h][e].seconds;
        assert_memory_equal(got->histories[h], want->histories[h],
                            want->fits[h].done * sizeof(struct fit_epoch));
        if (want->fits[h].diverged > 0)
            continue;
        assert_memory_equal(a->kernel, b->kernel, head_weights(b) * sizeof(float));
        assert_memory_equal(a->bias, b->bias, b->columns * sizeof(float));
    }
}

static inline struct fit_options point_options(void) {
    return (struct fit_options){.epochs = POINT_EPOCHS, .batch_size = 32, .seed = 4, .threads = 1};
}

#endif
