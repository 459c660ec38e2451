/* eventcount: a count that one thread advances and others wait for, some hundred thousand times a second if
 * need be (Reed and Kanodia, "Synchronization with Eventcounts and Sequencers", 1979). OpenMP's barrier spins
 * for long, which on a machine that has other things to do costs thirty times the work itself (measured). */
#ifndef TRAIN_FIT_EVENTCOUNT_H
#define TRAIN_FIT_EVENTCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>

/* All zero is ready for use. It has a cache line of its own. */
struct eventcount {
    _Alignas(64) atomic_uint count;
    atomic_uint sleepers;
};

/* Adds 1: what the caller wrote before, all see who find the new count. */
void eventcount_advance(struct eventcount *eventcount);

/* Whether a count has reached `target`; counts may wrap round. */
static inline bool eventcount_reached(unsigned count, unsigned target) {
    return (int)(count - target) >= 0;
}

/* Returns when the count has reached `target`, and what it is. It spins for some 20 microseconds and then
 * sleeps. */
unsigned eventcount_await(struct eventcount *eventcount, unsigned target);

#endif
