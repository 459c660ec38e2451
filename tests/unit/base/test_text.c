/* test_text: bytes that somebody else chose: shown without a control character, cut where a character ends,
 * and made UTF-8; over every byte, every short sequence of hostile ones, and random ones. */
#include "common/base/cli.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "tests/unit/unit.h"

/* Whether there is nothing in a shown text that a terminal obeys: no byte below a space, no DEL, no C1, and
 * all of it UTF-8. */
static bool is_harmless(const char *shown) {
    while (*shown != '\0') {
        const unsigned char *at = (const unsigned char *)shown;
        size_t nbytes = text_character_nbytes(shown);
        if (nbytes == 0 || at[0] < 0x20 || at[0] == 0x7F || (at[0] == 0xC2 && at[1] < 0xA0))
            return false;
        shown += nbytes;
    }
    return true;
}

static void test_visible(void **state) {
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"", ""},
        {"features.h5", "features.h5"},
        {"na\xc3\xafve \xe5\xad\x97 \xf0\x9f\x98\x80", "na\xc3\xafve \xe5\xad\x97 \xf0\x9f\x98\x80"},
        {"a\\n", "a\\n"},
        {"a\nb\tc\rd", "a\\nb\\tc\\rd"},
        {"\x1b[31m\x07\x7f", "\\x1b[31m\\x07\\x7f"},
        {"\xc2\x9b"
         "31m\xc2\xa0",
         "\\xc2\\x9b31m\xc2\xa0"},
        {"caf\xe9.h5", "caf\\xe9.h5"},
        {"\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xff", "\\xc0\\xaf\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80\\xff"},
        {"gpj.\xe2\x80\xaeoto\xe2\x80\xa8", "gpj.\\xe2\\x80\\xaeoto\\xe2\\x80\\xa8"},
        {"cut \xe2\x82", "cut \\xe2\\x82"},
    };
    char shown[256];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(text_visible(cases[i].text, shown, sizeof shown), cases[i].shown);
        assert_true(is_harmless(shown));
        char *printed = NULL;
        size_t nbytes = 0;
        FILE *stream = open_memstream(&printed, &nbytes);
        text_print(stream, cases[i].text);
        fclose(stream);
        assert_string_equal(printed, cases[i].shown);
        free(printed);
    }
}

/* Every size: the text ends where a character does, and nothing is written behind the end. */
static void test_cut(void **state) {
    (void)state;
    static const char text[] = "a\x1b\xc3\xaf\n", whole[] = "a\\x1b\xc3\xaf\\n";
    static const size_t ends[] = {0, 1, 5, 7, 9};
    for (size_t size = 1; size <= sizeof whole + 2; size++) {
        char shown[32], *end = shown + size;
        memset(shown, 'z', sizeof shown);
        text_visible(text, shown, size);
        size_t length = strlen(shown), wanted = 0;
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
            wanted = ends[i] < size ? ends[i] : wanted;
        assert_int_equal(length, wanted);
        assert_memory_equal(shown, whole, length);
        for (; end < shown + sizeof shown; end++)
            assert_int_equal(*end, 'z');
    }
}

static void test_utf8(void **state) {
    (void)state;
    static const struct {
        const char *text, *utf8;
    } cases[] = {
        {"", ""},
        {"a\x1b\xc3\xaf", "a\x1b\xc3\xaf"},
        {"caf\xe9.h5", "caf\xef\xbf\xbd.h5"},
        {"\xff\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *copy = text_utf8(cases[i].text);
        assert_string_equal(copy, cases[i].utf8);
        free(copy);
    }
}

/* Random bytes out of those at which decoders go wrong. */
static void test_any_bytes(void **state) {
    (void)state;
    static const unsigned char bytes[] = {'a',  ' ',  0x1B, '\n', 0x7F, 0x80, 0x9B, 0xA0, 0xBF, 0xC0, 0xC1,
                                          0xC2, 0xDF, 0xE0, 0xE2, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF, 0x8F};
    struct rng rng;
    unit_rng(&rng, "any bytes");
    for (int round = 0; round < 100000; round++) {
        char text[12], shown[4 * sizeof text + 1];
        size_t length = rng_below(&rng, sizeof text);
        for (size_t i = 0; i < length; i++)
            text[i] = (char)bytes[rng_below(&rng, sizeof bytes)];
        text[length] = '\0';
        text_visible(text, shown, sizeof shown);
        assert_true(is_harmless(shown));
        assert_int_equal(length == 0, shown[0] == '\0');
        char *copy = text_utf8(text);
        for (const char *at = copy; *at != '\0'; at += text_character_nbytes(at))
            assert_true(text_character_nbytes(at) > 0);
        free(copy);
    }
}

static void say(void *argument) {
    log_init("a\nb", LOG_NORMAL);
    log_error("%s: no", (char *)argument);
    log_info("%s", (char *)argument);
}

static void refuse(void *argument) {
    struct argp_state state = {.name = (char[]){"prog"}};
    cli_fail(&state, "%s: no", (char *)argument);
}

/* Log lines and usage errors stay one line each, however long the names in them. */
static void test_lines(void **state) {
    (void)state;
    char text[32768], name[] = "x\x1b[1m\ny", *long_name = malloc(5000);
    assert_int_equal(unit_child(say, name, text, sizeof text), 0);
    assert_string_equal(text, "a\\nb: x\\x1b[1m\\ny: no\na\\nb: x\\x1b[1m\\ny\n");
    assert_int_equal(unit_child(refuse, name, text, sizeof text), CLI_EXIT_USAGE);
    assert_string_equal(text, "prog: x\\x1b[1m\\ny: no; see prog --help\n");
    memset(long_name, '\n', 4999);
    long_name[4999] = '\0';
    assert_int_equal(unit_child(say, long_name, text, sizeof text), 0);
    assert_int_equal(strlen(text), 2 * (strlen("a\\nb: ") + 2 * 4999) + strlen(": no\n\n"));
    free(long_name);
}

static void test_grouped(void **state) {
    static const struct {
        size_t number;
        const char *text;
    } cases[] = {{0, "0"}, {999, "999"}, {1000, "1,000"}, {14714688, "14,714,688"}};
    char text[TEXT_GROUPED];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(text_grouped(cases[i].number, text), cases[i].text);
    assert_int_equal(strlen(text_grouped(SIZE_MAX, text)), 20 + 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_visible),   cmocka_unit_test(test_cut),   cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_any_bytes), cmocka_unit_test(test_lines), cmocka_unit_test(test_grouped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
