/* bandwidth: measures how fast all threads together read memory, and nothing else: each reads a range of its
 * own from end to end, of a block much larger than the caches, and keeps one word of exclusive ors.
 *
 *     bandwidth THREADS MEGABYTES
 *
 * prints one number, GB/s (1e9 bytes) over all threads: the median of PASSES. A range is read as one stream,
 * or as 2, 4 or 8 that go on side by side; the fastest of these counts, so that no reader of the same bytes
 * can do much better. Built by bench_common.py with gcc -O2 -march=native -fopenmp. */
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LINE_NBYTES = 64, THREADS_MAX = 1024, STREAMS_MAX = 8, PASSES = 9, MEGABYTES_MAX = 1 << 20 };

typedef uint64_t line __attribute__((vector_size(LINE_NBYTES)));

/* Streams `at`, `at` + apart, ... of `length` lines each. */
#define READ(STREAMS)                                                                                        \
    static line read_##STREAMS(const line *at, size_t length, size_t apart) {                                \
        line sums[STREAMS] = {{0}};                                                                          \
        for (size_t i = 0; i < length; i++) {                                                                \
            _Pragma("GCC unroll 8") for (size_t s = 0; s < (STREAMS); s++) sums[s] ^= at[s * apart + i];     \
        }                                                                                                    \
        for (size_t s = 1; s < (STREAMS); s++)                                                               \
            sums[0] ^= sums[s];                                                                              \
        return sums[0];                                                                                      \
    }
READ(1)
READ(2)
READ(4)
READ(8)

static line read_streams(const line *at, size_t count, size_t streams) {
    size_t length = count / streams;
    switch (streams) {
    case 1:
        return read_1(at, length, length);
    case 2:
        return read_2(at, length, length);
    case 4:
        return read_4(at, length, length);
    default:
        return read_8(at, length, length);
    }
}

/* Seconds of one pass over all lines, from the first thread that begins to the last that ends. */
static double pass(const line *block, size_t per_thread, size_t streams, int threads, uint64_t *word) {
    uint64_t all = 0;
    double first = INFINITY, last = 0;
#pragma omp parallel num_threads(threads) reduction(^ : all) reduction(min : first) reduction(max : last)
    {
#pragma omp barrier
        first = omp_get_wtime();
        line sum = read_streams(block + (size_t)omp_get_thread_num() * per_thread, per_thread, streams);
        all ^= sum[0] ^ sum[LINE_NBYTES / sizeof(uint64_t) - 1];
        __asm__ volatile("" : "+r"(all)); /* the sum is there before the clock is read */
        last = omp_get_wtime();
    }
    *word ^= all;
    return last - first;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char *argv[]) {
    int threads = argc == 3 ? atoi(argv[1]) : 0, megabytes = argc == 3 ? atoi(argv[2]) : 0;
    if (threads < 1 || threads > THREADS_MAX || megabytes < 1 || megabytes > MEGABYTES_MAX) {
        fprintf(stderr, "usage: bandwidth THREADS MEGABYTES\n");
        return 2;
    }
    size_t per_thread = (size_t)megabytes * 1000000 / LINE_NBYTES / (size_t)threads;
    per_thread -= per_thread % STREAMS_MAX;
    size_t nbytes = per_thread * (size_t)threads * LINE_NBYTES;
    line *block = aligned_alloc(1 << 21, (nbytes + (1 << 21)) >> 21 << 21);
    if (block == NULL) {
        fprintf(stderr, "bandwidth: no memory for %d MB\n", megabytes);
        return 1;
    }
    madvise(block, nbytes, MADV_HUGEPAGE);
#pragma omp parallel num_threads(threads)
    memset(block + (size_t)omp_get_thread_num() * per_thread, 0x5A, per_thread * LINE_NBYTES);
    double best = INFINITY;
    uint64_t word = 0;
    for (size_t streams = 1; streams <= STREAMS_MAX; streams *= 2) {
        double took[PASSES];
        for (int i = 0; i < PASSES; i++)
            took[i] = pass(block, per_thread, streams, threads, &word);
        qsort(took, PASSES, sizeof *took, compare);
        best = took[PASSES / 2] < best ? took[PASSES / 2] : best;
    }
    free(block);
    if (word != 0) /* each word stands there an even number of times */
        return 1;
    printf("%.2f\n", 1e-9 * (double)nbytes / best);
    return 0;
}
