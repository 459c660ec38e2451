/* test_checkpoint: train/checkpoint: a fit that was stopped anywhere goes on to the same bits; a
 * checkpoint of another fit is refused, naming what differs. */
#include "tests/unit/checkpoint_fixture.h"

static char path[512];

static int prepare(void **state) {
    int failed = unit_scratch_make(state);
    snprintf(path, sizeof path, "%s", unit_path("state.h5"));
    return failed;
}

/* Stops the fit in every epoch, with a checkpoint every 1, 2 and 3 epochs, and lets it go on, with another
 * number of threads. */
static void check_resume(const struct optim_settings settings[], size_t count, const struct data_split *data,
                         const struct fit_options *options) {
    struct point want, got;
    point_create(&want, settings, count);
    assert_ok(point_fit(&want, data, options, NULL, 0));
    size_t last = 0;
    for (size_t h = 0; h < count; h++)
        last = want.fits[h].done > last ? want.fits[h].done : last;
    for (size_t every = 1; every <= 3; every++)
        for (size_t stop = 1; stop <= last; stop++) {
            struct checkpoint checkpoint = {path, every, "a=1\nb=2\n"};
            struct fit_options later = *options;
            size_t kept = (stop - 1) / every * every; /* the epoch of the checkpoint; 0: none */
            later.threads = 1 + (int)(stop % 2);
            point_create(&got, settings, count);
            assert_fails(point_fit(&got, data, options, &checkpoint, stop), STATUS_IO, "stopped");
            assert_int_equal(unit_exists(path), kept > 0);
            point_free(&got);
            point_create(&got, settings, count);
            assert_ok(point_fit(&got, data, &later, &checkpoint, 0));
            assert_int_equal(got.first_heard, kept + 1);
            point_assert_same(&got, &want);
            point_free(&got);
            assert_int_equal(unit_remove_partials(), 0);
            if (last / every > 0) { /* behind its end there is nothing to do, but to the same bits */
                assert_true(unit_exists(path));
                point_create(&got, settings, count);
                assert_ok(point_fit(&got, data, &later, &checkpoint, 0));
                assert_true(got.first_heard == 0 || got.first_heard == last / every * every + 1);
                point_assert_same(&got, &want);
                point_free(&got);
            }
            unlink(path);
        }
    point_free(&want);
}

static const struct optim_settings adam = {.kind = OPTIM_ADAM, .rate = 0.01},
                                   sgd = {.kind = OPTIM_SGD, .rate = 0.05},
                                   nesterov = {.kind = OPTIM_SGD,
                                               .rate = 0.02,
                                               .momentum = 0.9,
                                               .nesterov = true,
                                               .l2 = 0.01},
                                   fast = {.kind = OPTIM_ADAM, .rate = 0.3, .l2 = 0.001},
                                   diverging = {.kind = OPTIM_SGD, .rate = 2e3, .l2 = 0.01};

static void test_one_head(void **state) {
    (void)state;
    static const float weights[POINT_CLASSES] = {1, 2, 0.5f, 0, 3};
    struct data_split data = rows_make(POINT_ROWS, POINT_DIM, POINT_CLASSES, 1);
    struct fit_options options = point_options();
    check_resume(&adam, 1, &data, &options);
    check_resume(&sgd, 1, &data, &options);
    check_resume(&nesterov, 1, &data, &options);
    options.class_weights = weights;
    options.schedule = OPTIM_COSINE;
    check_resume(&adam, 1, &data, &options);
    options.schedule = OPTIM_STEP;
    options.step_epochs = 2;
    options.step_factor = 0.5;
    check_resume(&nesterov, 1, &data, &options);
    data_unload(&data);
}

static void test_patience(void **state) {
    (void)state;
    struct data_split data = rows_make(POINT_ROWS, POINT_DIM, POINT_CLASSES, 1);
    struct fit_options options = point_options();
    struct point point;
    for (options.patience = 1; options.patience <= 2; options.patience++) {
        check_resume(&fast, 1, &data, &options);
        check_resume((const struct optim_settings[]){fast, adam, nesterov}, 3, &data, &options);
    }
    options.patience = 2; /* one stops early, one does not */
    point_create(&point, (const struct optim_settings[]){fast, adam}, 2);
    assert_ok(point_fit(&point, &data, &options, NULL, 0));
    assert_true(point.fits[0].done < POINT_EPOCHS && point.fits[1].done == POINT_EPOCHS);
    point_free(&point);
    data_unload(&data);
}

static void test_heads(void **state) {
    (void)state;
    struct data_split data = rows_make(POINT_ROWS, POINT_DIM, POINT_CLASSES, 1);
    struct fit_options options = point_options();
    struct point point;
    check_resume((const struct optim_settings[]){adam, sgd, nesterov}, 3, &data, &options);
    check_resume((const struct optim_settings[]){diverging, adam, nesterov}, 3, &data, &options);
    check_resume((const struct optim_settings[]){sgd, diverging, adam}, 3, &data, &options);
    point_create(&point, &diverging, 1);
    assert_fails(point_fit(&point, &data, &options, NULL, 0), STATUS_NOT_FINITE, "");
    assert_true(point.fits[0].diverged > 1 && point.fits[0].diverged < POINT_EPOCHS); /* with a history */
    point_free(&point);
    data_unload(&data);
}

/* Rows that stay in a cache. */
static void test_rows_in_a_file(void **state) {
    (void)state;
    struct data_split memory = rows_make(POINT_ROWS, POINT_DIM, POINT_CLASSES, 1), file;
    struct cache *cache;
    struct fit_options options = point_options();
    rows_write_cache(unit_path("rows.h5"), &memory, 16);
    assert_ok(cache_open(&cache, unit_path("rows.h5")));
    assert_ok(data_open(cache, CACHE_TRAIN, 0, &file));
    options.part_nbytes = (size_t)2 * 16 * file.stride * sizeof(float);
    check_resume(&adam, 1, &file, &options);
    check_resume((const struct optim_settings[]){nesterov, adam}, 2, &file, &options);
    data_unload(&file);
    data_unload(&memory);
    cache_close(cache);
}

/* Stopped again and again. */
static void test_many_stops(void **state) {
    (void)state;
    const struct optim_settings settings[] = {adam, nesterov};
    struct data_split data = rows_make(POINT_ROWS, POINT_DIM, POINT_CLASSES, 1);
    struct fit_options options = point_options();
    struct checkpoint checkpoint = {path, 1, ""};
    struct point want, got;
    point_create(&want, settings, 2);
    assert_ok(point_fit(&want, &data, &options, NULL, 0));
    for (size_t stop = 1; stop <= POINT_EPOCHS; stop++) {
        point_create(&got, settings, 2);
        assert_fails(point_fit(&got, &data, &options, &checkpoint, stop), STATUS_IO, "stopped");
        assert_int_equal(got.first_heard, stop > 1 ? stop - 1 : 1);
        point_free(&got);
    }
    point_create(&got, settings, 2);
    assert_ok(point_fit(&got, &data, &options, &checkpoint, 0));
    point_assert_same(&got, &want);
    point_free(&got);
    point_free(&want);
    data_unload(&data);
    unlink(path);
}

/* When the last head diverges too, the first one, which did before the checkpoint, is in the message. */
static void test_all_diverge(void **state) {
    (void)state;
    struct optim_settings settings[] = {diverging, diverging};
    struct data_split data = rows_make(POINT_ROWS, POINT_DIM, POINT_CLASSES, 1);
    struct fit_options options = point_options();
    struct checkpoint checkpoint = {path, 1, ""};
    struct point point;
    char want[1024];
    settings[0].rate = 1e12;
    point_create(&point, settings, 2);
    assert_fails(point_fit(&point, &data, &options, NULL, 0), STATUS_NOT_FINITE, "in epoch ");
    snprintf(want, sizeof want, "%s", status_message());
    size_t first = point.fits[0].diverged, last = point.fits[1].diverged;
    assert_true(first > 0 && first + 1 < last);
    point_free(&point);
    point_create(&point, settings, 2);
    assert_fails(point_fit(&point, &data, &options, &checkpoint, last - 1), STATUS_IO, "stopped");
    point_free(&point);
    point_create(&point, settings, 2);
    assert_fails(point_fit(&point, &data, &options, &checkpoint, 0), STATUS_NOT_FINITE, "in epoch ");
    assert_int_equal(point.fits[1].diverged, last);
    assert_string_equal(status_message(), want);
    point_free(&point);
    data_unload(&data);
    unlink(path);
}

/* Leaves a checkpoint of epoch 2 with these settings. */
static void leave_checkpoint(const struct data_split *data, const char *settings) {
    struct checkpoint checkpoint = {path, 2, settings};
    struct fit_options options = point_options();
    struct point point;
    point_create(&point, &adam, 1);
    assert_fails(point_fit(&point, data, &options, &checkpoint, 3), STATUS_IO, "stopped");
    point_free(&point);
}

/* The fit with other settings must be refused with all of `parts` in the message, and leave the file. */
static void refused(const struct data_split *data, const char *settings, const char *const parts[]) {
    struct checkpoint checkpoint = {path, 2, settings};
    struct fit_options options = point_options();
    struct point point;
    size_t nbytes, after_nbytes;
    unsigned char *before = unit_read_file(path, &nbytes);
    point_create(&point, &adam, 1);
    assert_fails(point_fit(&point, data, &options, &checkpoint, 0), STATUS_MISMATCH, path);
    for (size_t i = 0; parts[i] != NULL; i++)
        if (strstr(status_message(), parts[i]) == NULL)
            fail_msg("\"%s\" must tell \"%s\"", status_message(), parts[i]);
    assert_int_equal(point.first_heard, 0);
    point_free(&point);
    unsigned char *after = unit_read_file(path, &after_nbytes);
    assert_int_equal(after_nbytes, nbytes);
    assert_memory_equal(after, before, nbytes);
    free(after);
    free(before);
}

static void test_mismatch(void **state) {
    (void)state;
    struct data_split data = rows_make(POINT_ROWS, POINT_DIM, POINT_CLASSES, 1);
    leave_checkpoint(&data, "rate=0.1\nl2=0\nsweep=\n");
    refused(&data, "rate=0.2\nl2=0\nsweep=\n", (const char *[]){"fit: rate=0.1 there, 0.2 here;", NULL});
    refused(&data, "rate=0.1\nl2=0\nsweep=lr=1,2\n", (const char *[]){"sweep= there, lr=1,2 here", NULL});
    refused(&data, "rate=0.3\nl2=0\nsweep=x\n",
            (const char *[]){"rate=0.1 there, 0.3 here;", "sweep= there, x here", NULL});
    refused(&data, "rate=0.1\nl2=0\n", (const char *[]){"another fit", NULL});
    refused(&data, "", (const char *[]){"another fit", NULL});
    refused(&data, "rate=0.1\nl2=0\nsweep=\nseed=4\n", (const char *[]){"4 here", NULL});
    refused(&data, "rate=0.1\nl2=00\nsweep=\n", (const char *[]){"l2=0 there, 00 here", NULL});
    unlink(path);
    leave_checkpoint(&data, "");
    refused(&data, "rate=1\n", (const char *[]){"1 here", NULL});
    unlink(path);
    data_unload(&data);
}

/* Lines much longer than what a message shows of them, different at their ends alone. */
static void test_mismatch_of_long_settings(void **state) {
    (void)state;
    enum { LONG = 20000 };
    static char settings[LONG + 32];
    struct data_split data = rows_make(POINT_ROWS, POINT_DIM, POINT_CLASSES, 1);
    memcpy(settings, "sweep=", 6);
    memset(settings + 6, '1', LONG);
    strcpy(settings + LONG, "\nseed=4\n");
    for (size_t at = LONG - 1; at > 300; at /= 2) {
        leave_checkpoint(&data, settings);
        settings[at] = '2';
        refused(&data, settings, (const char *[]){"sweep=1111", NULL});
        settings[at] = '1';
        refused(&data, "sweep=1\nseed=4\n", (const char *[]){"sweep=1111", " there, 1 here", NULL});
        unlink(path);
    }
    data_unload(&data);
}

/* The n-th allocation fails, while a checkpoint is written and while it is read. */
static void test_no_memory(void **state) {
    (void)state;
    struct data_split data = rows_make(POINT_ROWS, POINT_DIM, POINT_CLASSES, 1);
    struct fit_options options = point_options();
    struct checkpoint checkpoint = {path, 2, "a=1\n"};
    struct point want, point;
    options.patience = 9;
    point_create(&want, &adam, 1);
    assert_ok(point_fit(&want, &data, &options, NULL, 0));
    long n = 0;
    for (enum status status = STATUS_NO_MEMORY; status != STATUS_OK;) {
        point_create(&point, &adam, 1);
        mem_test_fail_at(++n);
        status = point_fit(&point, &data, &options, &checkpoint, 0);
        mem_test_fail_at(0);
        assert_int_equal(unit_remove_partials(), 0);
        if (status == STATUS_OK)
            point_assert_same(&point, &want);
        else
            assert_fails(status, STATUS_NO_MEMORY, "");
        point_free(&point);
    }
    assert_true(n > 15); /* the last behind a checkpoint */
    point_free(&want);
    data_unload(&data);
    unlink(path);
}

static void test_cannot_write(void **state) {
    (void)state;
    struct data_split data = rows_make(POINT_ROWS, POINT_DIM, POINT_CLASSES, 1);
    struct fit_options options = point_options();
    static const char *const names[] = {"none/state.h5", "file/state.h5"};
    unit_write_file(unit_path("file"), "x", 1);
    for (size_t i = 0; i < 2; i++) {
        char where[512];
        snprintf(where, sizeof where, "%s", unit_path(names[i]));
        struct checkpoint checkpoint = {where, 2, "a=1\n"};
        struct point point;
        point_create(&point, &adam, 1);
        assert_fails(point_fit(&point, &data, &options, &checkpoint, 0), STATUS_IO, where);
        assert_int_equal(point.fits[0].done, 2);
        point_free(&point);
    }
    data_unload(&data);
}

int main(void) {
    h5_init();
    if (head_kernels_select(&point_kernels) != STATUS_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_head),   cmocka_unit_test(test_patience),
        cmocka_unit_test(test_heads),      cmocka_unit_test(test_rows_in_a_file),
        cmocka_unit_test(test_many_stops), cmocka_unit_test(test_all_diverge),
        cmocka_unit_test(test_mismatch),   cmocka_unit_test(test_mismatch_of_long_settings),
        cmocka_unit_test(test_no_memory),  cmocka_unit_test(test_cannot_write),
    };
    return cmocka_run_group_tests(tests, prepare, unit_scratch_remove);
}
