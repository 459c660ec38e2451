/* threads: how many threads this process should use, and how many it gets. */
#include "common/base/threads.h"
#include "common/base/cgroup.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>

static int smaller(int a, int b) {
    return a < b ? a : b;
}

int threads_default(void) {
    const char *named = getenv("OMP_NUM_THREADS");
    if (named != NULL && named[0] != '\0')
        return smaller(omp_get_max_threads(), omp_get_thread_limit());
    double quota = ceil(cgroup_read("").processors);
    int processors = omp_get_num_procs();
    if (quota < processors)
        processors = quota < 1 ? 1 : (int)quota;
    return smaller(processors, omp_get_thread_limit());
}

int threads_settle(int wanted) {
    int given = 1;
#pragma omp parallel num_threads(wanted) default(none) shared(given)
#pragma omp single
    given = omp_get_num_threads();
    omp_set_dynamic(0); /* the number must not change from region to region */
    omp_set_num_threads(given);
    return given;
}
