/* test_sweep: train/sweep and train/folds: what a specification means and which are refused, means and
 * ranks, and how rows are dealt to folds. */
#include "tests/unit/unit.h"

#include <math.h>

#include "common/base/mem.h"
#include "train/fit/sweep.h"
#include "train/rows/folds.h"

static struct sweep sweep;

/* "BEGIN1,2,3,...END" with `count` numbers. */
static const char *many(const char *begin, int count, const char *end) {
    static char texts[2][1 << 14];
    static int turn;
    char *text = texts[turn ^= 1];
    size_t used = (size_t)snprintf(text, sizeof texts[0], "%s", begin);
    for (int i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof texts[0] - used, "%s%d", i > 0 ? "," : "", i + 1);
    snprintf(text + used, sizeof texts[0] - used, "%s", end);
    return text;
}

static void assert_names(const char *text, enum optim_kind kind, size_t count, const char *const names[]) {
    char name[SWEEP_NAME];
    assert_ok(sweep_parse(&sweep, text, kind));
    assert_int_equal(sweep.count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(sweep_name(&sweep, i, name), names[i]);
}

static void test_order(void **state) {
    (void)state;
    assert_names("lr=0.5", OPTIM_ADAM, 1, (const char *[]){"lr=0.5"});
    assert_names("l2=1e-4,0", OPTIM_LBFGS, 2, (const char *[]){"l2=0.0001", "l2=0"}); /* not sorted */
    assert_names("lr=1e-3,1e-2;l2=0,1e-4,1e-3", OPTIM_ADAM, 6,
                 (const char *[]){"lr=0.001,l2=0", "lr=0.001,l2=0.0001", "lr=0.001,l2=0.001", "lr=0.01,l2=0",
                                  "lr=0.01,l2=0.0001", "lr=0.01,l2=0.001"});
    assert_names("momentum=0,.9;lr=1,+2;l2=0,3", OPTIM_SGD, 8,
                 (const char *[]){"momentum=0,lr=1,l2=0", "momentum=0,lr=1,l2=3", "momentum=0,lr=2,l2=0",
                                  "momentum=0,lr=2,l2=3", "momentum=0.9,lr=1,l2=0", "momentum=0.9,lr=1,l2=3",
                                  "momentum=0.9,lr=2,l2=0", "momentum=0.9,lr=2,l2=3"});
    assert_int_equal(sweep.key_count, 3);
    assert_true(sweep_value(&sweep, 5, 0) == 0.9 && sweep_value(&sweep, 5, 1) == 1);
    assert_true(sweep_value(&sweep, 5, 2) == 3);
    sweep = (struct sweep){.count = 1}; /* --folds without --sweep */
    char name[SWEEP_NAME] = "x";
    assert_string_equal(sweep_name(&sweep, 0, name), "");
}

static void test_settings(void **state) {
    (void)state;
    const struct optim_settings base = {
        .kind = OPTIM_SGD, .rate = 7, .momentum = 0.25, .l2 = 0.125, .nesterov = true};
    assert_ok(sweep_parse(&sweep, "l2=0,5;lr=1,2", OPTIM_SGD));
    struct optim_settings got = sweep_settings(&sweep, 1, &base);
    assert_true(got.l2 == 0 && got.rate == 2 && got.momentum == 0.25 && got.nesterov &&
                got.kind == OPTIM_SGD);
    got = sweep_settings(&sweep, 2, &base);
    assert_true(got.l2 == 5 && got.rate == 1);
    assert_ok(sweep_parse(&sweep, "momentum=0.5,1", OPTIM_SGD));
    got = sweep_settings(&sweep, 1, &base);
    assert_true(got.l2 == 0.125 && got.rate == 7 && got.momentum == 1);
    sweep = (struct sweep){.count = 1};
    got = sweep_settings(&sweep, 0, &base);
    assert_true(got.l2 == 0.125 && got.rate == 7 && got.momentum == 0.25);
}

/* As many values and combinations as there may be, and one more. */
static void test_limits(void **state) {
    (void)state;
    char name[SWEEP_NAME];
    char text[1 << 15];
    assert_ok(sweep_parse(&sweep, many("l2=", SWEEP_VALUES_MAX, ""), OPTIM_ADAM));
    assert_int_equal(sweep.count, SWEEP_VALUES_MAX);
    assert_string_equal(sweep_name(&sweep, 255, name), "l2=256");
    assert_fails(sweep_parse(&sweep, many("l2=", SWEEP_VALUES_MAX + 1, ""), OPTIM_ADAM), STATUS_USAGE,
                 "l2 has more than 256 values");
    snprintf(text, sizeof text, "%s%s", many("lr=", 64, ";"), many("l2=", 64, ""));
    assert_ok(sweep_parse(&sweep, text, OPTIM_ADAM));
    assert_int_equal(sweep.count, SWEEP_MAX);
    assert_string_equal(sweep_name(&sweep, SWEEP_MAX - 1, name), "lr=64,l2=64");
    snprintf(text, sizeof text, "%s%s", many("lr=", 64, ";"), many("l2=", 65, ""));
    assert_fails(sweep_parse(&sweep, text, OPTIM_ADAM), STATUS_USAGE, "more than 4096 combinations");
    snprintf(text, sizeof text, "%s%s", many("lr=", 17, ";"), many("l2=", 241, "")); /* 4097 */
    assert_fails(sweep_parse(&sweep, text, OPTIM_ADAM), STATUS_USAGE, "more than 4096 combinations");
    snprintf(text, sizeof text, "%s%s%s", many("lr=", 64, ";"), many("l2=", 64, ";"), "momentum=0,1");
    assert_fails(sweep_parse(&sweep, text, OPTIM_SGD), STATUS_USAGE, "more than 4096 combinations");
    assert_names("lr=1.2345678901234567e-12;l2=1.2345678901234567e-300;momentum=1.2345678901234567e-300",
                 OPTIM_SGD, 1, /* as long as they get */
                 (const char *[]){"lr=1.2345678901234567e-12,l2=1.2345678901234568e-300,"
                                  "momentum=1.2345678901234568e-300"});
    assert_names("lr=0.1,0.10000001,0.1000000000000001", OPTIM_ADAM, 3, /* a name for each */
                 (const char *[]){"lr=0.1", "lr=0.10000001", "lr=0.1000000000000001"});
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        enum optim_kind kind;
        const char *text, *says;
    } cases[] = {
        {OPTIM_ADAM, "", "'' is not KEY=VALUE,VALUE,...;KEY=..."},
        {OPTIM_ADAM, ";", "';' is not KEY="},
        {OPTIM_ADAM, ",", "',' is not KEY="},
        {OPTIM_ADAM, "lr", "'lr' is not KEY="},
        {OPTIM_ADAM, "lr;l2=0", "is not KEY="},
        {OPTIM_ADAM, "lr,l2=0", "is not KEY="},
        {OPTIM_ADAM, "lr=1;", "is not KEY="},
        {OPTIM_ADAM, "lr=1;;l2=0", "is not KEY="},
        {OPTIM_ADAM, "=", "'' cannot be swept: lr, l2 and momentum can"},
        {OPTIM_ADAM, "=1", "'' cannot be swept"},
        {OPTIM_ADAM, "l=1", "'l' cannot be swept"},
        {OPTIM_ADAM, "lrr=1", "'lrr' cannot be swept"},
        {OPTIM_ADAM, "LR=1", "'LR' cannot be swept"},
        {OPTIM_ADAM, " lr=1", "' lr' cannot be swept"},
        {OPTIM_ADAM, "lr=1; l2=0", "' l2' cannot be swept"},
        {OPTIM_ADAM, "learning-rate=1", "'learning-rate' cannot be swept"},
        {OPTIM_ADAM, "momentum=0.5", "momentum does not go with --optimizer=adam"},
        {OPTIM_LBFGS, "lr=1", "lr does not go with --optimizer=lbfgs"},
        {OPTIM_LBFGS, "l2=1;momentum=0", "momentum does not go with --optimizer=lbfgs"},
        {OPTIM_ADAM, "lr=1;lr=2", "lr is given twice"},
        {OPTIM_ADAM, "lr=1;l2=2;lr=1", "lr is given twice"},
        {OPTIM_ADAM, "lr=", "lr=: must be a number from 1e-12 to 1e+06"},
        {OPTIM_ADAM, "lr=;", "lr=: must be"},
        {OPTIM_ADAM, "lr=1,", "lr=: must be"},
        {OPTIM_ADAM, "lr=,1", "lr=: must be"},
        {OPTIM_ADAM, "lr=1,,2", "lr=: must be"},
        {OPTIM_ADAM, "lr=lr=1", "lr=lr=1: must be"},
        {OPTIM_ADAM, "lr=1=2", "lr=1=2: must be"},
        {OPTIM_ADAM, "lr=1,x", "lr=x: must be"},
        {OPTIM_ADAM, "lr=1 ", "lr=1 : must be"},
        {OPTIM_ADAM, "lr= 1", "lr= 1: must be"},
        {OPTIM_ADAM, "lr=0x10", "lr=0x10: must be"},
        {OPTIM_ADAM, "lr=inf", "lr=inf: must be"},
        {OPTIM_ADAM, "l2=nan", "l2=nan: must be a number from 0 to 1e+06"},
        {OPTIM_ADAM, "lr=1e", "lr=1e: must be"},
        {OPTIM_ADAM, "lr=-", "lr=-: must be"},
        {OPTIM_ADAM, "lr=0", "lr=0: must be"},
        {OPTIM_ADAM, "lr=1e-13", "lr=1e-13: must be"},
        {OPTIM_ADAM, "lr=1000001", "lr=1000001: must be"},
        {OPTIM_ADAM, "l2=-1e-9", "l2=-1e-9: must be"},
        {OPTIM_ADAM, "l2=1e999", "l2=1e999: must be"},
        {OPTIM_SGD, "momentum=1.01", "momentum=1.01: must be a number from 0 to 1"},
        {OPTIM_ADAM, "lr=0.1,1,1e-1", "lr=1e-1 is given twice"},
        {OPTIM_ADAM, "l2=0,-0", "l2=-0 is given twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memset(&sweep, 0x5a, sizeof sweep);
        struct sweep before = sweep;
        enum status status = sweep_parse(&sweep, cases[i].text, cases[i].kind);
        if (status != STATUS_USAGE || strstr(status_message(), cases[i].says) == NULL)
            fail_msg("'%s': %s, \"%s\"", cases[i].text, status_name(status), status_message());
        assert_memory_equal(&sweep, &before, sizeof sweep);
    }
}

/* Much longer than any buffer, and numbers as long as they may be. */
static void test_long(void **state) {
    (void)state;
    enum { LONG = 1 << 20 };
    static char text[LONG + 16];
    static const char *const begins[] = {"", "lr=", "lr=1,", "lr=1;", "lr=1;l2="};
    static const char fillers[] = "0x,;=l";
    for (size_t b = 0; b < sizeof begins / sizeof begins[0]; b++)
        for (const char *filler = fillers; *filler != '\0'; filler++) {
            memset(text, *filler, LONG);
            memcpy(text, begins[b], strlen(begins[b]));
            text[LONG] = '\0';
            assert_fails(sweep_parse(&sweep, text, OPTIM_ADAM), STATUS_USAGE, "");
        }
    for (int digits = 55; digits <= 70; digits++) { /* "lr=" and that many characters */
        memset(text, '0', sizeof text);
        memcpy(text, "lr=0.5", 6);
        text[3 + digits] = '\0';
        enum status status = sweep_parse(&sweep, text, OPTIM_ADAM);
        assert_int_equal(status, digits < 64 ? STATUS_OK : STATUS_USAGE);
        assert_true(status != STATUS_OK || sweep_value(&sweep, 0, 0) == 0.5);
    }
}

/* Random specifications of the right characters: whatever is accepted makes sense. */
static void test_random(void **state) {
    (void)state;
    static const char *const words[] = {"lr", "l2", "momentum", "=", ",", ";", "1", "0.5", "e-3", "2", "-"};
    struct rng rng;
    unit_rng(&rng, "test_random");
    size_t accepted = 0;
    for (int round = 0; round < 200000; round++) {
        char text[256] = "", name[SWEEP_NAME];
        for (uint64_t i = rng_below(&rng, 14); i-- > 0;)
            strcat(text, words[rng_below(&rng, sizeof words / sizeof words[0])]);
        enum status status = sweep_parse(&sweep, text, OPTIM_SGD);
        if (status != STATUS_OK) {
            assert_int_equal(status, STATUS_USAGE);
            continue;
        }
        accepted++;
        size_t product = 1, values = 0, commas = 0, equals = 0;
        for (const char *c = text; *c != '\0'; c++) {
            commas += *c == ',';
            equals += *c == '=';
        }
        for (size_t k = 0; k < sweep.key_count; k++) {
            product *= sweep.keys[k].count;
            values += sweep.keys[k].count;
        }
        assert_int_equal(sweep.count, product);
        assert_int_equal(sweep.key_count, equals);
        assert_int_equal(values, equals + commas);
        for (size_t i = 0; i < sweep.count; i++)
            assert_true(strlen(sweep_name(&sweep, i, name)) < SWEEP_NAME);
    }
    assert_true(accepted > 100);
}

static void test_add(void **state) {
    (void)state;
    enum { FOLDS = 9 };
    struct rng rng;
    unit_rng(&rng, "test_add");
    const double offsets[] = {0, 0.98, 1e6};
    for (size_t o = 0; o < 3; o++) {
        struct sweep_result result = {.index = 3};
        double values[FOLDS][5], means[5] = {0};
        for (size_t n = 1; n <= FOLDS; n++) {
            for (int i = 0; i < 4; i++)
                values[n - 1][i] = offsets[o] + rng_uniform(&rng) / 100;
            values[n - 1][4] = (double)(1 + rng_below(&rng, 200));
            const double *v = values[n - 1];
            sweep_add(&result, v[0], v[1], v[2], v[3], (size_t)v[4]);
            double squares = 0;
            memset(means, 0, sizeof means);
            for (size_t f = 0; f < n; f++)
                for (int i = 0; i < 5; i++)
                    means[i] += values[f][i] / (double)n;
            for (size_t f = 0; f < n; f++)
                squares += pow(values[f][3] - means[3], 2);
            double want = n > 1 ? sqrt(squares / (double)(n - 1)) : 0, near = 1e-13 * (1 + offsets[o]);
            assert_int_equal(result.folds, n);
            assert_int_equal(result.index, 3);
            assert_int_equal(result.diverged, 0);
            assert_true(fabs(result.loss - means[0]) <= near && fabs(result.accuracy - means[1]) <= near);
            assert_true(fabs(result.val_loss - means[2]) <= near);
            assert_true(fabs(result.val_accuracy - means[3]) <= near);
            assert_true(fabs(result.epochs - means[4]) <= 1e-10);
            if (!(fabs(result.val_accuracy_deviation - want) <= 1e-7 * want + near))
                fail_msg("deviation %.17g instead of %.17g", result.val_accuracy_deviation, want);
            assert_true(n == 1 || want > 1e-5); /* there was something to measure */
        }
    }
}

static void test_one_fold(void **state) {
    (void)state;
    struct sweep_result result = {0};
    sweep_add(&result, 0.1, 0.2, 0.3, 0.7, 17);
    assert_true(result.loss == 0.1 && result.accuracy == 0.2 && result.val_loss == 0.3); /* the same bits */
    assert_true(result.val_accuracy == 0.7 && result.epochs == 17 && result.val_accuracy_deviation == 0);
}

static void test_rank(void **state) {
    (void)state;
    enum { COUNT = 7 };
    static const double losses[COUNT] = {0.5, 0.1, 0.25, 0, 0.25, 0.001, 0.1};
    static const size_t diverged[COUNT] = {0, 0, 0, 2, 0, 1, 0}, want[COUNT] = {1, 6, 2, 4, 0, 3, 5};
    struct rng rng;
    unit_rng(&rng, "test_rank");
    for (int round = 0; round < 100; round++) {
        struct sweep_result results[COUNT];
        uint32_t order[COUNT];
        rng_permutation(&rng, order, COUNT);
        for (size_t i = 0; i < COUNT; i++)
            results[i] = (struct sweep_result){
                .index = order[i], .val_loss = losses[order[i]], .diverged = diverged[order[i]]};
        sweep_rank(results, COUNT);
        for (size_t i = 0; i < COUNT; i++)
            assert_int_equal(results[i].index, want[i]);
    }
}

/* Rows whose features tell where they stood. */
static struct data_split make_rows(struct rng *rng, size_t count, size_t dim, size_t classes) {
    struct data_split data = {.count = count, .dim = dim, .stride = (dim + 15) / 16 * 16};
    data.features = mem_alloc(count, data.stride * sizeof(float));
    data.labels = mem_alloc(count, sizeof *data.labels);
    for (size_t r = 0; r < count; r++) {
        data.labels[r] = (uint16_t)rng_below(rng, 1 + rng_below(rng, classes)); /* some classes are rare */
        for (size_t d = 0; d < data.stride; d++)
            data.features[r * data.stride + d] = (float)(r * data.stride + d);
    }
    return data;
}

/* Where a row stood that stands at `at` now; all of it must have come along. */
static size_t origin(const struct data_split *data, const uint16_t *labels, size_t at) {
    const float *row = data->features + at * data->stride;
    size_t from = (size_t)row[0] / data->stride;
    for (size_t d = 0; d < data->stride; d++)
        assert_true(row[d] == (float)(from * data->stride + d));
    assert_int_equal(data->labels[at], labels[from]);
    return from;
}

/* All folds of some rows: each is arranged from the rows as they were. */
static void check_folds(struct rng *rng, size_t count, size_t dim, size_t classes, size_t folds) {
    struct data_split sound = make_rows(rng, count, dim, classes);
    size_t nbytes = count * sound.stride * sizeof(float), least = SIZE_MAX, most = 0;
    size_t *held = calloc(count, sizeof *held), *seen = calloc(count, sizeof *seen);
    size_t *shares = calloc(2 * classes, sizeof *shares); /* [class], of this fold; [class], of all rows */
    for (size_t r = 0; r < count; r++)
        shares[classes + sound.labels[r]]++;
    for (size_t fold = 0; fold < folds; fold++) {
        struct data_split data = sound;
        size_t fit_count = SIZE_MAX, last[2] = {SIZE_MAX, SIZE_MAX};
        data.features = mem_alloc(nbytes, 1);
        data.labels = mem_alloc(count, sizeof *data.labels);
        memcpy(data.features, sound.features, nbytes);
        memcpy(data.labels, sound.labels, count * sizeof *data.labels);
        memset(shares, 0, classes * sizeof *shares);
        assert_ok(folds_arrange(&data, classes, fold, folds, &fit_count));
        assert_true(fit_count < count && fit_count > 0);
        for (size_t at = 0; at < count; at++) {
            size_t from = origin(&data, sound.labels, at), part = at >= fit_count;
            assert_true(last[part] == SIZE_MAX || last[part] < from); /* their order is kept */
            last[part] = from;
            assert_int_equal(seen[from]++, fold); /* each row once, in each arrangement */
            held[from] += part;
            shares[data.labels[at]] += part;
        }
        for (size_t c = 0; c < classes; c++)
            assert_true(shares[c] >= shares[classes + c] / folds &&
                        shares[c] <= (shares[classes + c] + folds - 1) / folds);
        least = count - fit_count < least ? count - fit_count : least;
        most = count - fit_count > most ? count - fit_count : most;
        data_unload(&data);
    }
    for (size_t r = 0; r < count; r++)
        assert_int_equal(held[r], 1);
    assert_true(least > 0 && most - least <= 1);
    free(shares);
    free(seen);
    free(held);
    data_unload(&sound);
}

static void test_folds(void **state) {
    (void)state;
    static const size_t counts[] = {2, 3, 7, 64, 101, 250}, classes[] = {1, 2, 10, 300};
    struct rng rng;
    unit_rng(&rng, "test_folds");
    for (size_t n = 0; n < 6; n++)
        for (size_t c = 0; c < 4; c++) {
            for (size_t folds = 2; folds <= counts[n] && folds <= 11; folds++)
                check_folds(&rng, counts[n], c % 2 ? 5 : 32, classes[c], folds);
            check_folds(&rng, counts[n], 16, classes[c], counts[n]); /* one row each */
        }
}

/* Labels 1 0 1 1 0 0 1: sorted by class the rows are 1 4 5 0 2 3 6, dealt to folds 0 1 2 0 1 2 0. */
static void test_folds_by_hand(void **state) {
    (void)state;
    static const uint16_t labels[7] = {1, 0, 1, 1, 0, 0, 1};
    static const size_t want[3][7] = {{2, 3, 4, 5, 0, 1, 6}, {0, 1, 3, 5, 6, 2, 4}, {0, 1, 2, 4, 6, 3, 5}};
    struct rng rng;
    unit_rng(&rng, "test_folds_by_hand");
    for (size_t fold = 0; fold < 3; fold++) {
        struct data_split data = make_rows(&rng, 7, 3, 2);
        size_t fit_count;
        memcpy(data.labels, labels, sizeof labels);
        assert_ok(folds_arrange(&data, 2, fold, 3, &fit_count));
        assert_int_equal(fit_count, fold == 0 ? 4 : 5);
        for (size_t at = 0; at < 7; at++)
            assert_int_equal(origin(&data, labels, at), want[fold][at]);
        data_unload(&data);
    }
}

static void test_folds_no_memory(void **state) {
    (void)state;
    struct rng rng;
    unit_rng(&rng, "test_folds_no_memory");
    struct data_split data = make_rows(&rng, 20, 3, 4);
    uint16_t labels[20];
    size_t fit_count;
    memcpy(labels, data.labels, sizeof labels);
    for (long n = 1; n <= 3; n++) {
        mem_test_fail_at(n);
        assert_fails(folds_arrange(&data, 4, 0, 3, &fit_count), STATUS_NO_MEMORY, "folds");
    }
    mem_test_fail_at(0);
    for (size_t at = 0; at < 20; at++)
        assert_int_equal(origin(&data, labels, at), at); /* nothing was moved */
    mem_test_fail_at(4);
    assert_ok(folds_arrange(&data, 4, 0, 3, &fit_count));
    mem_test_fail_at(0);
    data_unload(&data);
}

static void test_odd_values(void **state) {
    (void)state;
    static const char *const right[] = {
        "",        "l2=0", "l2=0,0.1", "l2=0,1e-01", "lr=1e-3,0.010;l2=0", "l2=10,100", "momentum=.01,0.05",
        "l2=0e1,0"};
    static const char *const odd[][2] = {
        {"l2=0,01", "01"},       {"l2=01", "01"},    {"lr=0.1;l2=0,001;momentum=0", "001"},
        {"l2=1,00.5,2", "00.5"}, {"l2=1,+05", "05"}, {"l2=0,00", "00"}};
    size_t length = 0;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        assert_null(sweep_odd_value(right[i], &length));
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        const char *found = sweep_odd_value(odd[i][0], &length);
        assert_non_null(found);
        assert_int_equal(length, strlen(odd[i][1]));
        assert_memory_equal(found, odd[i][1], length);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_odd_values),      cmocka_unit_test(test_order),
        cmocka_unit_test(test_settings),        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_long),
        cmocka_unit_test(test_random),          cmocka_unit_test(test_add),
        cmocka_unit_test(test_one_fold),        cmocka_unit_test(test_rank),
        cmocka_unit_test(test_folds),           cmocka_unit_test(test_folds_by_hand),
        cmocka_unit_test(test_folds_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
