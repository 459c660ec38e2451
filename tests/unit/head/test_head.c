/* test_head: train/head and train/head_io: initial weights, shapes, and the file, there and back and damaged. */
#include "tests/unit/unit.h"

#include <math.h>

#include "common/base/h5.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "train/head/head.h"
#include "train/head/head_io.h"

static const struct head_kernels *kernels;
static char folder[] = "/tmp/test_train_head.XXXXXX";
static char path[64], other[64];

static struct cache_info make_info(size_t dim, size_t classes) {
    struct cache_info info = {.complete = true, .dim = dim, .classes = classes, .input_size = 56};
    snprintf(info.backbone, sizeof info.backbone, "vgg16");
    snprintf(info.layer, sizeof info.layer, "block5_pool");
    snprintf(info.resize, sizeof info.resize, "opencv-linear");
    snprintf(info.preprocess, sizeof info.preprocess, "rescale");
    memset(info.weights_sha256, 'a', sizeof info.weights_sha256 - 1);
    return info;
}

static const struct head_io_training training = {.settings = {.epochs = 7,
                                                              .batch_size = 128,
                                                              .seed = 1234567890123,
                                                              .nesterov = true,
                                                              .learning_rate = 0.01,
                                                              .momentum = 0.9,
                                                              .l2 = 1e-4,
                                                              .validation_split = 0.2,
                                                              .optimizer = OPTIM_SGD},
                                                 .isa = "generic"};

static void test_initial_weights(void **state) {
    (void)state;
    struct head head;
    assert_int_equal(head_create(&head, kernels, 512, 10), STATUS_OK);
    head_initialize(&head, 42);
    float kernel[5120], bias[10];
    head_get(&head, kernel, bias);
    const double limit = 0.10721125348377948; /* sqrt(6 / 522) */
    struct rng rng;
    rng_init(&rng, 42, 0);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < 5120; i++) {
        assert_true(kernel[i] == (float)((2 * rng_uniform(&rng) - 1) * limit));
        sum += (double)kernel[i];
        squares += (double)kernel[i] * (double)kernel[i];
    }
    assert_true(fabs(sum / 5120) < 4 * limit / sqrt(3.0 * 5120)); /* of a uniform distribution, at 4 sigma */
    assert_true(fabs(squares / 5120 / (limit * limit / 3) - 1) < 0.06);
    for (size_t c = 0; c < 10; c++)
        assert_true(bias[c] == 0);
    for (size_t c = 10; c < 16; c++)
        assert_true(head.bias[c] == 0);
    head_free(&head);
}

static void test_pieces(void **state) {
    (void)state;
    const size_t dims[] = {1, 15, 16, 127, 128, 129, 512, 1024, 1031, 2048, 25088};
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        struct head head;
        assert_int_equal(head_create(&head, kernels, dims[i], 17), STATUS_OK);
        assert_int_equal(head.columns, 32);
        assert_in_range(head.piece_count, 1, HEAD_PIECES_MAX);
        assert_int_equal(head_piece_first(&head, 0), 0);
        assert_int_equal(head_piece_first(&head, head.piece_count), (dims[i] + 15) / 16 * 16);
        for (size_t p = 0; p < head.piece_count; p++)
            assert_true(head_piece_first(&head, p) < head_piece_first(&head, p + 1));
        assert_in_range(head.block_rows, 16, HEAD_BLOCK_MAX);
        assert_int_equal(head.block_rows % 16, 0);
        head_free(&head);
    }
    struct head head;
    assert_int_equal(head_create(&head, kernels, 512, HEAD_CLASSES_MAX + 1), STATUS_UNSUPPORTED);
    assert_int_equal(head_create(&head, kernels, 0, 10), STATUS_UNSUPPORTED);
    for (int n = 1; n <= 2; n++) {
        mem_test_fail_at(n);
        assert_int_equal(head_create(&head, kernels, 512, 10), STATUS_NO_MEMORY);
    }
    mem_test_fail_at(0);
}

static void write_head(size_t dim, size_t classes, const struct cache_info *info) {
    struct head head;
    assert_int_equal(head_create(&head, kernels, dim, classes), STATUS_OK);
    head_initialize(&head, 3);
    for (size_t c = 0; c < classes; c++)
        head.bias[c] = (float)c / 3;
    assert_int_equal(head_io_write(path, &head, &training, info), STATUS_OK);
    head_free(&head);
}

static void test_round_trip(void **state) {
    (void)state;
    const size_t shapes[][2] = {{512, 10}, {1, 1}, {33, 100}};
    for (size_t s = 0; s < 3; s++) {
        size_t dim = shapes[s][0], classes = shapes[s][1];
        struct cache_info info = make_info(dim, classes);
        struct head head, want;
        struct head_io_training got;
        write_head(dim, classes, &info);
        assert_int_equal(access(path, R_OK), 0);
        assert_int_equal(head_io_read(path, kernels, &info, "c.h5", &head, &got), STATUS_OK);
        assert_int_equal(head_create(&want, kernels, dim, classes), STATUS_OK);
        head_initialize(&want, 3);
        for (size_t c = 0; c < classes; c++)
            want.bias[c] = (float)c / 3;
        assert_memory_equal(head.kernel, want.kernel, head_weights(&head) * sizeof(float));
        assert_memory_equal(head.bias, want.bias, head.columns * sizeof(float));
        assert_int_equal(got.settings.epochs, 7);
        assert_int_equal(got.settings.seed, 1234567890123);
        assert_int_equal(got.settings.nesterov, 1);
        assert_true(got.settings.learning_rate == 0.01 && got.settings.momentum == 0.9 &&
                    got.settings.l2 == 1e-4);
        assert_true(got.settings.validation_split == 0.2);
        assert_int_equal(got.settings.optimizer, OPTIM_SGD);
        assert_string_equal(got.isa, "generic");
        head_free(&head);
        head_free(&want);
    }
}

static size_t read_file(const char *name, char *bytes, size_t size) {
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    size_t count = fread(bytes, 1, size, file);
    fclose(file);
    return count;
}

static void test_equal_heads_equal_bytes(void **state) {
    (void)state;
    static char first[65536], second[65536];
    struct cache_info info = make_info(64, 10);
    write_head(64, 10, &info);
    size_t first_count = read_file(path, first, sizeof first);
    write_head(64, 10, &info); /* over the one that is there */
    size_t second_count = read_file(path, second, sizeof second);
    assert_true(first_count > 64 * 10 * 4 && first_count == second_count);
    assert_memory_equal(first, second, first_count);
}

static enum status read_back(const struct cache_info *info) {
    struct head head = {0};
    struct head_io_training got;
    enum status status = head_io_read(path, kernels, info, "c.h5", &head, &got);
    if (status != STATUS_OK)
        assert_null(head.kernel);
    head_free(&head);
    return status;
}

static void test_other_provenance(void **state) {
    (void)state;
    struct cache_info info = make_info(64, 10);
    write_head(64, 10, &info);
    struct cache_info differs = info;
    snprintf(differs.preprocess, sizeof differs.preprocess, "caffe");
    memset(differs.weights_sha256, 'b', sizeof differs.weights_sha256 - 1);
    assert_int_equal(read_back(&differs), STATUS_MISMATCH);
    assert_non_null(strstr(status_message(), "preprocess is rescale in the head and caffe in the cache"));
    assert_non_null(strstr(status_message(), "weights_sha256 is aaaa"));
    assert_non_null(strstr(status_message(), "bbbb"));
    assert_null(strstr(status_message(), "backbone"));
    snprintf(differs.engine, sizeof differs.engine, "gemm");
    differs = info;
    differs.classes = 11; /* the same kind of features, another shape */
    assert_int_equal(read_back(&differs), STATUS_FORMAT);
    differs = info;
    differs.dim = 65;
    assert_int_equal(read_back(&differs), STATUS_FORMAT);
    snprintf(info.engine, sizeof info.engine, "another");
    assert_int_equal(read_back(&info), STATUS_OK);
}

/* Changes one thing in a good file; each is one clear line, naming the file. */
static void damage(void (*change)(hid_t file), enum status want, const char *words) {
    struct cache_info info = make_info(64, 10);
    write_head(64, 10, &info);
    hid_t file;
    assert_int_equal(h5_open(&file, path, true), STATUS_OK);
    change(file);
    assert_int_equal(h5_close_written(&file), STATUS_OK);
    assert_int_equal(read_back(&info), want);
    if (strstr(status_message(), path) == NULL || strstr(status_message(), words) == NULL)
        fail_msg("\"%s\" should tell of \"%s\"", status_message(), words);
    assert_null(strchr(status_message(), '\n'));
}

static void no_format(hid_t file) {
    assert_true(H5Adelete(file, "format") >= 0);
}
static void a_cache(hid_t file) {
    assert_int_equal(h5_write_string(file, "format", "vggcache"), STATUS_OK);
}
static void next_version(hid_t file) {
    assert_int_equal(h5_write_whole(file, "format_version", 2), STATUS_OK);
}
static void no_layers(hid_t file) {
    assert_true(H5Adelete(file, "layer_names") >= 0);
}
static void two_layers(hid_t file) {
    const char *const names[] = {"dense", "dense"};
    assert_true(H5Adelete(file, "layer_names") >= 0);
    assert_int_equal(h5_write_strings(file, "layer_names", names, 2), STATUS_OK);
}
static void other_layer(hid_t file) {
    const char *const names[] = {"dense_9"};
    assert_true(H5Adelete(file, "layer_names") >= 0);
    assert_int_equal(h5_write_strings(file, "layer_names", names, 1), STATUS_OK);
}
static void rename_weights(hid_t file, const char *const names[], size_t count) {
    hid_t group;
    assert_int_equal(h5_open_group(&group, file, "dense"), STATUS_OK);
    assert_true(H5Adelete(group, "weight_names") >= 0);
    assert_int_equal(h5_write_strings(group, "weight_names", names, count), STATUS_OK);
    h5_close(&group);
}
static void one_weight(hid_t file) {
    rename_weights(file, (const char *const[]){"dense/kernel:0"}, 1);
}
static void swapped_weights(hid_t file) {
    rename_weights(file, (const char *const[]){"dense/bias:0", "dense/kernel:0"}, 2);
}
static void missing_weight(hid_t file) {
    rename_weights(file, (const char *const[]){"dense/kernel:0", "dense/gamma:0"}, 2);
}
static void weight_is_group(hid_t file) {
    rename_weights(file, (const char *const[]){"dense", "dense/bias:0"}, 2);
}
static void enormous_kernel(hid_t file) {
    const hsize_t dims[2] = {(hsize_t)1 << 40, 1 << 20};
    hid_t space = H5Screate_simple(2, dims, NULL);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk[2] = {64, 64};
    H5Pset_chunk(list, 2, chunk);
    hid_t dataset = H5Dcreate2(file, "dense/huge", H5T_IEEE_F32LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    assert_true(dataset >= 0);
    h5_close(&dataset);
    h5_close(&list);
    h5_close(&space);
    rename_weights(file, (const char *const[]){"huge", "dense/bias:0"}, 2);
}
static void nan_weight(hid_t file) {
    hid_t dataset;
    float values[10] = {0, NAN};
    assert_int_equal(h5_open_dataset(&dataset, file, "dense/dense/bias:0"), STATUS_OK);
    assert_int_equal(h5_write_rows(dataset, H5T_NATIVE_FLOAT, 0, 10, values), STATUS_OK);
    h5_close(&dataset);
}
static void no_provenance(hid_t file) {
    assert_true(H5Adelete(file, "cache_preprocess") >= 0);
}
static void negative_l2(hid_t file) {
    assert_int_equal(h5_write_real(file, "l2", -1), STATUS_OK);
}
static void text_l2(hid_t file) {
    assert_true(H5Adelete(file, "l2") >= 0);
    assert_int_equal(h5_write_string(file, "l2", "much"), STATUS_OK);
}

static void test_damaged_files(void **state) {
    (void)state;
    damage(no_format, STATUS_FORMAT, "not a head that train saved");
    damage(a_cache, STATUS_FORMAT, "feature cache");
    damage(next_version, STATUS_FORMAT, "format 2");
    damage(no_layers, STATUS_FORMAT, "layer_names");
    damage(two_layers, STATUS_FORMAT, "2 layers");
    damage(other_layer, STATUS_FORMAT, "dense_9");
    damage(one_weight, STATUS_FORMAT, "1 weights");
    damage(swapped_weights, STATUS_FORMAT, "is not float [64][10]");
    damage(missing_weight, STATUS_FORMAT, "gamma");
    damage(weight_is_group, STATUS_FORMAT, "no dataset");
    damage(enormous_kernel, STATUS_FORMAT, "is not float [64][10]");
    damage(nan_weight, STATUS_FORMAT, "not a finite number");
    damage(no_provenance, STATUS_FORMAT, "cache_preprocess");
    damage(negative_l2, STATUS_FORMAT, "l2");
    damage(text_l2, STATUS_FORMAT, "l2");
}

/* In a child, because HDF5 crashes on some damage: h5_open() then says so in one line and exits with 1. */
static void read_back_in_child(void *argument) {
    enum status status = read_back(argument);
    bool known =
        status == STATUS_OK || status == STATUS_FORMAT || status == STATUS_IO || status == STATUS_MISMATCH;
    _exit(!known ? 2 : status != STATUS_OK);
}

/* A file cut short anywhere, or with bits turned over, is read or refused, and never more. */
static void test_cut_and_noisy_files(void **state) {
    (void)state;
    static char bytes[65536], noisy[65536];
    struct cache_info info = make_info(64, 10);
    write_head(64, 10, &info);
    size_t count = read_file(path, bytes, sizeof bytes), refused = 0;
    struct rng rng;
    rng_init(&rng, 11, 0);
    for (int i = 0; i < 600; i++) {
        bool noise = i % 2;
        size_t length = noise ? count : rng_below(&rng, count);
        memcpy(noisy, bytes, count);
        for (int k = 0; noise && k < 8; k++)
            noisy[rng_below(&rng, count)] ^= (char)(1 << rng_below(&rng, 8));
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(noisy, 1, length, file), length);
        assert_int_equal(fclose(file), 0);
        static char text[8192];
        int ended = unit_child(read_back_in_child, &info, text, sizeof text);
        if (ended == 99 && unit_blames_hdf5(text)) /* AddressSanitizer, where plain builds crash */
            ended = 1;
        if (ended > 1)
            fail_msg("case %d: the child ended with %d, %s", i, ended, text);
        refused += ended == 1;
    }
    assert_true(refused > 250);
}

static void test_unwritable(void **state) {
    (void)state;
    struct cache_info info = make_info(64, 10);
    struct head head;
    assert_int_equal(head_create(&head, kernels, 64, 10), STATUS_OK);
    snprintf(other, sizeof other, "%s/none/head.h5", folder);
    assert_int_equal(head_io_write(other, &head, &training, &info), STATUS_IO);
    snprintf(other, sizeof other, "%s/made.h5", folder);
    long n = 1;
    for (;; n++) { /* every allocation fails once; no file appears until none does */
        mem_test_fail_at(n);
        enum status status = head_io_write(other, &head, &training, &info);
        if (status == STATUS_OK)
            break;
        assert_int_equal(status, STATUS_NO_MEMORY);
        assert_int_not_equal(access(other, F_OK), 0);
    }
    assert_true(n > 1);
    mem_test_fail_at(0);
    assert_int_equal(unlink(other), 0);
    head_free(&head);
}

static int set_up(void **state) {
    (void)state;
    h5_init();
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/head.h5", folder);
    return head_kernels_select(&kernels) != STATUS_OK;
}

static int tear_down(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails when anything was left behind */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_initial_weights),     cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_round_trip),          cmocka_unit_test(test_equal_heads_equal_bytes),
        cmocka_unit_test(test_other_provenance),    cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_cut_and_noisy_files), cmocka_unit_test(test_unwritable),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
