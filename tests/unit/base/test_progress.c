/* test_progress: texts of durations, the lines of log and the bar, on a terminal and elsewhere. */
#include "common/base/log.h"
#include "common/base/progress.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>

static void test_duration(void **state) {
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {
        {0, "0 s"},
        {0.4, "0 s"},
        {7, "7 s"},
        {59.4, "59 s"},
        {59.6, "1 min 00 s"},
        {200, "3 min 20 s"},
        {3599, "59 min 59 s"},
        {3600, "1 h 00 min"},
        {7500, "2 h 05 min"},
        {1e30, "277777 h 46 min"},
    };
    char text[24];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(progress_duration(cases[i].seconds, text), cases[i].text);
}

static void test_clock(void **state) {
    (void)state;
    double before = progress_clock();
    usleep(2000);
    double after = progress_clock();
    assert_true(after - before >= 0.002 && after - before < 1800);
}

static void work(void *argument) {
    log_init("prog", *(enum log_level *)argument);
    progress_begin("images", 10, 100);
    for (size_t i = 10; i <= 100; i++)
        progress_update(i);
    log_detail("a detail");
    log_info("an info");
    progress_end();
    progress_end();
    progress_update(100);
    log_error("an error of %d", 7);
}

static void test_elsewhere(void **state) { /* standard error is a pipe, and ten seconds are not over */
    (void)state;
    enum log_level levels[] = {LOG_QUIET, LOG_NORMAL, LOG_VERBOSE};
    static const char *const texts[] = {
        "prog: an error of 7\n",
        "prog: an info\nprog: an error of 7\n",
        "prog: a detail\nprog: an info\nprog: an error of 7\n",
    };
    char text[1024];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(unit_child(work, &levels[i], text, sizeof text), 0);
        assert_string_equal(text, texts[i]);
    }
}

/* A terminal and what was drawn on it. A slow machine draws more than the terminal holds for a reader. */
struct screen {
    int master;
    size_t used;
    char *text; /* [16384] */
};

static void *look(void *argument) {
    struct screen *screen = argument;
    for (ssize_t got; screen->used < 16383; screen->used += (size_t)got)
        if ((got = read(screen->master, screen->text + screen->used, 16383 - screen->used)) <= 0)
            break; /* all who drew have closed it */
    screen->text[screen->used] = '\0';
    return NULL;
}

/* Runs `work` on a terminal of `columns` and returns what it drew. */
static void on_terminal(enum log_level level, unsigned short columns, char text[16384]) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    struct winsize window = {.ws_row = 24, .ws_col = columns};
    assert_int_equal(ioctl(slave, TIOCSWINSZ, &window), 0);
    struct screen screen = {.master = master, .text = text};
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, look, &screen), 0);
    fflush(NULL);
    int saved = dup(STDERR_FILENO);
    dup2(slave, STDERR_FILENO);
    work(&level);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(slave);
    assert_int_equal(pthread_join(reader, NULL), 0);
    close(master);
}

static void test_terminal(void **state) {
    (void)state;
    char text[16384];
    on_terminal(LOG_NORMAL, 120, text);
    assert_non_null(strstr(text, "\r[###"));
    assert_non_null(strstr(text, "10 %  10 of 100 images"));
    assert_non_null(strstr(text, "images/s"));
    assert_non_null(strstr(text, "\r\033[Kprog: an info")); /* the bar goes away first */
    const char *end = strstr(text, "prog: an error of 7");
    assert_non_null(end);
    assert_null(strchr(end, '[')); /* no bar after the end */
    on_terminal(LOG_QUIET, 120, text);
    assert_null(strchr(text, '['));
}

static void test_narrow(void **state) {
    (void)state;
    char text[16384];
    on_terminal(LOG_NORMAL, 20, text);
    const char *bar = strstr(text, "\r[");
    assert_non_null(bar);
    const char *end = strstr(bar, "\033[K");
    assert_non_null(end);
    assert_true(end - bar - 1 <= 19);
}

static void work_empty(void *argument) {
    (void)argument;
    progress_begin("images", 0, 0);
    progress_update(0);
    log_transient_wipe();
    progress_end();
}

static void test_nothing_to_do(void **state) {
    (void)state;
    char text[256];
    assert_int_equal(unit_child(work_empty, NULL, text, sizeof text), 0);
    assert_string_equal(text, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration), cmocka_unit_test(test_clock),  cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_terminal), cmocka_unit_test(test_narrow), cmocka_unit_test(test_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
