/* test_report: train/report: pages from made-up input: no history, no validation, one epoch and 10,000,
 * 2 classes and 1,000, hostile names, the most confident mistakes, and pictures. How a page looks and works
 * in a browser is tested by tests/interop/test_report.py. */
#include "tests/unit/unit.h"

#include <math.h>
#include <sys/stat.h>

#include "common/base/mem.h"
#include "train/report/report.h"
#include "train/report/report_parts.h"
#include "train/results/table.h"

enum { ROWS = 1000, EPOCHS = 10000, SIDE = 5 };

/* A page's whole input, which a test may change before it is written. */
struct fixture {
    struct fit_epoch history[EPOCHS];
    struct record_results results;
    struct head_io_training training;
    struct cache_info info;
    uint16_t labels[ROWS], predicted[ROWS];
    float probabilities[ROWS], label_probabilities[ROWS];
    struct evaluate_class *per_class;
    size_t *matrix;
    struct report_input input;
};

static const char *const command[] = {"bin/train", "--epochs=3", "features.h5", NULL};

/* Each seventh row is mistaken, the more confidently the later. */
static struct fixture *make(size_t classes, size_t epochs) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    for (size_t i = 0; i < epochs; i++)
        f->history[i] = (struct fit_epoch){.epoch = i + 1,
                                           .loss = 2 / sqrt((double)i + 1),
                                           .accuracy = 1 - 0.5 / sqrt((double)i + 1),
                                           .val_loss = 2.2 / sqrt((double)i + 1),
                                           .val_accuracy = 1 - 0.6 / sqrt((double)i + 1),
                                           .seconds = 0.01,
                                           .learning_rate = 0.001};
    for (size_t i = 0; i < ROWS; i++) {
        f->labels[i] = (uint16_t)(i % classes);
        f->predicted[i] = (uint16_t)((i + (i % 7 == 0)) % classes);
        f->probabilities[i] = 0.5f + (float)i / (2 * ROWS);
        f->label_probabilities[i] = 1 - f->probabilities[i];
    }
    f->per_class = mem_alloc(classes, sizeof *f->per_class);
    f->matrix = mem_alloc(classes * classes, sizeof *f->matrix);
    assert_true(f->per_class != NULL && f->matrix != NULL);
    evaluate_confusion(f->labels, f->predicted, ROWS, classes, f->per_class, f->matrix);
    f->results = (struct record_results){.history = epochs > 0 ? f->history : NULL,
                                         .epochs = epochs,
                                         .seconds = 0.01 * (double)epochs,
                                         .train = {0.25, 0.9, 6000},
                                         .validation = {0.5, 0.875, 1200},
                                         .test = {0.375, 857.0 / ROWS, ROWS}};
    f->training = (struct head_io_training){
        .settings = {.epochs = 40, .batch_size = 128, .learning_rate = 0.001, .validation_split = 0.2},
        .isa = "avx2"};
    snprintf(f->info.backbone, sizeof f->info.backbone, "vgg16");
    f->input = (struct report_input){.argv = command,
                                     .results = &f->results,
                                     .kept = epochs > 0 ? epochs - 1 : 0,
                                     .training = &f->training,
                                     .info = &f->info,
                                     .head_path = "./head.h5",
                                     .cache_path = "some/where/features.h5",
                                     .classes = classes,
                                     .labels = f->labels,
                                     .predicted = f->predicted,
                                     .probabilities = f->probabilities,
                                     .label_probabilities = f->label_probabilities,
                                     .per_class = f->per_class,
                                     .matrix = f->matrix};
    return f;
}

static void destroy(struct fixture *f) {
    mem_free(f->per_class);
    mem_free(f->matrix);
    free(f);
}

/* The page, from malloc(). */
static char *page_of(const struct fixture *f) {
    char *text = NULL;
    size_t nbytes = 0;
    FILE *stream = open_memstream(&text, &nbytes);
    assert_non_null(stream);
    assert_ok(report_write(stream, &f->input));
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(strlen(text), nbytes);
    assert_null(strstr(text, "{{"));
    assert_non_null(strstr(text, "</html>\n"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf\""));
    return text;
}

static size_t count_of(const char *text, const char *part) {
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        count++;
    return count;
}

#define assert_has(text, part) assert_non_null(strstr(text, part))
#define assert_lacks(text, part) assert_null(strstr(text, part))

static void test_fit(void **state) {
    (void)state;
    struct fixture *f = make(10, 200);
    char *page = page_of(f);
    assert_has(page, "<title>85.70\u00A0% \u00B7 features.h5</title>");
    assert_has(page, "<span>bin/train</span> <span>--epochs=3</span> <span>features.h5</span></pre>");
    assert_has(page, "<th scope=\"row\">backbone</th><td>vgg16</td>");
    assert_has(page, "200 epochs in 2\u00A0s, 100\u00A0epochs/s");
    assert_has(page, "<th scope=\"row\">validation</th><td>1,200</td><td>0.5000</td><td>87.50\u00A0%</td>");
    assert_int_equal(count_of(page, "<figure"), 2);
    assert_lacks(page, "The dotted line");
    assert_lacks(page, "some/where");
    assert_has(page, "30 of the 143 test rows that were mistaken");
    assert_int_equal(count_of(page, "<li "), REPORT_MISTAKES);
    assert_int_equal(count_of(page, "class=\"right\" style"), 10);
    free(page);
    f->input.kept = 149;
    page = page_of(f);
    assert_has(page, "The dotted line is epoch 150");
    assert_has(page, "<tr class=\"best\"><th scope=\"row\">150, kept</th>");
    assert_has(page, "{\"kept\":149,");
    free(page);
    destroy(f);
}

static void test_evaluation(void **state) {
    (void)state;
    struct fixture *f = make(10, 0);
    f->results.validation = (struct evaluate_result){NAN, NAN, 0};
    char *page = page_of(f);
    assert_has(page, "<h1><span class=\"name\">head.h5</span>, evaluated on <span "
                     "class=\"name\">features.h5</span></h1>");
    assert_lacks(page, "<figure");
    assert_lacks(page, "<th scope=\"row\">validation</th>");
    assert_has(page, "id=\"data\">null</script>");
    free(page);
    destroy(f);
}

/* No validation rows, no rate, and L-BFGS' options. */
static void test_lbfgs_without_validation(void **state) {
    (void)state;
    struct fixture *f = make(10, 20);
    for (int i = 0; i < 20; i++)
        f->history[i].val_loss = f->history[i].val_accuracy = f->history[i].learning_rate = NAN;
    f->results.validation = (struct evaluate_result){NAN, NAN, 0};
    f->training.settings.optimizer = OPTIM_LBFGS;
    f->training.settings.tolerance = 1e-6;
    char *page = page_of(f);
    assert_lacks(page, "<path class=\"validation\"");
    assert_has(page, "<path class=\"training\"");
    assert_has(page, "\"val_loss\":[null,null,");
    assert_has(page, "\"learning_rate\":[null,null,");
    assert_has(page, "<th scope=\"row\">tolerance</th><td>1e-06</td>");
    assert_lacks(page, "<th scope=\"row\">learning rate</th>");
    assert_has(page, "one iteration over all rows");
    free(page);
    destroy(f);
}

/* Points of the path that begins at `at`. */
static size_t points_of(const char *page, const char *class) {
    char begin[64];
    snprintf(begin, sizeof begin, "<path class=\"%s", class);
    const char *at = strstr(page, begin), *end = at != NULL ? strstr(at, "/>") : NULL;
    size_t count = 0;
    assert_non_null(at);
    for (; at < end; at++)
        count += (*at == 'M' || *at == 'L');
    return count;
}

/* Few points are drawn as they are, many are thinned out; all are in the data. */
static void test_many_epochs(void **state) {
    (void)state;
    static const size_t counts[] = {1, 2, 1000, 1500, EPOCHS};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        struct fixture *f = make(10, counts[c]);
        if (counts[c] == EPOCHS)
            f->history[7777].loss = 2.7; /* a spike must stay */
        char *page = page_of(f);
        size_t drawn = points_of(page, "training");
        if (counts[c] <= 1500)
            assert_int_equal(drawn, counts[c]);
        else
            assert_in_range(drawn, 700, 1500);
        const char *losses = strstr(page, "\"val_loss\":["), *end = strchr(losses, ']');
        size_t numbers = 1;
        for (; losses < end; losses++)
            numbers += *losses == ',';
        assert_int_equal(numbers, counts[c]);
        assert_has(page, "<span class=\"x\"");
        assert_has(page, "<span class=\"y\"");
        if (counts[c] == EPOCHS)
            assert_has(page, "L777");
        free(page);
        destroy(f);
    }
}

/* Losses that are equal, tiny, huge, or of many orders of magnitude have axes with two to some twenty ticks. */
static void test_axes(void **state) {
    (void)state;
    static const double ranges[][2] = {{0.5, 0.5},    {0, 0},      {1e-9, 2e-9},   {1e-12, 3},
                                       {0.0999, 1e5}, {0.2, 20},   {1, 2},         {0.99, 1.5},
                                       {3, 3e8},      {1e-3, 1e3}, {1e-300, 1e300}};
    for (size_t r = 0; r < sizeof ranges / sizeof ranges[0]; r++) {
        struct fixture *f = make(2, 50);
        for (int i = 0; i < 50; i++) {
            f->history[i].loss = f->history[i].val_loss = ranges[r][i % 2];
            f->history[i].accuracy = f->history[i].val_accuracy = 1;
        }
        char *page = page_of(f);
        for (const char *plot = page; (plot = strstr(plot, "<div class=\"plot ")) != NULL; plot++) {
            const char *end = strstr(plot, "</div>");
            size_t ticks = 0;
            for (const char *at = plot; (at = strstr(at, "class=\"y\" style=\"bottom:")) != NULL && at < end;
                 at++) {
                double place = strtod(at + strlen("class=\"y\" style=\"bottom:"), NULL);
                assert_true(place >= -1e-6 && place <= 100 + 1e-6);
                ticks++;
            }
            assert_in_range(ticks, 2, 24);
        }
        free(page);
        destroy(f);
    }
}

static void test_many_classes(void **state) {
    (void)state;
    struct fixture *f = make(999, 3);
    f->input.matrix = NULL;
    char *page = page_of(f);
    assert_lacks(page, "<table class=\"matrix\"");
    assert_has(page, "The 20 worst by F1 of the 999 classes");
    free(page);
    destroy(f);
    f = make(2, 3);
    page = page_of(f);
    assert_has(page, "<table class=\"matrix\"");
    assert_int_equal(count_of(page, "class=\"right\" style"), 2);
    free(page);
    destroy(f);
}

/* Nothing that a name holds gets out of its place, and the command can be pasted. */
static void test_hostile_names(void **state) {
    (void)state;
    static const char *const hostile[] = {
        "./my train", "--history=it's.csv", "</script><b>\"&", "-o\n\x01", "\xFF{{x}}", "", NULL};
    struct fixture *f = make(10, 3);
    f->input.argv = hostile;
    f->input.cache_path = "x/</script><b>'\xC0\xAF\x07.h5";
    snprintf(f->info.weights_source, sizeof f->info.weights_source, "<img src=x>");
    snprintf(f->info.isa, sizeof f->info.isa, "\"><script>");
    char *text = NULL;
    size_t nbytes = 0;
    FILE *stream = open_memstream(&text, &nbytes);
    assert_ok(report_write(stream, &f->input));
    fclose(stream);
    assert_lacks(text, "<b>'");
    assert_lacks(text, "</script><b>");
    assert_lacks(text, "<img");
    assert_has(text, "<title>85.70\u00A0% \u00B7 script&#62;&#60;b&#62;&#39;\uFFFD\uFFFD\\x07.h5</title>");
    assert_has(text, "<span>&#39;./my train&#39;</span> "
                     "<span>&#39;--history=it&#39;\\&#39;&#39;s.csv&#39;</span> "
                     "<span>&#39;&#60;/script&#62;&#60;b&#62;&#34;&#38;&#39;</span> "
                     "<span>$&#39;-o\\012\\001&#39;</span> "
                     "<span>$&#39;\\377{{x}}&#39;</span> <span>&#39;&#39;</span></pre>");
    assert_int_equal(count_of(text, "</script>"), 2);
    free(text);
    destroy(f);
}

static void test_mistakes(void **state) {
    (void)state;
    struct fixture *f = make(10, 0);
    struct report_mistakes mistakes = report_mistakes_find(&f->input);
    assert_int_equal(mistakes.all, 143);
    assert_int_equal(mistakes.count, REPORT_MISTAKES);
    for (size_t i = 0; i < mistakes.count; i++)
        assert_int_equal(mistakes.rows[i], 994 - 7 * i);
    for (size_t i = 0; i < ROWS; i++) /* equally confident: the first rows */
        f->probabilities[i] = 0.75f;
    mistakes = report_mistakes_find(&f->input);
    for (size_t i = 0; i < mistakes.count; i++)
        assert_int_equal(mistakes.rows[i], 7 * i);
    memcpy(f->predicted, f->labels, sizeof f->labels);
    f->predicted[5]++;
    mistakes = report_mistakes_find(&f->input);
    assert_true(mistakes.all == 1 && mistakes.count == 1 && mistakes.rows[0] == 5);
    f->predicted[5]--;
    char *page = page_of(f);
    assert_has(page, "No test row was mistaken.");
    free(page);
    destroy(f);
}

/* Writes `count` images of height x width, each pixel another, and gives their digest. */
static void write_images(const char *folder, size_t count, size_t height, size_t width,
                         char sha256[DIGEST_HEX_SIZE]) {
    struct digest *digest;
    char path[512];
    snprintf(path, sizeof path, "%s/t10k-images-idx3-ubyte", folder);
    size_t nbytes = count * height * width;
    unsigned char *bytes = malloc(16 + nbytes);
    assert_non_null(bytes);
    memcpy(bytes, "\0\0\x08\x03", 4);
    size_t sizes[] = {count, height, width};
    for (int i = 0; i < 12; i++)
        bytes[4 + i] = (unsigned char)(sizes[i / 4] >> (24 - 8 * (i % 4)));
    for (size_t i = 0; i < nbytes; i++)
        bytes[16 + i] = (unsigned char)(i * 37 + i / 251);
    unit_write_file(path, bytes, 16 + nbytes);
    snprintf(path, sizeof path, "%s/t10k-labels-idx1-ubyte", folder); /* a data set has both */
    unsigned char *labels = calloc(8 + count, 1);
    assert_non_null(labels);
    memcpy(labels, "\0\0\x08\x01", 4);
    memcpy(labels + 4, bytes + 4, 4);
    unit_write_file(path, labels, 8 + count);
    free(labels);
    assert_ok(digest_begin(&digest));
    digest_update(digest, bytes + 16, nbytes);
    digest_final(digest, sha256);
    free(bytes);
}

/* A fixture whose cache was made from the images in `folder`. */
static struct fixture *make_with_images(const char *folder, size_t height, size_t width) {
    struct fixture *f = make(10, 3);
    struct cache_split_info *split = &f->info.splits[CACHE_TEST];
    mkdir(unit_path(folder), 0777);
    *split = (struct cache_split_info){.rows = ROWS, .image_height = height, .image_width = width};
    write_images(unit_path(folder), ROWS, height, width, split->images_sha256);
    return f;
}

static void test_pictures(void **state) {
    (void)state;
    struct fixture *f = make_with_images("pictures", SIDE, SIDE + 1);
    assert_ok(report_images_open(&f->input.images, unit_path("pictures"), &f->info, "features.h5"));
    char *page = page_of(f);
    assert_int_equal(count_of(page, "<img src=\"data:image/png;base64,iVBORw0KGgo"), REPORT_MISTAKES);
    assert_has(page, "width=\"6\" height=\"5\" alt=\"test row 994\"");
    free(page);
    report_images_close(f->input.images);
    destroy(f);
}

/* Of large images only as many are shown as REPORT_PIXELS_MAX allows. */
static void test_large_pictures(void **state) {
    (void)state;
    struct fixture *f = make(10, 3);
    char *uris[3];
    mkdir(unit_path("large"), 0777);
    struct cache_split_info *split = &f->info.splits[CACHE_TEST];
    *split = (struct cache_split_info){.rows = 3, .image_height = 2048, .image_width = 4096};
    write_images(unit_path("large"), 3, 2048, 4096, split->images_sha256);
    assert_ok(report_images_open(&f->input.images, unit_path("large"), &f->info, "features.h5"));
    assert_ok(report_images_read(f->input.images, (const size_t[]){2, 0, 1}, 3, uris));
    assert_true(uris[0] != NULL && uris[1] != NULL && uris[2] == NULL);
    free(uris[0]);
    free(uris[1]);
    report_images_close(f->input.images);
    destroy(f);
}

static void test_wrong_images(void **state) {
    (void)state;
    struct fixture *f = make_with_images("wrong", SIDE, SIDE);
    struct cache_split_info *split = &f->info.splits[CACHE_TEST];
    struct report_images *images;
    char wanted[DIGEST_HEX_SIZE];
    memcpy(wanted, split->images_sha256, sizeof wanted);
    split->images_sha256[0] ^= 1;
    assert_fails(report_images_open(&images, unit_path("wrong"), &f->info, "features.h5"), STATUS_MISMATCH,
                 wanted);
    assert_fails(report_images_open(&images, unit_path("wrong"), &f->info, "features.h5"), STATUS_MISMATCH,
                 split->images_sha256);
    assert_null(images);
    split->rows++;
    assert_fails(report_images_open(&images, unit_path("wrong"), &f->info, "features.h5"), STATUS_MISMATCH,
                 "1000 images of 5 x 5 pixels, but features.h5 was made from 1001 of 5 x 5");
    split->rows = 3;
    split->image_width = 7;
    assert_fails(report_images_open(&images, unit_path("wrong"), &f->info, "features.h5"), STATUS_MISMATCH,
                 "5 x 7");
    assert_fails(report_images_open(&images, unit_path("nowhere"), &f->info, "features.h5"), STATUS_IO,
                 "nowhere");
    report_images_close(NULL);

    /* The file is cut after it was checked. */
    destroy(f);
    f = make_with_images("cut", 100, 100);
    assert_ok(report_images_open(&f->input.images, unit_path("cut"), &f->info, "features.h5"));
    assert_int_equal(truncate(unit_path("cut/t10k-images-idx3-ubyte"), 100000), 0);
    FILE *stream = fopen("/dev/null", "w");
    assert_fails(report_write(stream, &f->input), STATUS_FORMAT, "cut short");
    fclose(stream);
    report_images_close(f->input.images);
    destroy(f);
}

static void test_no_test_rows(void **state) {
    (void)state;
    struct fixture *f = make(10, 3);
    f->results.test = (struct evaluate_result){NAN, NAN, 0};
    char *page = page_of(f);
    assert_has(page, "<title>features.h5</title>");
    free(page);
    destroy(f);
}

static void test_sweep(void **state) {
    (void)state;
    struct fixture *f = make(10, 3);
    struct sweep_result ranked[2] = {{.index = 1,
                                      .optim = {.rate = 0.01},
                                      .loss = 0.5,
                                      .accuracy = 0.75,
                                      .val_loss = 0.6,
                                      .val_accuracy = 0.7,
                                      .epochs = 3},
                                     {.index = 0, .optim = {.rate = 10}, .diverged = 2}};
    f->results.sweep = (struct record_sweep){.ranked = ranked, .count = 2, .folds = 1};
    char *page = page_of(f);
    assert_has(page, "<tr class=\"best\"><th scope=\"row\">1</th><td>0.01</td>");
    assert_has(page, "diverged in epoch 2");
    free(page);
    destroy(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fit),           cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_many_epochs),   cmocka_unit_test(test_lbfgs_without_validation),
        cmocka_unit_test(test_axes),          cmocka_unit_test(test_many_classes),
        cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_pictures),      cmocka_unit_test(test_large_pictures),
        cmocka_unit_test(test_wrong_images),  cmocka_unit_test(test_no_test_rows),
        cmocka_unit_test(test_sweep),
    };
    return cmocka_run_group_tests(tests, unit_scratch_make, unit_scratch_remove);
}
