/* test_settings: every setting has a row that is complete, and what follows from others is settled. */
#include "tests/unit/unit.h"
#include "train/head/settings.h"

static const struct option_row *find(const char *attribute) {
    for (const struct option_row *row = settings_rows; row->name != NULL; row++)
        if (strcmp(row->attribute, attribute) == 0)
            return row;
    fail_msg("no row for %s", attribute);
    return NULL;
}

static void test_rows(void **state) {
    (void)state;
    bool ranks[OPTION_ROWS_MAX] = {false};
    size_t end = 0;
    for (const struct option_row *row = settings_rows; row->name != NULL; row++) {
        assert_true(row->help != NULL && row->attribute != NULL && row->label != NULL);
        assert_true(row->rank > 0 && row->rank < OPTION_ROWS_MAX && !ranks[row->rank]);
        assert_true((row->type == OPTION_CHOICE) == (row->choices != NULL));
        assert_true((row->type == OPTION_FLAG) == (row->value == NULL));
        ranks[row->rank] = true;
        end = row->offset > end ? row->offset : end;
    }
    assert_true(end < sizeof(struct settings));
}

static void test_complete(void **state) {
    (void)state;
    struct settings settings = settings_default;
    settings_complete(&settings, false, false);
    assert_true(settings.learning_rate == SETTINGS_ADAM_RATE && settings.tolerance == 0 &&
                settings.step_factor == 0);
    settings = settings_default;
    settings.optimizer = OPTIM_SGD;
    settings.schedule = OPTIM_STEP;
    settings_complete(&settings, false, false);
    assert_true(settings.learning_rate == SETTINGS_SGD_RATE && settings.step_factor == SETTINGS_STEP_FACTOR);
    settings.learning_rate = 3;
    settings.step_factor = 0.5;
    settings_complete(&settings, true, true);
    assert_true(settings.learning_rate == 3 && settings.step_factor == 0.5);
    settings = settings_default;
    settings.optimizer = OPTIM_LBFGS;
    settings_complete(&settings, false, false);
    assert_true(settings.learning_rate == 0 && settings.tolerance == SETTINGS_TOLERANCE);
}

static void test_text(void **state) {
    (void)state;
    struct settings settings = settings_default;
    char text[32];
    settings.learning_rate = 0.1;
    settings.nesterov = true;
    assert_string_equal(settings_text(&settings, find("epochs"), text), "200");
    assert_string_equal(settings_text(&settings, find("learning_rate"), text), "0.10000000000000001");
    assert_string_equal(settings_text(&settings, find("nesterov"), text), "1");
    assert_string_equal(settings_text(&settings, find("optimizer"), text), "adam");
    assert_string_equal(settings_text(&settings, find("class_weights"), text), "none");
}

/* A report has what applies, in its order; files leave out what is 0 and optional. */
static void test_reported(void **state) {
    (void)state;
    struct settings settings = settings_default;
    char all[1024] = "";
    const struct option_row *row;
    settings_complete(&settings, false, false);
    for (size_t i = 0; (row = settings_reported(&settings, i)) != NULL; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s;", row->name);
    assert_string_equal(all,
                        "optimizer;epochs;batch-size;learning-rate;schedule;l2;standardize;class-weights;"
                        "validation-split;seed;");
    assert_true(settings_left_out(&settings, find("early_stopping")));
    assert_true(settings_left_out(&settings, find("tolerance")));
    assert_false(settings_left_out(&settings, find("l2")));
    settings.early_stopping = 3;
    assert_false(settings_left_out(&settings, find("early_stopping")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
