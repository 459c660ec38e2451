/* barrier: threads wait for each other, some hundred thousand times a second if need be. OpenMP's own barrier
 * spins for long, which on a machine that has other things to do costs thirty times the work itself
 * (measured). */
#ifndef TRAIN_BARRIER_H
#define TRAIN_BARRIER_H

#include <stdatomic.h>

/* All zero is ready for use; every thread of a team passes each barrier_wait(). */
struct barrier {
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_uint generation, sleepers;
};

/* Returns when `count` threads have called it; what each wrote before, all see after. It spins for some
 * 20 microseconds and then sleeps. */
void barrier_wait(struct barrier *barrier, unsigned count);

#endif
