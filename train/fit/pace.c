/* pace: how many threads take on the next epoch. */
#include "train/fit/pace.h"

#include <time.h>

static const double undisturbed =
    0.7; /* share of the processors' time, of threads that spin while they wait */

int pace_threads(const struct pace *pace) {
    return pace->alone > 0 ? 1 : pace->most;
}

void pace_note(struct pace *pace, double seconds, double cpu_seconds) {
    if (pace->alone > 0) {
        pace->alone--;
        return;
    }
    pace->crowded = cpu_seconds < undisturbed * seconds * pace->most ? pace->crowded + 1 : 0;
    if (pace->most > 1 && pace->crowded == PACE_CROWDED) {
        pace->crowded = PACE_CROWDED - 1; /* the next try is one epoch long */
        pace->alone = PACE_ALONE;
    }
}

double pace_cpu_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
