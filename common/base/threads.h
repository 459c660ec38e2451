/* threads: how many threads this process should use, and how many it gets. */
#ifndef COMMON_BASE_THREADS_H
#define COMMON_BASE_THREADS_H

/* The number where nobody says: OMP_NUM_THREADS where that is set; else the processors of the affinity mask
 * (taskset, Slurm), but no more than the control group's quota, rounded up. OMP_THREAD_LIMIT bounds both. At
 * least 1. */
int threads_default(void);

/* Asks OpenMP for `wanted` threads and makes the number that it gives, 1..wanted, that of all parallel
 * regions from now on, which it returns. OMP_THREAD_LIMIT, OMP_DYNAMIC and OMP_MAX_ACTIVE_LEVELS may give
 * fewer. Call it once, outside of parallel regions; every region must still be right for a smaller team. */
int threads_settle(int wanted);

#endif
