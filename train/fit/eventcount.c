/* eventcount: a count that one thread advances and others wait for. */
#include "train/fit/eventcount.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPINS = 1000 }; /* 23 microseconds; to put a thread to sleep and wake it takes 11 to 19 (measured) */

static inline void relax(void) {
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

/* No fence stands between the store and the load, since that would wait until this core owns the line, which
 * others read: hundreds of nanoseconds for each advance. So a thread that goes to sleep at that very moment
 * may be overlooked, and looks again by itself after a millisecond. */
void eventcount_advance(struct eventcount *eventcount) {
    unsigned count = atomic_load_explicit(&eventcount->count, memory_order_relaxed) + 1;
    atomic_store_explicit(&eventcount->count, count, memory_order_release);
    if (atomic_load_explicit(&eventcount->sleepers, memory_order_relaxed) > 0)
        syscall(SYS_futex, &eventcount->count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

unsigned eventcount_await(struct eventcount *eventcount, unsigned target) {
    const struct timespec look_again = {.tv_nsec = 1000000};
    unsigned count = 0;
    for (int i = 0; i < SPINS; i++) {
        count = atomic_load_explicit(&eventcount->count, memory_order_acquire);
        if (eventcount_reached(count, target))
            return count;
        relax();
    }
    atomic_fetch_add(&eventcount->sleepers, 1);
    while (!eventcount_reached(count, target)) { /* the kernel compares the count before the thread sleeps */
        syscall(SYS_futex, &eventcount->count, FUTEX_WAIT_PRIVATE, count, &look_again, NULL, 0);
        count = atomic_load_explicit(&eventcount->count, memory_order_acquire);
    }
    atomic_fetch_sub(&eventcount->sleepers, 1);
    return count;
}
