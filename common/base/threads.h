/* threads: how many threads this process should use, and how many it gets. */
#ifndef COMMON_BASE_THREADS_H
#define COMMON_BASE_THREADS_H

/* The default number of threads: OMP_NUM_THREADS if it is set. Else the processors of the affinity mask (taskset,
 * Slurm), but no more than the control group's quota, rounded up. OMP_THREAD_LIMIT bounds both. At least 1. */
int threads_default(void);

/* Asks OpenMP for `wanted` threads. It returns the number that OpenMP gives, 1..wanted, and sets it for all parallel
 * regions from now on. OMP_THREAD_LIMIT, OMP_DYNAMIC and OMP_MAX_ACTIVE_LEVELS may make it smaller. Call it once,
 * outside of parallel regions. Each region must still be right for a smaller team. */
int threads_settle(int wanted);

#endif
