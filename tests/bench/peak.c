/* peak: measures the multiply-add peak of the machine in float32, and nothing else: chains of independent
 * fused multiply-adds that never leave the registers, on every thread at once.
 *
 *     peak THREADS SECONDS
 *
 * prints one number, GFLOP/s over all threads (a multiply-add is two operations). Built by bench_common.py
 * with gcc -O2 -march=native -fopenmp. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined __AVX512F__
enum { VECTOR_NBYTES = 64, CHAINS = 24 };
#elif defined __AVX__
enum { VECTOR_NBYTES = 32, CHAINS = 12 };
#else
enum { VECTOR_NBYTES = 16, CHAINS = 12 };
#endif
enum { THREADS_MAX = 1024, STEPS = 200000 };

typedef float vector __attribute__((vector_size(VECTOR_NBYTES)));

struct worker {
    pthread_t thread;
    pthread_barrier_t *start;
    double duration, gflops;
    float sum; /* of the chains, so that they are needed */
};

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* STEPS multiply-adds on each of the CHAINS, which tend to y / (1 - x): they neither overflow nor vanish. */
static float run_chains(float x0, float y0) {
    vector x = {0}, y = {0}, chains[CHAINS];
    x += x0;
    y += y0;
#pragma GCC unroll 32
    for (int i = 0; i < CHAINS; i++)
        chains[i] = y * (float)i;
    for (int step = 0; step < STEPS; step++) {
#pragma GCC unroll 32
        for (int i = 0; i < CHAINS; i++)
            chains[i] = chains[i] * x + y;
    }
    vector total = {0};
#pragma GCC unroll 32
    for (int i = 0; i < CHAINS; i++)
        total += chains[i];
    return total[0] + total[VECTOR_NBYTES / sizeof(float) - 1];
}

static void *work(void *argument) {
    struct worker *worker = argument;
    volatile float x = 0.5f, y = 0.25f;
    worker->sum = run_chains(x, y); /* warms up */
    pthread_barrier_wait(worker->start);
    double begin = seconds(), elapsed;
    double operations = 0;
    do {
        worker->sum += run_chains(x, y);
        operations += 2.0 * STEPS * CHAINS * VECTOR_NBYTES / sizeof(float);
        elapsed = seconds() - begin;
    } while (elapsed < worker->duration);
    worker->gflops = 1e-9 * operations / elapsed;
    return NULL;
}

int main(int argc, char *argv[]) {
    int threads = argc == 3 ? atoi(argv[1]) : 0;
    double duration = argc == 3 ? atof(argv[2]) : 0;
    if (threads < 1 || threads > THREADS_MAX || !(duration > 0 && duration <= 60)) {
        fprintf(stderr, "usage: peak THREADS SECONDS\n");
        return 2;
    }
    static struct worker workers[THREADS_MAX];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        workers[i] = (struct worker){.start = &start, .duration = duration};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            fprintf(stderr, "peak: cannot start thread %d\n", i + 1);
            return 1;
        }
    }
    double gflops = 0;
    float sum = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        gflops += workers[i].gflops;
        sum += workers[i].sum;
    }
    pthread_barrier_destroy(&start);
    if (!(sum > 0))
        return 1;
    printf("%.1f\n", gflops);
    return 0;
}
