/* test_eventcount: who waits sees what was written before the count advanced, asleep or not, also where it wraps. */
#include "tests/unit/unit.h"
#include "train/fit/eventcount.h"

#include <pthread.h>

enum { ROUNDS = 20000 };

static struct eventcount mine, theirs;
static unsigned written;

/* Answers each advance of `mine` by one of `theirs`. */
static void *answer(void *start) {
    for (unsigned i = 1; i <= ROUNDS; i++) {
        eventcount_await(&mine, *(const unsigned *)start + i);
        written += 3;
        if (i % 5000 == 0)
            usleep(2000); /* long enough for the other to sleep */
        eventcount_advance(&theirs);
    }
    return NULL;
}

static void play(unsigned start) {
    pthread_t thread;
    atomic_store(&mine.count, start);
    atomic_store(&theirs.count, start);
    written = 0;
    assert_int_equal(pthread_create(&thread, NULL, answer, &start), 0);
    for (unsigned i = 1; i <= ROUNDS; i++) {
        if (i % 7000 == 0)
            usleep(2000);
        eventcount_advance(&mine);
        unsigned seen = eventcount_await(&theirs, start + i);
        assert_true(eventcount_reached(seen, start + i));
        assert_int_equal(written, 3 * i);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_ping_pong(void **state) {
    (void)state;
    play(0);
}

static void test_wraps(void **state) {
    (void)state;
    play(0u - ROUNDS / 2);
    assert_true(eventcount_reached(3, 0xfffffff0u) && !eventcount_reached(0xfffffff0u, 3));
}

/* A count that is there is no reason to wait. */
static void test_reached(void **state) {
    (void)state;
    struct eventcount done = {.count = 5};
    assert_int_equal(eventcount_await(&done, 5), 5);
    assert_int_equal(eventcount_await(&done, 2), 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ping_pong),
        cmocka_unit_test(test_wraps),
        cmocka_unit_test(test_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
