/* test_export: whole networks in files: a head read without its cache, the ONNX model unpacked again,
 * and both formats when memory or the disk gives out. */
#include "tests/unit/unit.h"

#include "common/base/h5.h"
#include "common/base/mem.h"
#include "train/export/export_model.h"
#include "train/export/onnx.pb-c.h"

enum { CLASSES = 3, SIZE = 64, DIM = 512 * 4 };

static const struct head_kernels *kernels;
static struct weights weights;

static void write_head(const char *path, const char *preprocess, uint64_t size, const char *source) {
    struct cache_info info = {.dim = DIM, .classes = CLASSES, .input_size = size};
    const struct head_io_training training = {.isa = "generic"};
    struct head head;
    snprintf(info.backbone, sizeof info.backbone, "vgg16");
    snprintf(info.layer, sizeof info.layer, "block5_pool");
    snprintf(info.resize, sizeof info.resize, "opencv-linear");
    snprintf(info.preprocess, sizeof info.preprocess, "%s", preprocess);
    snprintf(info.weights_source, sizeof info.weights_source, "%s", source);
    memcpy(info.weights_sha256, weights.sha256, sizeof info.weights_sha256);
    assert_ok(head_create(&head, kernels, DIM, CLASSES));
    head_initialize(&head, 5);
    head.bias[1] = 0.25f;
    assert_ok(head_io_write(path, &head, &training, &info));
    head_free(&head);
}

/* Gives the attribute of a file that is there these strings in place of what it had; count 0: takes it away. */
static void change(const char *path, const char *name, const char *const list[], size_t count) {
    hid_t file = H5I_INVALID_HID;
    assert_ok(h5_open(&file, path, true));
    assert_true(H5Adelete(file, name) >= 0);
    if (count > 0)
        assert_ok(h5_write_strings(file, name, list, count));
    assert_ok(h5_close_written(&file));
}

static void test_head_without_cache(void **state) {
    (void)state;
    const char *path = unit_path("head.h5");
    struct head_io_source source;
    struct head head;
    write_head(path, "caffe", SIZE, "random:1");
    assert_ok(head_io_load(path, kernels, &head, &source));
    assert_int_equal(head.dim, DIM);
    assert_int_equal(head.classes, CLASSES);
    assert_true(head.bias[1] == 0.25f);
    assert_int_equal(source.input_size, SIZE);
    assert_string_equal(source.preprocess, "caffe");
    assert_string_equal(source.weights_sha256, weights.sha256);
    assert_string_equal(source.weights_source, "random:1");
    assert_int_equal(source.count, cache_provenance_count() + 1);
    assert_int_equal(source.class_count, CLASSES);
    assert_string_equal(source.class_names[2], "2");
    head_free(&head);
    head_io_source_free(&source);
    change(path, "cache_weights_source", NULL, 0); /* as older heads are */
    assert_ok(head_io_load(path, kernels, &head, &source));
    assert_string_equal(source.weights_source, "");
    assert_int_equal(source.count, cache_provenance_count());
    head_free(&head);
    head_io_source_free(&source);
    head_io_source_free(&source);
}

static void refuse(const char *path, const char *part) {
    struct head_io_source source;
    struct head head = {0};
    assert_fails(head_io_load(path, kernels, &head, &source), STATUS_FORMAT, part);
    assert_null(head.kernel);
    assert_null(source.class_names);
}

/* Replaces the kernel by a dataset of other dimensions, of which nothing is stored. */
static void reshape_kernel(const char *path, int rank, const hsize_t dims[]) {
    const hsize_t chunk[3] = {1, 1, 1};
    hid_t file = H5I_INVALID_HID, space = H5Screate_simple(rank, dims, NULL),
          create = H5Pcreate(H5P_DATASET_CREATE);
    assert_ok(h5_open(&file, path, true));
    assert_true(H5Ldelete(file, "/dense/dense/kernel:0", H5P_DEFAULT) >= 0);
    assert_true(H5Pset_chunk(create, rank, chunk) >= 0);
    hid_t dataset =
        H5Dcreate2(file, "/dense/dense/kernel:0", H5T_IEEE_F32LE, space, H5P_DEFAULT, create, H5P_DEFAULT);
    assert_true(dataset >= 0);
    h5_close(&dataset);
    h5_close(&create);
    h5_close(&space);
    assert_ok(h5_close_written(&file));
}

static void test_hostile_heads(void **state) {
    (void)state;
    const char *path = unit_path("hostile.h5"), *const two[2] = {"a", "b"};
    const char *const taken[] = {"class_names", "cache_preprocess", "cache_weights_sha256",
                                 "cache_input_size", "format"};
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        write_head(path, "rescale", SIZE, "file.h5");
        change(path, taken[i], NULL, 0);
        refuse(path, strcmp(taken[i], "format") == 0 ? "not a head" : taken[i]);
    }
    write_head(path, "rescale", SIZE, "file.h5");
    change(path, "class_names", two, 2);
    refuse(path, "2 class_names for 3 classes");
    const hsize_t shapes[][3] = {{DIM},        {DIM, CLASSES, 1}, {(hsize_t)1 << 33, (hsize_t)1 << 33},
                                 {0, CLASSES}, {DIM, 0},          {DIM, (hsize_t)1 << 62}};
    const int ranks[] = {1, 3, 2, 2, 2, 2};
    for (size_t i = 0; i < sizeof ranks / sizeof ranks[0]; i++) {
        write_head(path, "rescale", SIZE, "file.h5");
        reshape_kernel(path, ranks[i], shapes[i]);
        refuse(path, path);
    }
}

/* The parts of a model to export, from a head file. */
struct parts {
    struct head head;
    struct head_io_source source;
    struct export_model model;
};

static void load(struct parts *parts, enum preprocess_mode mode, const char *source) {
    const char *path = unit_path("parts.h5");
    write_head(path, preprocess_names[mode], SIZE, source);
    assert_ok(head_io_load(path, kernels, &parts->head, &parts->source));
    parts->model = (struct export_model){
        .head = &parts->head, .source = &parts->source, .weights = &weights, .mode = mode};
}

static void unload(struct parts *parts) {
    head_io_source_free(&parts->source);
    head_free(&parts->head);
}

static const char *property(const Onnx__Model *model, const char *key) {
    for (size_t i = 0; i < model->n_metadata_props; i++)
        if (strcmp(model->metadata_props[i]->key, key) == 0)
            return model->metadata_props[i]->value;
    return NULL;
}

static const Onnx__Tensor *tensor(const Onnx__Model *model, const char *name) {
    for (size_t i = 0; i < model->graph->n_initializer; i++)
        if (strcmp(model->graph->initializer[i]->name, name) == 0)
            return model->graph->initializer[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static void check_kernels(const Onnx__Model *model) {
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        size_t channels = backbone_layers[l].channels, count = backbone_layers[l].filters;
        char name[64];
        snprintf(name, sizeof name, "%s_kernel", backbone_layers[l].name);
        const Onnx__Tensor *found = tensor(model, name);
        assert_int_equal(found->raw_data.len, 9 * channels * count * sizeof(float));
        assert_true(found->n_dims == 4 && found->dims[0] == (int64_t)count &&
                    found->dims[1] == (int64_t)channels);
        for (size_t i = 0; i < 9 * channels * count; i++) {
            float value;
            size_t position = i % 9, c = i / 9 % channels, k = i / 9 / channels;
            memcpy(&value, found->raw_data.data + i * sizeof value, sizeof value);
            if (value != weights.tensors.kernel[l][(position * channels + c) * count + k])
                fail_msg("%s: value %zu", name, i);
        }
        snprintf(name, sizeof name, "%s_bias", backbone_layers[l].name);
        found = tensor(model, name);
        assert_int_equal(found->raw_data.len, count * sizeof(float));
        assert_memory_equal(found->raw_data.data, weights.tensors.bias[l], count * sizeof(float));
    }
}

/* Channel c of what the backbone takes is made of one channel of the picture, RGB: 2 - c for caffe's BGR. */
static void check_preprocessing(const Onnx__Model *model, enum preprocess_mode mode) {
    const Onnx__Tensor *kernel = tensor(model, "preprocess_kernel"), *bias = tensor(model, "preprocess_bias");
    struct preprocess_affine affine = preprocess_affine(mode);
    float scales[3][3], offsets[3];
    assert_int_equal(kernel->raw_data.len, sizeof scales);
    assert_int_equal(bias->raw_data.len, sizeof offsets);
    memcpy(scales, kernel->raw_data.data, sizeof scales);
    memcpy(offsets, bias->raw_data.data, sizeof offsets);
    for (int c = 0; c < 3; c++) {
        int from = mode == PREPROCESS_CAFFE ? 2 - c : c;
        for (int i = 0; i < 3; i++)
            assert_true(scales[c][i] == (i == from ? (float)affine.scale[c] : 0));
        assert_true(offsets[c] == (float)affine.offset[c]);
    }
}

/* Of [classes][dim], which Gemm turns round. */
static void check_dense(const Onnx__Model *model, const struct head *head) {
    const Onnx__Tensor *dense = tensor(model, "dense_kernel");
    float *kernel = malloc(DIM * CLASSES * sizeof *kernel), bias[CLASSES];
    head_get(head, kernel, bias);
    assert_true(dense->n_dims == 2 && dense->dims[0] == CLASSES && dense->dims[1] == DIM);
    assert_int_equal(dense->raw_data.len, DIM * CLASSES * sizeof *kernel);
    for (size_t i = 0; i < (size_t)DIM * CLASSES; i++)
        assert_memory_equal(dense->raw_data.data + i * sizeof *kernel, &kernel[i % DIM * CLASSES + i / DIM],
                            sizeof *kernel);
    free(kernel);
    assert_memory_equal(tensor(model, "dense_bias")->raw_data.data, bias, sizeof bias);
    for (size_t n = 0; n < model->graph->n_node; n++) {
        const Onnx__Node *node = model->graph->node[n];
        if (strcmp(node->op_type, "Gemm") == 0) {
            assert_int_equal(node->n_attribute, 1);
            assert_string_equal(node->attribute[0]->name, "transB");
            assert_int_equal(node->attribute[0]->i, 1);
        }
    }
}

static void test_onnx_unpacked(void **state) {
    (void)state;
    const char *path = unit_path("model.onnx");
    for (int mode = 0; mode < PREPROCESS_MODES; mode++) {
        struct parts parts;
        size_t nbytes;
        load(&parts, (enum preprocess_mode)mode,
             mode == PREPROCESS_TORCH ? "na\xefve.h5" : "na\xc3\xafve.h5");
        assert_ok(export_onnx_write(path, &parts.model));
        unsigned char *bytes = unit_read_file(path, &nbytes);
        Onnx__Model *model = onnx__model__unpack(NULL, nbytes, bytes);
        free(bytes);
        assert_non_null(model);
        assert_int_equal(model->ir_version, 7);
        assert_int_equal(model->opset_import[0]->version, 13);
        assert_string_equal(property(model, "preprocess"), preprocess_names[mode]);
        assert_string_equal(property(model, "weights_sha256"), weights.sha256);
        assert_string_equal(property(model, "class_names"), "[\"0\",\"1\",\"2\"]");
        const char *source = property(model, "weights_source"); /* strings of protobuf are UTF-8 */
        assert_string_equal(source, mode == PREPROCESS_TORCH ? "na\xef\xbf\xbdve.h5" : "na\xc3\xafve.h5");
        check_preprocessing(model, (enum preprocess_mode)mode);
        check_kernels(model);
        check_dense(model, &parts.head);
        onnx__model__free_unpacked(model, NULL);
        unload(&parts);
    }
}

typedef enum status (*export_function)(const char *path, const struct export_model *model);
static const export_function formats[] = {export_onnx_write, export_keras_write};

/* The same model gives the same bytes; every allocation fails once, and no file appears until none does. */
static void test_whole_or_not_at_all(void **state) {
    (void)state;
    struct parts parts;
    load(&parts, PREPROCESS_CAFFE, "file.h5");
    for (size_t f = 0; f < 2; f++) {
        const char *path = unit_path("made"), *again = unit_path("again");
        long n = 1;
        for (;; n++) {
            mem_test_fail_at(n);
            enum status status = formats[f](path, &parts.model);
            if (status == STATUS_OK)
                break;
            assert_int_equal(status, STATUS_NO_MEMORY);
            assert_true(!unit_exists(path) && unit_remove_partials() == 0);
        }
        mem_test_fail_at(0);
        assert_true(n > 2 && unit_remove_partials() == 0);
        assert_ok(formats[f](again, &parts.model));
        assert_true(unit_same_files(path, again));
        assert_int_equal(unlink(path), 0);
        assert_fails(formats[f](unit_path("none/made"), &parts.model), STATUS_IO, "none/made");
        assert_fails(formats[f]("/dev/full", &parts.model), STATUS_IO, "/dev/full");
    }
    unload(&parts);
}

static void test_what_to_export(void **state) {
    (void)state;
    const char *head = unit_path("run.h5"), *out = unit_path("run.onnx");
    write_head(head, "rescale", SIZE, "random:1");
    assert_ok(
        export_model_run(EXPORT_ONNX, out, head, NULL, kernels)); /* the head tells its random backbone */
    assert_int_equal(unlink(out), 0);
    assert_fails(export_model_run(EXPORT_ONNX, out, head, "random:2", kernels), STATUS_MISMATCH,
                 weights.sha256);
    assert_fails(export_model_run(EXPORT_ONNX, out, head, "random:2", kernels), STATUS_MISMATCH,
                 "weights, random:1");
    write_head(head, "rescale", SIZE, "other.h5");
    assert_fails(export_model_run(EXPORT_ONNX, out, head, unit_path("none.h5"), kernels), STATUS_IO,
                 "none.h5");
    assert_fails(export_model_run(EXPORT_ONNX, head, unit_path("again"), head, kernels), STATUS_FORMAT,
                 "again");
    write_head(head, "rescale", 32, "random:1");
    assert_fails(export_model_run(EXPORT_ONNX, out, head, NULL, kernels), STATUS_FORMAT, "of 32 pixels");
    write_head(head, "tf", SIZE, "random:1");
    assert_fails(export_model_run(EXPORT_ONNX, out, head, NULL, kernels), STATUS_FORMAT, "by tf");
    assert_false(unit_exists(out));
}

static int set_up(void **state) {
    h5_init();
    return unit_scratch_make(state) != 0 || head_kernels_select(&kernels) != STATUS_OK ||
           weights_load(&weights, "random:1") != STATUS_OK;
}

static int tear_down(void **state) {
    weights_free(&weights);
    return unit_scratch_remove(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_without_cache), cmocka_unit_test(test_hostile_heads),
        cmocka_unit_test(test_onnx_unpacked),      cmocka_unit_test(test_whole_or_not_at_all),
        cmocka_unit_test(test_what_to_export),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
