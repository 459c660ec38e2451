/* pace: how many threads take on the next epoch, on a machine that others use too.
 *
 * Threads that share a head wait for each other some hundred times an epoch. While other programs take their
 * processors, that makes two of them several times as slow as one. So when the threads of some epochs in a
 * row were kept from their processors, one thread alone takes the next ones, until it is time to try again;
 * results do not depend on it. */
#ifndef TRAIN_FIT_PACE_H
#define TRAIN_FIT_PACE_H

#include <stddef.h>

enum { PACE_CROWDED = 3, PACE_ALONE = 50 }; /* epochs in a row; epochs of one thread then */

/* {.most = threads} is ready for use. The threads must spin, not sleep, while they wait for each other. */
struct pace {
    int most;       /* threads */
    size_t crowded; /* epochs in a row that were */
    size_t alone;   /* epochs of one thread to come */
};

/* The threads for the next epoch: `most`, or 1. */
int pace_threads(const struct pace *pace);

/* Notes an epoch of pace_threads() threads, which took so many seconds, and of the processors' time. */
void pace_note(struct pace *pace, double seconds, double cpu_seconds);

/* The processors' time of this process so far, in seconds. */
double pace_cpu_clock(void);

#endif
