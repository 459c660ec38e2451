/* test_checkpoint_faults: checkpoints that lie or are damaged, and each system call by which one is
 * written, failing or being the moment of a SIGKILL: what is refused is refused in one line, and the
 * checkpoint that was there stays until the new one is whole.
 *
 * faults.h intercepts the calls. */
#include "tests/unit/checkpoint_fixture.h"
#include "tests/unit/faults.h"

enum { HEADS = 2, PATIENCE = 2 };

static const struct optim_settings settings[HEADS] = {{.kind = OPTIM_ADAM, .rate = 0.01},
                                                      {.kind = OPTIM_SGD, .rate = 0.02, .momentum = 0.9}};

static char path[512];
static struct checkpoint checkpoint = {path, 1, "a=1\nb=2\n"};

/* A fit's state after some epochs: heads and learners, with numbers in them that tell epoch and place. */
struct made {
    struct point point;
    struct learner learners[HEADS];
};

static void made_create(struct made *made, size_t epoch) {
    point_create(&made->point, settings, HEADS);
    for (size_t h = 0; h < HEADS; h++) {
        struct learner *learner = &made->learners[h];
        struct fit_head *fit = &made->point.fits[h];
        assert_ok(learner_create(learner, fit->head, &settings[h], PATIENCE));
        float *arrays[] = {fit->head->kernel, learner->kernel_optim.slots[0], learner->kernel_optim.slots[1],
                           learner->patience.kernel};
        for (size_t a = 0; a < 4; a++)
            for (size_t i = 0; arrays[a] != NULL && i < head_weights(fit->head); i++)
                arrays[a][i] = (float)(epoch * 10 + h) + (float)(a * 1000 + i) / 4096;
        fit->done = epoch;
        learner->patience.lowest = 0.5;
        for (size_t e = 0; e < epoch; e++)
            fit->history[e] = (struct fit_epoch){e + 1, 1, 0.5, 2, 0.25, 0.125, 0.01};
    }
}

static void made_free(struct made *made) {
    for (size_t h = 0; h < HEADS; h++)
        learner_free(&made->learners[h]);
    point_free(&made->point);
}

static void write_epoch(size_t epoch) {
    struct made made;
    made_create(&made, epoch);
    assert_ok(checkpoint_write(&checkpoint, epoch, made.point.fits, made.learners, HEADS));
    made_free(&made);
}

/* Reads the checkpoint into fresh heads; what is accepted must be written again as the same file. */
static enum status read_back(size_t *epoch_ret) {
    struct made made;
    made_create(&made, 0);
    enum status status =
        checkpoint_read(&checkpoint, POINT_EPOCHS, epoch_ret, made.point.fits, made.learners, HEADS);
    if (status == STATUS_OK && *epoch_ret > 0) {
        struct checkpoint again = {unit_path("again.h5"), 1, checkpoint.settings};
        assert_ok(checkpoint_write(&again, *epoch_ret, made.point.fits, made.learners, HEADS));
    }
    made_free(&made);
    return status;
}

static int prepare(void **state) {
    int failed = unit_scratch_make(state);
    snprintf(path, sizeof path, "%s", unit_path("state.h5"));
    return failed;
}

static void test_sound(void **state) {
    (void)state;
    size_t epoch = 9;
    assert_ok(read_back(&epoch)); /* there is none */
    assert_int_equal(epoch, 0);
    for (size_t e = 1; e <= POINT_EPOCHS; e++) {
        write_epoch(e);
        assert_ok(read_back(&epoch));
        assert_int_equal(epoch, e);
        assert_true(unit_same_files(path, unit_path("again.h5")));
        assert_int_equal(unit_remove_partials(), 0);
    }
    unlink(path);
}

/* ---- faults ---- */

struct run {
    enum fault fault;
    long n;
};

enum { UNDISTURBED = 100, SUCCEEDED = 101 };

static void run(void *argument) {
    const struct run *run = argument;
    struct made made;
    made_create(&made, 2);
    fault = run->fault;
    countdown = run->n;
    calls = 0;
    enum status status = checkpoint_write(&checkpoint, 2, made.point.fits, made.learners, HEADS);
    bool struck = fault == FAULT_FAIL_FOR_GOOD ? calls >= run->n : countdown == 0;
    fault = FAULT_NONE;
    fprintf(stderr, "%s", status == STATUS_OK ? "" : status_message());
    int code = !struck ? UNDISTURBED : status == STATUS_OK ? SUCCEEDED : (int)status;
    unit_exit(code);
}

/* For n = 1, 2, ... until the n-th call is not reached any more: over the checkpoint of epoch 1, that of
 * epoch 2 is written. */
static void strike_each(enum fault kind) {
    char text[2048];
    long n = 1;
    for (;; n++) {
        struct run argument = {kind, n};
        size_t epoch = 0;
        unlink(path);
        unit_remove_partials();
        write_epoch(1);
        int status = unit_child(run, &argument, text, sizeof text);
        if (status == UNDISTURBED)
            break;
        assert_ok(read_back(&epoch));
        if (kind == FAULT_KILL)
            assert_int_equal(status, 128 + SIGKILL);
        else if (status != SUCCEEDED) { /* the folder's fsync may fail */
            assert_int_equal(status, STATUS_IO);
            assert_true(strstr(text, "state.h5") != NULL && strchr(text, '\n') == NULL);
            assert_int_equal(epoch, 1);
        }
        assert_true(epoch == 1 || (epoch == 2 && (kind == FAULT_KILL || status == SUCCEEDED)));
        size_t left = unit_remove_partials();
        assert_true(kind == FAULT_KILL ? left <= 1 : left == 0);
        write_epoch(3); /* what was left does not disturb the next one */
        assert_ok(read_back(&epoch));
        assert_int_equal(epoch, 3);
        assert_true(n < 1000);
    }
    assert_true(n > 5); /* the calls were intercepted indeed */
    print_message("# fault %d: %ld calls\n", (int)kind, n - 1);
    unlink(path);
}

static void test_fail(void **state) {
    (void)state;
    strike_each(FAULT_FAIL);
    strike_each(FAULT_FAIL_FOR_GOOD);
}

static void test_kill(void **state) {
    (void)state;
    strike_each(FAULT_KILL);
}

/* ---- files that lie ---- */

/* Opens the checkpoint of epoch 3 for changes. */
static hid_t open_sound(void) {
    write_epoch(3);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

static void refused(hid_t file, enum status want, const char *what) {
    size_t epoch = 9, nbytes, after_nbytes;
    assert_true(H5Fclose(file) >= 0);
    unsigned char *before = unit_read_file(path, &nbytes);
    enum status status = read_back(&epoch);
    if (status != want || strchr(status_message(), '\n') || !strstr(status_message(), path))
        fail_msg("%s: %s (%s)", what, status_name(status), status_message());
    assert_int_equal(epoch, 0);
    unsigned char *after = unit_read_file(path, &after_nbytes);
    assert_true(nbytes == after_nbytes && memcmp(before, after, nbytes) == 0);
    free(before);
    free(after);
}

/* Replaces an attribute by a whole number, or takes it away. */
static void set_whole(hid_t file, const char *where, const char *name, int64_t value, bool present) {
    hid_t object = H5Oopen(file, where, H5P_DEFAULT), space = H5Screate(H5S_SCALAR);
    assert_true(H5Adelete(object, name) >= 0);
    if (present) {
        hid_t attribute = H5Acreate2(object, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
        assert_true(H5Awrite(attribute, H5T_NATIVE_INT64, &value) >= 0);
        H5Aclose(attribute);
    }
    H5Sclose(space);
    H5Oclose(object);
}

static void test_attributes(void **state) {
    (void)state;
    static const struct {
        const char *where, *name;
        int64_t value;
    } cases[] = {
        {"/", "epoch", 0},           {"/", "epoch", POINT_EPOCHS + 1},
        {"/", "epoch", -1},          {"/", "epoch", INT64_MAX},
        {"/", "epoch", 2},           {"/", "epoch", 4},
        {"/", "heads", 0},           {"/", "heads", 1},
        {"/", "heads", 3},           {"/", "heads", -2},
        {"/", "format", 1},          {"/", "format_version", 0},
        {"/", "format_version", 3},  {"/", "settings", 7},
        {"/head_0", "done", 0},      {"/head_0", "done", 2},
        {"/head_0", "done", 4},      {"/head_1", "done", INT64_MAX},
        {"/head_0", "done", -1},     {"/head_0", "diverged", 1},
        {"/head_0", "diverged", 3},  {"/head_1", "diverged", 4},
        {"/head_1", "diverged", -1}, {"/head_0", "over", -1},
        {"/head_0", "waited", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char what[96];
        snprintf(what, sizeof what, "%s %s = %lld", cases[i].where, cases[i].name, (long long)cases[i].value);
        hid_t file = open_sound();
        set_whole(file, cases[i].where, cases[i].name, cases[i].value, true);
        refused(file, STATUS_FORMAT, what);
        file = open_sound();
        set_whole(file, cases[i].where, cases[i].name, 0, false);
        refused(file, STATUS_FORMAT, what);
    }
    struct made made; /* a checkpoint of which none can go on */
    made_create(&made, 3);
    for (size_t h = 0; h < HEADS; h++) {
        made.point.fits[h].done = 2;
        made.point.fits[h].diverged = 3;
        made.learners[h].over = true;
    }
    assert_ok(checkpoint_write(&checkpoint, 3, made.point.fits, made.learners, HEADS));
    made_free(&made);
    size_t epoch = 9;
    assert_fails(read_back(&epoch), STATUS_FORMAT, "damaged; remove the checkpoint");
    assert_int_equal(epoch, 0);
    unlink(path);
}

/* Numbers that are possible, but not those that were written. */
static void test_changed_numbers(void **state) {
    (void)state;
    hid_t file = open_sound();
    set_whole(file, "/head_1", "waited", 1, true);
    refused(file, STATUS_CORRUPT, "waited");
    file = open_sound();
    const double other = 0.75;
    hid_t history = H5Dopen2(file, "/head_0/history", H5P_DEFAULT), space = H5Screate(H5S_SCALAR);
    hid_t one = H5Dget_space(history);
    const hsize_t at[2] = {1, 3};
    assert_true(H5Sselect_elements(one, H5S_SELECT_SET, 1, at) >= 0);
    assert_true(H5Dwrite(history, H5T_NATIVE_DOUBLE, space, one, H5P_DEFAULT, &other) >= 0);
    H5Sclose(one);
    H5Sclose(space);
    H5Dclose(history);
    refused(file, STATUS_CORRUPT, "history");
    unlink(path);
}

/* Every group and dataset missing, or of another shape or type. */
static void test_datasets(void **state) {
    (void)state;
    static const char *const names[] = {"/head_0/kernel",
                                        "/head_0/bias",
                                        "/head_0/kernel_moment_1",
                                        "/head_0/kernel_moment_2",
                                        "/head_0/bias_moment_1",
                                        "/head_0/bias_moment_2",
                                        "/head_0/best_kernel",
                                        "/head_0/best_bias",
                                        "/head_1/kernel_moment_1",
                                        "/head_0/history",
                                        "/head_1/history",
                                        "/head_0",
                                        "/head_1"};
    static const hsize_t few[] = {2, 7}, none[] = {0, 7}, cube[] = {3, 7, 1}, many[] = {1 << 20};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int change = 0; change < 7; change++) {
            hid_t file = open_sound();
            assert_true(H5Ldelete(file, names[i], H5P_DEFAULT) >= 0);
            const hsize_t *dims = change == 1 ? many : change == 2 ? cube : change == 3 ? none : few;
            hid_t space = H5Screate_simple(change == 1 ? 1 : change == 2 ? 3 : 2, dims, NULL);
            hid_t object = H5I_INVALID_HID;
            if (change > 0 && change < 5)
                object =
                    H5Dcreate2(file, names[i], H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
            else if (change == 5)
                object = H5Gcreate2(file, names[i], H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
            else if (change == 6) /* to itself */
                assert_true(H5Lcreate_soft(names[i], file, names[i], H5P_DEFAULT, H5P_DEFAULT) >= 0);
            if (object >= 0)
                H5Oclose(object);
            H5Sclose(space);
            refused(file, STATUS_FORMAT, names[i]);
        }
    unlink(path);
}

static void test_strings_for_numbers(void **state) {
    (void)state;
    hid_t file = open_sound();
    const hsize_t dims[1] = {16}; /* as many as columns */
    hid_t space = H5Screate_simple(1, dims, NULL);
    assert_true(H5Ldelete(file, "/head_0/bias", H5P_DEFAULT) >= 0);
    H5Dclose(H5Dcreate2(file, "/head_0/bias", H5T_C_S1, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
    refused(file, STATUS_IO, "text"); /* HDF5 knows no way to read it */
    unlink(path);
}

/* Files of other kinds. */
static void test_foreign(void **state) {
    (void)state;
    size_t epoch;
    struct cache_info info = fixture_info();
    static const char text[] = "epoch,loss\n1,0.5\n";
    unit_write_file(path, text, sizeof text - 1);
    assert_fails(read_back(&epoch), STATUS_FORMAT, path);
    unit_write_file(path, "", 0);
    assert_fails(read_back(&epoch), STATUS_FORMAT, path);
    assert_ok(fixture_write(path, &info, -1, true));
    assert_fails(read_back(&epoch), STATUS_FORMAT, "is there and no checkpoint; name another file");
    unlink(path);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    assert_fails(read_back(&epoch), STATUS_FORMAT, "is there and no checkpoint");
    unlink(path);
    struct checkpoint folder = {unit_folder, 1, checkpoint.settings};
    struct made made;
    made_create(&made, 0);
    assert_fails(checkpoint_read(&folder, POINT_EPOCHS, &epoch, made.point.fits, made.learners, HEADS),
                 STATUS_FORMAT, unit_folder);
    made_free(&made);
}

/* ---- damage ---- */

static void read_damaged(void *argument) {
    size_t epoch;
    (void)argument;
    enum status status = read_back(&epoch);
    fprintf(stderr, "%s", status == STATUS_OK ? "" : status_message());
    _exit(status == STATUS_OK ? 0 : 10 + (int)status);
}

/* Whether it was accepted. HDF5's own crash, of which h5_open() tells in one line, counts as refused. */
static bool accepted_damaged(const unsigned char *bytes, size_t nbytes, const char *what, size_t at) {
    static char text[1 << 16];
    unit_write_file(path, bytes, nbytes);
    int status = unit_child(read_damaged, NULL, text, sizeof text);
    if (status == 0)
        return true;
    if (status == 99 && unit_blames_hdf5(text))
        return false;
    bool one_line = text[0] != '\0' && (strchr(text, '\n') == NULL || text[strcspn(text, "\n") + 1] == '\0');
    if ((status != 1 && status != 10 + STATUS_FORMAT && status != 10 + STATUS_IO &&
         status != 10 + STATUS_MISMATCH && status != 10 + STATUS_CORRUPT) ||
        !one_line || strstr(text, "state.h5") == NULL)
        fail_msg("%s at %zu: status %d, \"%s\"", what, at, status, text);
    return false;
}

static void test_cut(void **state) {
    (void)state;
    size_t nbytes;
    write_epoch(3);
    unsigned char *bytes = unit_read_file(path, &nbytes);
    for (size_t length = 0; length < nbytes; length += length < 200 ? 13 : 1 + nbytes / 60)
        assert_false(accepted_damaged(bytes, length, "cut", length));
    assert_false(accepted_damaged(bytes, nbytes - 1, "cut", nbytes - 1));
    assert_true(accepted_damaged(bytes, nbytes, "whole", nbytes));
    free(bytes);
    unlink(path);
}

static void test_bytes_changed(void **state) {
    (void)state;
    enum { CASES = 150 };
    struct rng rng;
    size_t nbytes, accepted = 0;
    unit_rng(&rng, "test_bytes_changed");
    write_epoch(3);
    unsigned char *bytes = unit_read_file(path, &nbytes);
    for (size_t i = 0; i < CASES; i++) {
        size_t at = rng_below(&rng, i % 2 ? nbytes : nbytes < 4096 ? nbytes : 4096);
        unsigned char sound = bytes[at];
        bytes[at] = i % 3 ? (unsigned char)(sound ^ 1 << rng_below(&rng, 8)) : (unsigned char)rng_next(&rng);
        accepted += accepted_damaged(bytes, nbytes, "changed", at);
        bytes[at] = sound;
    }
    print_message("# %zu of %d cases accepted\n", accepted, CASES);
    assert_true(accepted < CASES);
    free(bytes);
    unlink(path);
}

int main(void) {
    h5_init();
    signal(SIGXFSZ, SIG_IGN);
    if (head_kernels_select(&point_kernels) != STATUS_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),
        cmocka_unit_test(test_fail),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_changed_numbers),
        cmocka_unit_test(test_datasets),
        cmocka_unit_test(test_strings_for_numbers),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_bytes_changed),
    };
    return cmocka_run_group_tests(tests, prepare, unit_scratch_remove);
}
