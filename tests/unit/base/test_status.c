/* test_status: names, messages, their cutting, and messages that quote the message before. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <omp.h>

static void test_names(void **state) {
    (void)state;
    for (int i = 0; i < STATUS_COUNT; i++) {
        assert_true(strlen(status_name((enum status)i)) > 1);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(status_name((enum status)i), status_name((enum status)j));
    }
    assert_string_equal(status_name(STATUS_OK), "ok");
    assert_string_equal(status_name(STATUS_COUNT), "unknown status");
    assert_string_equal(status_name((enum status) - 1), "unknown status");
}

static void test_message(void **state) {
    (void)state;
    assert_int_equal(status_set(STATUS_FORMAT, "%s: %d of %d", "file", 3, 4), STATUS_FORMAT);
    assert_string_equal(status_message(), "file: 3 of 4");
    assert_int_equal(status_set(STATUS_BUSY, "100 %%"), STATUS_BUSY);
    assert_string_equal(status_message(), "100 %");
}

static void test_quotes_itself(void **state) {
    (void)state;
    status_set(STATUS_FORMAT, "inner");
    status_set(STATUS_FORMAT, "%s; outer", status_message());
    assert_string_equal(status_message(), "inner; outer");
}

static void test_errno(void **state) {
    (void)state;
    errno = ENOSPC;
    assert_int_equal(status_set_errno("%s: cannot write", "x.h5"), STATUS_IO);
    assert_string_equal(status_message(), "x.h5: cannot write: No space left on device");
}

static void test_no_memory(void **state) {
    (void)state;
    assert_int_equal(status_set_no_memory(12345, "tables"), STATUS_NO_MEMORY);
    assert_non_null(strstr(status_message(), "tables"));
    assert_non_null(strstr(status_message(), "12345 bytes"));
}

static void test_long(void **state) {
    (void)state;
    char text[5000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    status_set(STATUS_IO, "%s", text);
    assert_int_equal(strlen(status_message()), 1023);
    errno = EACCES;
    status_set_errno("%s", text);
    assert_int_equal(strlen(status_message()), 1023);
}

static void test_threads(void **state) {
    (void)state;
#pragma omp parallel for num_threads(4)
    for (int i = 0; i < 4000; i++)
        status_set(STATUS_IO, "%d and %d and %d", i, i, i);
    int a, b, c;
    assert_int_equal(sscanf(status_message(), "%d and %d and %d", &a, &b, &c), 3);
    assert_true(a == b && b == c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),         cmocka_unit_test(test_message),
        cmocka_unit_test(test_quotes_itself), cmocka_unit_test(test_errno),
        cmocka_unit_test(test_no_memory),     cmocka_unit_test(test_long),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
