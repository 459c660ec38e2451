/* test_weights: random weights, and Keras files: one full file under all the names that Keras has used, and
 * small ones that are wrong in one way each (the layers are looked at in order, so a wrong first one needs no
 * others). */
#include "common/base/h5.h"
#include "common/base/mem.h"
#include "common/network/weights.h"
#include "common/network/weights_keras.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <omp.h>

static void test_spec(void **state) {
    (void)state;
    uint64_t seed;
    bool valid;
    assert_true(weights_is_random("random", &seed, &valid) && valid && seed == 0);
    assert_true(weights_is_random("random:17", &seed, &valid) && valid && seed == 17);
    assert_true(weights_is_random("random:18446744073709551615", &seed, &valid) && valid &&
                seed == UINT64_MAX);
    static const char *const bad[] = {"random:",
                                      "random:x",
                                      "random:-1",
                                      "random: 1",
                                      "random:+1",
                                      "random:1x",
                                      "random:18446744073709551616"};
    for (int i = 0; i < 7; i++)
        assert_true(weights_is_random(bad[i], &seed, &valid) && !valid);
    static const char *const files[] = {"", "random.h5", "randomly", "./random", "Random"};
    for (int i = 0; i < 5; i++)
        assert_false(weights_is_random(files[i], &seed, &valid));
    struct weights weights;
    assert_fails(weights_load(&weights, "random:x"), STATUS_USAGE, "random:x");
    weights_free(&weights);
}

static bool same(const struct weights *a, const struct weights *b) {
    bool equal = true;
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        const struct backbone_layer *layer = &backbone_layers[l];
        equal =
            equal &&
            memcmp(a->tensors.kernel[l], b->tensors.kernel[l], 36 * layer->channels * layer->filters) == 0 &&
            memcmp(a->tensors.bias[l], b->tensors.bias[l], 4 * layer->filters) == 0;
    }
    return equal;
}

static void test_random(void **state) {
    (void)state;
    struct weights a, b;
    omp_set_num_threads(2);
    assert_ok(weights_load(&a, "random:7"));
    omp_set_num_threads(1);
    assert_ok(weights_load(&b, "random:7"));
    assert_true(same(&a, &b));
    assert_string_equal(a.sha256, b.sha256);
    assert_string_equal(a.source, "random:7");
    for (size_t l = 0; l < BACKBONE_CONVS; l++) { /* He's deviation, mean 0, and zero biases */
        size_t count = 9 * backbone_layers[l].channels * backbone_layers[l].filters;
        double sum = 0, squares = 0, wanted = 2.0 / (9.0 * (double)backbone_layers[l].channels);
        for (size_t i = 0; i < count; i++) {
            sum += (double)a.tensors.kernel[l][i];
            squares += (double)a.tensors.kernel[l][i] * (double)a.tensors.kernel[l][i];
        }
        assert_true(fabs(sum / (double)count) < 6 * sqrt(wanted / (double)count));
        assert_true(fabs(squares / (double)count / wanted - 1) < 6 * sqrt(2.0 / (double)count));
        for (size_t k = 0; k < backbone_layers[l].filters; k++)
            assert_true(a.tensors.bias[l][k] == 0);
    }
    weights_free(&b);
    assert_ok(weights_load(&b, "random:8"));
    assert_string_not_equal(a.sha256, b.sha256);
    assert_false(same(&a, &b));
    weights_free(&a);
    weights_free(&a); /* harmless */
    weights_free(&b);
}

static void test_no_memory(void **state) {
    (void)state;
    struct weights weights;
    for (long n = 1; n <= 26; n += 5) {
        mem_test_fail_at(n);
        assert_fails(weights_load(&weights, "random"), STATUS_NO_MEMORY, "random weights");
        mem_test_fail_at(0);
        for (size_t l = 0; l < BACKBONE_CONVS; l++)
            assert_true(weights.tensors.kernel[l] == NULL && weights.tensors.bias[l] == NULL);
    }
}

static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int conv;
    } cases[] = {
        {"block1_conv1", 0},
        {"block5_conv3", 12},
        {"block1_conv2/kernel:0", 1},
        {"block2_conv1_W_1:0", 2},
        {"block2_conv2_W", 3},
        {"block3_conv3/kernel", 6},
        {"vgg16/block4_conv2/kernel:0", 8},
        {"block1_conv1_1/kernel:0", 0},
        {"model_block5_conv1/bias:0", 10},
        {"block1_conv1/block1_conv2/kernel:0", 1},
        {"block3_conv4/kernel:0", WEIGHTS_VGG19},
        {"block5_conv4_W_1:0", WEIGHTS_VGG19},
        {"block1_conv3", WEIGHTS_UNNAMED},
        {"block2_conv4", WEIGHTS_UNNAMED},
        {"block6_conv1", WEIGHTS_UNNAMED},
        {"block3_conv5", WEIGHTS_UNNAMED},
        {"block0_conv1", WEIGHTS_UNNAMED},
        {"block1_conv10", WEIGHTS_UNNAMED},
        {"block11_conv1", WEIGHTS_UNNAMED},
        {"subblock1_conv1", WEIGHTS_UNNAMED},
        {"block1_convolution", WEIGHTS_UNNAMED},
        {"conv2_block1_1_conv/kernel:0", WEIGHTS_UNNAMED},
        {"block", WEIGHTS_UNNAMED},
        {"block1", WEIGHTS_UNNAMED},
        {"block1_conv", WEIGHTS_UNNAMED},
        {"", WEIGHTS_UNNAMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (weights_conv_of(cases[i].name) != cases[i].conv)
            fail_msg("%s: %d, wanted %d", cases[i].name, weights_conv_of(cases[i].name), cases[i].conv);
}

/* ---- Which layers are the backbone's ---- */

enum { SOME = 40 };

/* Layers as they would be listed, of one list or of one each, and what is chosen of them. */
struct listing {
    struct weights_layer layers[SOME];
    struct weights_layers all;
    char names[SOME][32];
    size_t chosen[BACKBONE_CONVS];
};

static void list_weight(struct weights_dataset *dataset, int rank, hsize_t a, hsize_t b, hsize_t c,
                        hsize_t d) {
    static char path[] = "/some/path";
    *dataset = (struct weights_dataset){.path = path, .rank = rank, .dims = {a, b, c, d}, .real = true};
}

static struct weights_layer *list_layer(struct listing *listing, const char *name, int list) {
    size_t i = listing->all.count++;
    assert_true(i < SOME);
    snprintf(listing->names[i], sizeof listing->names[i], "%s", name);
    listing->all.layers = listing->layers;
    listing->all.path = "listing.h5";
    listing->layers[i] = (struct weights_layer){
        .name = listing->names[i], .list = list, .conv = weights_conv_of(name), .count = 2};
    return &listing->layers[i];
}

static struct weights_layer *list_conv(struct listing *listing, const char *name, int list, hsize_t channels,
                                       hsize_t filters) {
    struct weights_layer *layer = list_layer(listing, name, list);
    list_weight(&layer->parts[WEIGHTS_KERNEL], 4, 3, 3, channels, filters);
    list_weight(&layer->parts[WEIGHTS_BIAS], 1, filters, 0, 0, 0);
    return layer;
}

/* Lists the backbone's layers in this order, by its own names or as conv2d_NUMBER. */
static void list_backbone(struct listing *listing, const int order[], bool named, int list) {
    for (int i = 0; i < BACKBONE_CONVS; i++) {
        const struct backbone_layer *layer = &backbone_layers[order[i]];
        char name[32];
        if (named)
            snprintf(name, sizeof name, "%s", layer->name);
        else
            snprintf(name, sizeof name, "conv2d_%d", order[i] + 1);
        list_conv(listing, name, list, layer->channels, layer->filters);
    }
}

static const int in_order[BACKBONE_CONVS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

/* Names tell the layers, in any order. */
static void test_match_names(void **state) {
    (void)state;
    struct rng rng;
    unit_rng(&rng, "test_match_names");
    for (int trial = 0; trial < 200; trial++) {
        struct listing listing = {0};
        int order[BACKBONE_CONVS];
        uint32_t shuffled[BACKBONE_CONVS];
        rng_permutation(&rng, shuffled, BACKBONE_CONVS);
        for (size_t i = 0; i < BACKBONE_CONVS; i++)
            order[i] = (int)shuffled[i];
        list_conv(&listing, "conv2d", 0, 1, 3);
        list_backbone(&listing, order, true, trial % 2);
        list_conv(&listing, "top", 2, 512, 512);
        assert_ok(weights_match(&listing.all, listing.chosen));
        for (size_t i = 0; i < BACKBONE_CONVS; i++)
            assert_int_equal(listing.chosen[order[i]], i + 1);
    }
}

/* Order alone: only where no other order fits. */
static void test_match_order(void **state) {
    (void)state;
    for (int list = -1; list < 2; list++) { /* Keras 3's numbers, and one list */
        struct listing listing = {0};
        list_conv(&listing, "conv2d", list, 3, 3);
        list_backbone(&listing, in_order, false, list);
        list_conv(&listing, "conv2d_14", list, 512, 512);
        assert_ok(weights_match(&listing.all, listing.chosen));
        for (size_t l = 0; l < BACKBONE_CONVS; l++)
            assert_int_equal(listing.chosen[l], l + 1);
    }
    static const int frozen[][BACKBONE_CONVS] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 8}, /* block4_conv2 alone: the shapes fit as they stand */
        {10, 11, 12, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, /* block5 trained: they do not */
        {0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 5}};
    for (int i = 0; i < 3; i++) {
        struct listing listing = {0};
        list_backbone(&listing, frozen[i], false, 0);
        assert_fails(weights_match(&listing.all, listing.chosen), STATUS_FORMAT, "listing.h5: ambiguous");
    }
    struct listing twice = {0};
    list_backbone(&twice, in_order, false, -1);
    list_backbone(&twice, in_order, false, -1);
    assert_fails(weights_match(&twice.all, twice.chosen), STATUS_FORMAT, "ambiguous");
    struct listing both = {0};
    list_backbone(&both, in_order, true, 0);
    list_backbone(&both, in_order, true, 1);
    assert_fails(weights_match(&both.all, both.chosen), STATUS_FORMAT, "ambiguous");
}

/* Other networks are called what they are. */
static void test_match_others(void **state) {
    (void)state;
    for (int named = 0; named < 2; named++) {
        struct listing vgg19 = {0}, gray = {0}, transposed = {0}, normalized = {0}, no_bias = {0};
        for (int l = 0; l < BACKBONE_CONVS; l++) {
            const struct backbone_layer *layer = &backbone_layers[l];
            char name[32] = "conv2d", extra[32] = "conv2d";
            if (named) {
                snprintf(name, sizeof name, "%s", layer->name);
                snprintf(extra, sizeof extra, "%.6s_conv4", layer->name);
            }
            list_conv(&vgg19, name, -1, layer->channels, layer->filters);
            if (layer->pool && l > 3)
                list_conv(&vgg19, extra, -1, layer->filters, layer->filters);
            list_conv(&gray, name, -1, l == 0 ? 1 : layer->channels, layer->filters);
            struct weights_layer *turned = list_conv(&transposed, name, -1, 0, layer->filters);
            list_weight(&turned->parts[WEIGHTS_KERNEL], 4, layer->filters, layer->channels, 3, 3);
            list_conv(&normalized, name, -1, layer->channels, layer->filters);
            struct weights_layer *norm = list_layer(&normalized, "bn", -1);
            list_weight(&norm->parts[WEIGHTS_KERNEL], 1, layer->filters, 0, 0, 0);
            list_weight(&norm->parts[WEIGHTS_BIAS], 1, layer->filters, 0, 0, 0);
            struct weights_layer *bare = list_conv(&no_bias, name, -1, layer->channels, layer->filters);
            if (l == 12)
                bare->parts[WEIGHTS_BIAS].path = NULL;
        }
        assert_fails(weights_match(&vgg19.all, vgg19.chosen), STATUS_FORMAT, "VGG19's weights");
        assert_fails(weights_match(&gray.all, gray.chosen), STATUS_FORMAT, "for pictures of 1 channel,");
        assert_fails(weights_match(&transposed.all, transposed.chosen), STATUS_FORMAT, "Theano and PyTorch");
        assert_fails(weights_match(&normalized.all, normalized.chosen), STATUS_FORMAT, "batch normalization");
        assert_fails(weights_match(&no_bias.all, no_bias.chosen), STATUS_FORMAT,
                     "bias of block5_conv3 is missing");
    }
    struct listing none = {0};
    list_weight(&list_layer(&none, "dense", 0)->parts[WEIGHTS_KERNEL], 2, 512, 10, 0, 0);
    assert_fails(weights_match(&none.all, none.chosen), STATUS_FORMAT, "no convolutions");
}

/* ---- Keras files ---- */

static void put_strings(hid_t object, const char *name, const char *const list[], size_t count,
                        bool variable) {
    if (!variable && count > 0) {
        assert_ok(h5_write_strings(object, name, list, count));
        return;
    }
    hsize_t dims[] = {count};
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, dims, NULL);
    H5Tset_size(type, H5T_VARIABLE);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(attribute >= 0);
    if (count > 0)
        assert_true(H5Awrite(attribute, type, list) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static const char *const layer_names[] = {"input_1",      "block1_conv1", "block1_conv2", "block1_pool",
                                          "block2_conv1", "block2_conv2", "block2_pool",  "block3_conv1",
                                          "block3_conv2", "block3_conv3", "block3_pool",  "block4_conv1",
                                          "block4_conv2", "block4_conv3", "block4_pool",  "block5_conv1",
                                          "block5_conv2", "block5_conv3", "block5_pool"};
enum { LAYERS = sizeof layer_names / sizeof layer_names[0] };

/* Writes the first `convs` convolutions in the layout of the VGG16 download, sparsely: kernels of zeros with
 * one value that tells the layer, biases likewise. `first_kernel` may replace the shape of block1_conv1's
 * kernel. */
static hid_t write_download(const char *path, size_t convs, const hsize_t *first_kernel, bool variable) {
    hid_t file;
    assert_ok(h5_create(&file, path));
    put_strings(file, "layer_names", layer_names, LAYERS, variable);
    size_t conv = 0;
    for (size_t l = 0; l < LAYERS; l++) {
        hid_t group;
        assert_ok(h5_create_group(&group, file, layer_names[l]));
        if (strstr(layer_names[l], "conv") == NULL || conv >= convs) {
            put_strings(group, "weight_names", NULL, 0, variable);
            h5_close(&group);
            continue;
        }
        const struct backbone_layer *layer = &backbone_layers[conv];
        char names[2][64];
        snprintf(names[0], 64, "%s_W_1:0", layer_names[l]);
        snprintf(names[1], 64, "%s_b_1:0", layer_names[l]);
        const char *const list[] = {names[0], names[1]};
        put_strings(group, "weight_names", list, 2, variable);
        hsize_t kernel[] = {3, 3, layer->channels, layer->filters}, bias[] = {layer->filters};
        for (int i = 0; i < 2; i++) {
            hid_t dataset, space;
            const hsize_t *dims = i == 1 ? bias : conv == 0 && first_kernel != NULL ? first_kernel : kernel;
            assert_ok(h5_create_dataset(&dataset, group, names[i], H5T_IEEE_F32LE, i == 0 ? 4 : 1, dims));
            space = H5Dget_space(dataset);
            hsize_t at[] = {conv % 3, 1, 2, (conv + 5) % dims[3 * (i == 0)]}, bias_at[] = {conv + 9},
                    one[] = {1};
            hid_t memory = H5Screate_simple(1, one, NULL);
            float value = (float)(i == 0 ? conv + 1 : conv + 101);
            assert_true(H5Sselect_elements(space, H5S_SELECT_SET, 1, i == 0 ? at : bias_at) >= 0);
            assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, &value) >= 0);
            H5Sclose(memory);
            H5Sclose(space);
            h5_close(&dataset);
        }
        h5_close(&group);
        conv++;
    }
    return file;
}

static void assert_download(const char *path, char sha256[DIGEST_HEX_SIZE]) {
    struct weights weights;
    assert_ok(weights_load(&weights, path));
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        size_t C = backbone_layers[l].channels, K = backbone_layers[l].filters, nonzero = 0;
        const float *kernel = weights.tensors.kernel[l], *bias = weights.tensors.bias[l];
        for (size_t i = 0; i < 9 * C * K; i++)
            nonzero += kernel[i] != 0;
        for (size_t k = 0; k < K; k++)
            nonzero += bias[k] != 0;
        assert_int_equal(nonzero, 2);
        assert_true(kernel[(((l % 3) * 3 + 1) * C + 2) * K + l + 5] == (float)(l + 1));
        assert_true(bias[l + 9] == (float)(l + 101));
    }
    assert_string_equal(weights.source, strrchr(path, '/') + 1);
    if (sha256[0] != '\0')
        assert_string_equal(weights.sha256, sha256);
    memcpy(sha256, weights.sha256, DIGEST_HEX_SIZE);
    weights_free(&weights);
}

/* Gives every weight a second name (a hard link), as another version of Keras would. */
static void link_all(hid_t file, const char *kernel_format, const char *bias_format, bool by_number) {
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    for (size_t l = 0; l < BACKBONE_CONVS; l++)
        for (int i = 0; i < 2; i++) {
            char from[128], to[128], number[16] = "";
            const char *name = backbone_layers[l].name;
            snprintf(from, sizeof from, "/%s/%s_%c_1:0", name, name, i == 0 ? 'W' : 'b');
            if (l > 0)
                snprintf(number, sizeof number, "_%zu", l);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(to, sizeof to, i == 0 ? kernel_format : bias_format, by_number ? number : name, name);
#pragma GCC diagnostic pop
            assert_true(H5Lcreate_hard(file, from, file, to, links, H5P_DEFAULT) >= 0);
        }
    H5Pclose(links);
}

/* layer_names and weight_names below `root`; the names of weights are `LAYER/kernel:0` and the like. */
static void name_all(hid_t file, const char *root, const char *kernel, const char *bias, bool split) {
    hid_t top;
    assert_ok(h5_open_group(&top, file, root));
    if (split) {
        put_strings(top, "layer_names0", layer_names + 1, 4, false);
        put_strings(top, "layer_names1", layer_names + 5, LAYERS - 5, true);
    } else {
        put_strings(top, "layer_names", layer_names + 1, LAYERS - 1, true);
    }
    for (size_t l = 1; l < LAYERS; l++) {
        hid_t group;
        if (H5Lexists(top, layer_names[l], H5P_DEFAULT) > 0)
            assert_ok(h5_open_group(&group, top, layer_names[l]));
        else
            assert_ok(h5_create_group(&group, top, layer_names[l]));
        char names[2][64];
        snprintf(names[0], 64, "%s/%s", layer_names[l], kernel);
        snprintf(names[1], 64, "%s/%s", layer_names[l], bias);
        const char *const list[] = {names[0], names[1]};
        if (h5_has_attribute(group, "weight_names"))
            H5Adelete(group, "weight_names");
        put_strings(group, "weight_names", list, strstr(layer_names[l], "conv") ? 2 : 0, l % 2 == 0);
        h5_close(&group);
    }
    h5_close(&top);
}

static void test_layouts(void **state) {
    (void)state;
    char sha256[DIGEST_HEX_SIZE] = "", path[512];
    snprintf(path, sizeof path, "%s", unit_path("weights.h5"));
    hid_t file = write_download(path, BACKBONE_CONVS, NULL, false);
    assert_ok(h5_close_written(&file));
    assert_download(path, sha256);
    assert_ok(h5_open(&file, path, true)); /* Keras 2 below /model_weights: a whole model */
    H5Adelete(file, "layer_names");
    link_all(file, "/model_weights/%s/%s/kernel:0", "/model_weights/%s/%s/bias:0", false);
    name_all(file, "/model_weights", "kernel:0", "bias:0", true);
    assert_ok(h5_close_written(&file));
    assert_download(path, sha256);
    assert_ok(h5_open(&file, path, true)); /* Keras 2 weights, in the root */
    H5Ldelete(file, "model_weights", H5P_DEFAULT);
    link_all(file, "/%s/%s/kernel:0", "/%s/%s/bias:0", false);
    name_all(file, "/", "kernel:0", "bias:0", false);
    assert_ok(h5_close_written(&file));
    assert_download(path, sha256);
    assert_ok(h5_open(&file, path, true)); /* Keras 3's .weights.h5 */
    H5Adelete(file, "layer_names");
    link_all(file, "/layers/conv2d%s/vars/0", "/layers/conv2d%s/vars/1", true);
    assert_ok(h5_close_written(&file));
    assert_download(path, sha256);
    assert_ok(h5_open(&file, path, true)); /* the backbone as a layer of another model */
    assert_true(H5Lmove(file, "layers", file, "inner", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    assert_true(H5Lmove(file, "inner", file, "/layers/functional/layers", links, H5P_DEFAULT) >= 0);
    H5Pclose(links);
    assert_ok(h5_close_written(&file));
    assert_download(path, sha256);
    assert_ok(h5_open(&file, path, true)); /* one weight less */
    H5Ldelete(file, "/layers/functional/layers/conv2d_12/vars/1", H5P_DEFAULT);
    assert_ok(h5_close_written(&file));
    struct weights weights;
    assert_fails(weights_load(&weights, path), STATUS_FORMAT, "block5_conv3");
    unlink(path);
}

static void test_cut_short(void **state) {
    (void)state;
    struct weights weights;
    char path[512];
    snprintf(path, sizeof path, "%s", unit_path("cut.h5"));
    hid_t file = write_download(path, 7, NULL, true); /* blocks 1 to 3 */
    assert_ok(h5_close_written(&file));
    assert_fails(weights_load(&weights, path), STATUS_FORMAT, "block4_conv1");
    assert_non_null(strstr(status_message(), path));
    file = write_download(path, 0, NULL, true);
    assert_ok(h5_close_written(&file));
    assert_fails(weights_load(&weights, path), STATUS_FORMAT, "block1_conv1");
    for (size_t l = 0; l < BACKBONE_CONVS; l++)
        assert_null(weights.tensors.kernel[l]);
    file = write_download(path, 2, NULL, false); /* the bytes cut short: a broken download */
    assert_ok(h5_close_written(&file));
    size_t nbytes;
    unsigned char *bytes = unit_read_file(path, &nbytes);
    for (size_t cut = 0; cut < nbytes; cut += nbytes / 23) {
        unit_write_file(path, bytes, cut);
        assert_fails(weights_load(&weights, path), STATUS_FORMAT, path);
    }
    free(bytes);
}

static void test_wrong(void **state) {
    (void)state;
    struct weights weights;
    char path[512];
    snprintf(path, sizeof path, "%s", unit_path("wrong.h5"));
    static const hsize_t shapes[][4] = {{3, 3, 64, 3}, {5, 3, 3, 64}, {3, 3, 3, 63}, {3, 3, 4, 64}};
    static const char *const texts[] = {"(3, 3, 64, 3)", "(5, 3, 3, 64)", "(3, 3, 3, 63)", "(3, 3, 4, 64)"};
    for (int i = 0; i < 4; i++) {
        hid_t file = write_download(path, 2, shapes[i], false);
        assert_ok(h5_close_written(&file));
        assert_fails(weights_load(&weights, path), STATUS_FORMAT, texts[i]);
        assert_non_null(strstr(status_message(), "the kernel of block1_conv1 must be real numbers of shape "
                                                 "(3, 3, 3, 64)"));
    }
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const char *const words[] = {"NaN", "an infinity", "an infinity"};
    for (int i = 0; i < 3; i++)
        for (int part = 0; part < 2; part++) {
            hid_t file = write_download(path, BACKBONE_CONVS, NULL, false), dataset;
            static const char *const names[] = {"/block1_conv2/block1_conv2_W_1:0", "/block1_conv1/"
                                                                                    "block1_conv1_b_1:0"};
            assert_ok(h5_open_dataset(&dataset, file, names[part]));
            static float values[9 * 64 * 64];
            hsize_t rows = part == 0 ? 3 : 64;
            assert_ok(h5_read_rows(dataset, H5T_NATIVE_FLOAT, 0, rows, values));
            size_t at = part == 0 ? 9 * 64 * 64 - 1 : 63;
            values[at] = bad[i];
            assert_ok(h5_write_rows(dataset, H5T_NATIVE_FLOAT, 0, rows, values));
            h5_close(&dataset);
            assert_ok(h5_close_written(&file));
            assert_fails(weights_load(&weights, path), STATUS_FORMAT, words[i]);
            assert_non_null(strstr(status_message(),
                                   part == 0 ? "the kernel of block1_conv2" : "the bias of block1_conv1"));
            char place[32];
            snprintf(place, sizeof place, "value %zu", at);
            assert_non_null(strstr(status_message(), place));
        }
    hid_t file = write_download(path, 2, NULL, false), dataset; /* named, but not there */
    H5Ldelete(file, "/block1_conv2/block1_conv2_b_1:0", H5P_DEFAULT);
    assert_ok(h5_close_written(&file));
    assert_fails(weights_load(&weights, path), STATUS_FORMAT, "block1_conv2_b_1:0");
    file = write_download(path, 2, NULL, false); /* whole numbers */
    H5Ldelete(file, "/block1_conv1/block1_conv1_b_1:0", H5P_DEFAULT);
    hsize_t dims[] = {64};
    assert_ok(h5_create_dataset(&dataset, file, "/block1_conv1/block1_conv1_b_1:0", H5T_STD_I32LE, 1, dims));
    h5_close(&dataset);
    assert_ok(h5_close_written(&file));
    assert_fails(weights_load(&weights, path), STATUS_FORMAT, "of another type");
    file = write_download(path, 1, NULL, false); /* a layer whose group is missing */
    H5Ldelete(file, "/block2_pool", H5P_DEFAULT);
    assert_ok(h5_close_written(&file));
    assert_fails(weights_load(&weights, path), STATUS_FORMAT, "block2_pool");
}

static void test_foreign(void **state) {
    (void)state;
    struct weights weights;
    char path[512];
    snprintf(path, sizeof path, "%s", unit_path("foreign.h5"));
    assert_fails(weights_load(&weights, path), STATUS_IO, path);
    unit_write_file(path, "PK\3\4 a zip", 10);
    assert_fails(weights_load(&weights, path), STATUS_FORMAT, path);
    hid_t file;
    assert_ok(h5_create(&file, path));
    assert_ok(h5_close_written(&file));
    assert_fails(weights_load(&weights, path), STATUS_FORMAT, "without weights as Keras writes them");
    assert_ok(h5_create(&file, path));
    assert_ok(h5_write_whole(file, "layer_names", 3)); /* no list of strings */
    assert_ok(h5_close_written(&file));
    assert_fails(weights_load(&weights, path), STATUS_FORMAT, "layer_names");
}

int main(void) {
    h5_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spec),         cmocka_unit_test(test_random),
        cmocka_unit_test(test_no_memory),    cmocka_unit_test(test_names),
        cmocka_unit_test(test_match_names),  cmocka_unit_test(test_match_order),
        cmocka_unit_test(test_match_others), cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_cut_short),    cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_foreign),
    };
    return cmocka_run_group_tests(tests, unit_scratch_make, unit_scratch_remove);
}
