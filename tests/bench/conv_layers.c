/* conv_layers: times the 13 convolutions of VGG16 one by one, in the order and the pieces in which a network
 * runs them, and says where the time goes. It owns the table in README.md beside it and takes no part in the
 * programs.
 *
 *     conv_layers [--size=56] [--images=64] [--threads=1] [--rounds=5] [--fuse=1] [--idx=FILE] [--skip=1]
 *
 * Weights are He-normal, seeded; the images are noise, or the digits of a plain (not compressed) IDX file, of
 * which the tiles that are black are skipped unless --skip=0. With --fuse=1 block1_conv1 is computed within
 * block1_conv2. Each thread has images of its own. Times are processor time, of a layer's best round;
 * images/s is by the clock on the wall, of the best round. "useful" counts the multiply-adds of the direct
 * convolution (9 C K per output); the multiply-add peak is measured in the same run, by a loop of independent
 * operations in registers. */
#include "common/base/mem.h"
#include "common/network/winograd/winograd.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LAYERS = 13 };
static const struct {
    const char *name;
    size_t channels, filters;
    bool pool;
} vgg16[LAYERS] = {
    {"block1_conv1", 1, 64, false},   {"block1_conv2", 64, 64, true},    {"block2_conv1", 64, 128, false},
    {"block2_conv2", 128, 128, true}, {"block3_conv1", 128, 256, false}, {"block3_conv2", 256, 256, false},
    {"block3_conv3", 256, 256, true}, {"block4_conv1", 256, 512, false}, {"block4_conv2", 512, 512, false},
    {"block4_conv3", 512, 512, true}, {"block5_conv1", 512, 512, false}, {"block5_conv2", 512, 512, false},
    {"block5_conv3", 512, 512, true},
};

static struct conv_shape shapes[LAYERS];
static struct conv_plan *plans[LAYERS];
static size_t pieces[LAYERS]; /* images per call */
static size_t piece_tiles = 32;
static bool fuse;
static const char *idx; /* path, or NULL: noise */

static double seconds_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double seconds(void) {
    return seconds_of(CLOCK_MONOTONIC);
}

/* This thread's time on the processor: what other processes take does not count. */
static double cpu_seconds(void) {
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

static double normal(unsigned short state[3]) {
    double u = 1 - erand48(state), v = erand48(state);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* ---- The peak ---- */

#define PEAK(NAME, NBYTES, COUNT, TARGET)                                                                    \
    TARGET static double peak_##NAME(void) {                                                                 \
        typedef float vec __attribute__((vector_size(NBYTES)));                                              \
        vec acc[COUNT], x = {0.5f}, y = {0.25f};                                                             \
        for (int i = 0; i < (COUNT); i++)                                                                    \
            acc[i] = x * (float)i;                                                                           \
        __asm__ volatile("" : "+x"(x), "+x"(y));                                                             \
        double best = 0;                                                                                     \
        for (int round = 0; round < 30; round++) {                                                           \
            double start = cpu_seconds();                                                                    \
            for (int step = 0; step < 100000; step++) {                                                      \
                _Pragma("GCC unroll 32") for (int i = 0; i < (COUNT); i++) acc[i] = acc[i] * x + y;          \
            }                                                                                                \
            double rate = 1e5 * (COUNT)*2 * ((NBYTES) / 4.0) / (cpu_seconds() - start);                      \
            best = rate > best ? rate : best;                                                                \
        }                                                                                                    \
        for (int i = 1; i < (COUNT); i++)                                                                    \
            acc[0] += acc[i];                                                                                \
        __asm__ volatile("" : "+x"(acc[0]));                                                                 \
        return best;                                                                                         \
    }
#ifdef __x86_64__
PEAK(avx512, 64, 24, __attribute__((target("avx512f,fma"))))
PEAK(avx2, 32, 12, __attribute__((target("avx2,fma"))))
PEAK(generic, 16, 12, )
#endif

static double peak_flops(enum cpu_isa isa) {
#ifdef __x86_64__
    return isa == CPU_ISA_AVX512 ? peak_avx512() : isa == CPU_ISA_AVX2 ? peak_avx2() : peak_generic();
#else
    (void)isa;
    return 0;
#endif
}

/* ---- The network ---- */

static size_t in_nfloats(int layer) {
    return shapes[layer].height * shapes[layer].width * shapes[layer].channels;
}

static void make_plans(size_t size, bool skip) {
    for (int i = 0; i < LAYERS; i++) {
        shapes[i] = (struct conv_shape){size, size, vgg16[i].channels, vgg16[i].filters, vgg16[i].pool};
        if (vgg16[i].pool)
            size /= 2;
    }
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = LAYERS - 1; i >= 0; i--) {
        unsigned short state[3] = {1, 2, (unsigned short)i};
        size_t C = shapes[i].channels, K = shapes[i].filters;
        float *kernel = mem_alloc(9 * C * K, sizeof(float)), *bias = calloc(K, sizeof(float));
        for (size_t k = 0; k < 9 * C * K; k++)
            kernel[k] = (float)(normal(state) * sqrt(2.0 / 9 / (double)C));
        if (conv_winograd.plan_create(&plans[i], &shapes[i], kernel, bias) != STATUS_OK) {
            fprintf(stderr, "%s\n", status_message());
            exit(1);
        }
        mem_free(kernel);
        free(bias);
    }
    float *black = calloc(in_nfloats(0), sizeof(float));
    if (fuse && winograd_fuse(plans[1], plans[0], skip ? black : NULL) != STATUS_OK) {
        fprintf(stderr, "%s\n", status_message());
        exit(1);
    }
    free(black);
}

static size_t out_nfloats(int layer) {
    return conv_output_side(&shapes[layer], shapes[layer].height) *
           conv_output_side(&shapes[layer], shapes[layer].width) * shapes[layer].filters;
}

/* How many images go through a layer at a time: so many that they have enough tiles of 7 x 7 for one reading
 * of the weights, and no more, so that activations stay in the caches. */
static void make_pieces(size_t images) {
    for (int i = 0; i < LAYERS; i++) {
        size_t side = (shapes[i].height + 6) / 7, piece = (piece_tiles + side * side - 1) / (side * side);
        pieces[i] = piece < images ? piece : images;
    }
}

struct worker {
    float *in, *out[LAYERS];
    void *workspace;
    double seconds[LAYERS];
    struct winograd_profile profile[LAYERS];
};

/* A 28 x 28 digit enlarged, bilinear, values 0 .. 255. */
static void enlarge(const unsigned char digit[784], size_t side, float *out) {
    for (size_t y = 0; y < side; y++)
        for (size_t x = 0; x < side; x++) {
            double v = fmin(27, fmax(0, ((double)y + 0.5) * 28 / (double)side - 0.5));
            double u = fmin(27, fmax(0, ((double)x + 0.5) * 28 / (double)side - 0.5));
            size_t b = v < 27 ? (size_t)v : 26, a = u < 27 ? (size_t)u : 26;
            const unsigned char *p = digit + b * 28 + a;
            v -= (double)b;
            u -= (double)a;
            *out++ = (float)round((1 - v) * ((1 - u) * p[0] + u * p[1]) + v * ((1 - u) * p[28] + u * p[29]));
        }
}

static void make_images(float *in, size_t images) {
    unsigned short state[3] = {7, 7, 7};
    if (idx == NULL) {
        for (size_t i = 0; i < images * in_nfloats(0); i++)
            in[i] = (float)erand48(state);
        return;
    }
    FILE *file = fopen(idx, "rb");
    unsigned char digit[784];
    if (file == NULL || fseek(file, 16, SEEK_SET) != 0) {
        perror(idx);
        exit(1);
    }
    for (size_t i = 0; i < images; i++, in += in_nfloats(0)) {
        if (fread(digit, 1, sizeof digit, file) != sizeof digit) {
            fprintf(stderr, "%s: fewer than %zu digits\n", idx, images);
            exit(1);
        }
        enlarge(digit, shapes[0].height, in);
    }
    fclose(file);
}

static void worker_make(struct worker *worker, size_t images) {
    size_t nbytes = 0;
    worker->in = mem_alloc(images * in_nfloats(0), sizeof(float));
    make_images(worker->in, images);
    for (int i = 0; i < LAYERS; i++) {
        /* a layer's output waits for all images of the next layer's piece */
        size_t held = i + 1 < LAYERS ? pieces[i + 1] : images;
        worker->out[i] = mem_alloc(held * out_nfloats(i), sizeof(float));
        size_t need = conv_winograd.workspace_nbytes(plans[i], pieces[i]);
        nbytes = need > nbytes ? need : nbytes;
    }
    worker->workspace = mem_alloc(nbytes, 1);
}

/* Layers 0 .. layer for `count` images, the last one's output to `out`. */
static void forward(struct worker *worker, int layer, const float *in, size_t count, float *out) {
    size_t piece = pieces[layer];
    for (size_t done = 0; done < count; done += piece) {
        size_t n = count - done < piece ? count - done : piece;
        const float *from = in + done * in_nfloats(0);
        if (layer > (fuse ? 1 : 0)) {
            forward(worker, layer - 1, from, n, worker->out[layer - 1]);
            from = worker->out[layer - 1];
        }
        winograd_profile = &worker->profile[layer];
        double start = cpu_seconds();
        conv_winograd.run(plans[layer], n, from, out + done * out_nfloats(layer), worker->workspace);
        worker->seconds[layer] += cpu_seconds() - start;
        winograd_profile = NULL;
    }
}

static size_t option(int argc, char **argv, const char *name, size_t value) {
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, strlen(name)) == 0 && argv[i][strlen(name)] == '=')
            value = strtoul(argv[i] + strlen(name) + 1, NULL, 10);
    return value;
}

/* A side's tiles in words, as "9x6+1x2". */
static void print_side(const struct winograd_side *side, char text[32]) {
    if (side->count[1] == 0)
        snprintf(text, 32, "%zux%zu", side->count[0], side->size[0]);
    else
        snprintf(text, 32, "%zux%zu+%zux%zu", side->count[0], side->size[0], side->count[1], side->size[1]);
}

/* Multiplications of a layer after Winograd, for one image; tiles described in `text`; what the cost model
 * reckons, in vector operations. */
static double multiplications(int layer, size_t lanes, char text[32], struct winograd_cost *cost_ret) {
    const struct conv_shape *shape = &shapes[layer];
    double points[2] = {0, 0};
    memset(cost_ret, 0, sizeof *cost_ret);
    if (shape->channels <= WINOGRAD_KERNELS_DIRECT_CHANNELS_MAX) {
        snprintf(text, 32, "direct");
        return 9.0 * (double)(shape->height * shape->width * shape->channels * shape->filters);
    }
    struct winograd_tiling tiling;
    winograd_tiling_choose(shape, lanes, &tiling);
    winograd_tiling_cost(shape, &tiling, lanes, cost_ret);
    print_side(&tiling.rows, text);
    for (int i = 0; i < 2; i++) {
        points[0] += (double)(tiling.rows.count[i] * (tiling.rows.size[i] + 2));
        points[1] += (double)(tiling.columns.count[i] * (tiling.columns.size[i] + 2));
    }
    return points[0] * points[1] * (double)(shape->channels * shape->filters);
}

static void print_table(const struct worker *w, size_t images, double total, double peak, size_t lanes) {
    printf("%-13s %-9s %5s %9s %8s %7s  %6s %6s %6s %6s %7s %6s\n", "layer", "tiles", "piece", "us/image",
           "useful", "of peak", "in", "prod", "out", "rest", "prod/pk", "model");
    double flops = 0, multiplied = 0, weights_nbytes = 0;
    struct winograd_profile sum = {0};
    for (int i = 0; i < LAYERS; i++) {
        double macs = 9.0 * (double)(shapes[i].height * shapes[i].width) * (double)shapes[i].channels *
                      (double)shapes[i].filters;
        flops += 2 * macs;
        double s = w->seconds[i] / (double)images, us = 1e6 / (double)images;
        const struct winograd_profile *p = &w->profile[i];
        char tiles[32];
        struct winograd_cost cost;
        double products = multiplications(i, lanes, tiles, &cost);
        double rest = w->seconds[i] - p->input - p->product - p->output;
        multiplied += products;
        weights_nbytes += (double)cost.weights_nbytes;
        printf("%-13s %-9s %5zu %9.1f %8.1f %7.2f  %6.1f %6.1f %6.1f %6.1f", vgg16[i].name, tiles, pieces[i],
               s * 1e6, 2e-9 * macs / s, 2 * macs / s / peak, p->input * us, p->product * us, p->output * us,
               rest * us);
        if (p->product > 0)
            printf(" %7.2f %6.1f", 2 * products * (double)images / p->product / peak,
                   1e6 * cost.total * 2 * (double)lanes / peak);
        printf("\n");
        sum.input += p->input * us;
        sum.product += p->product * us;
        sum.output += p->output * us;
    }
    printf("%.1f M multiplications per image, %.0f us at peak; in %.1f, products %.1f, out %.1f us; "
           "transformed "
           "weights %.0f MB\n",
           1e-6 * multiplied, 1e6 * 2 * multiplied / peak, sum.input, sum.product, sum.output,
           1e-6 * weights_nbytes);
    double layers = 0;
    for (int i = 0; i < LAYERS; i++)
        layers += w->seconds[i];
    printf("the layers' best rounds together %.1f us\n", layers * 1e6 / (double)images);
    printf("%-13s %-9s %5s %9.1f %8.1f %7.2f\n", "best round", "", "", total / (double)images * 1e6,
           1e-9 * flops * (double)images / total, flops * (double)images / total / peak);
}

int main(int argc, char **argv) {
    size_t size = option(argc, argv, "--size", 56), images = option(argc, argv, "--images", 64);
    size_t threads = option(argc, argv, "--threads", 1), rounds = option(argc, argv, "--rounds", 5);
    piece_tiles = option(argc, argv, "--tiles", piece_tiles);
    fuse = option(argc, argv, "--fuse", 1) != 0;
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--idx=", 6) == 0)
            idx = argv[i] + 6;
    omp_set_num_threads((int)threads);
    enum cpu_isa isa;
    if (cpu_isa_select(&isa) != STATUS_OK) {
        fprintf(stderr, "%s\n", status_message());
        return 2;
    }
    double start = seconds();
    make_plans(size, option(argc, argv, "--skip", 1) != 0);
    printf("weights drawn and plans made in %.2f s; ", seconds() - start);
    make_pieces(images);
    struct worker best = {0};
    double best_total = 1e9, peak = 0, best_rate = 0;
#pragma omp parallel
    {
        struct worker *worker = calloc(1, sizeof *worker), fresh;
        worker_make(worker, images);
        fresh = *worker;
#pragma omp critical
        peak += peak_flops(isa) / (double)threads;
        for (size_t round = 0; round < rounds; round++) {
            *worker = fresh;
#pragma omp barrier
            double t0 = seconds();
            forward(worker, LAYERS - 1, worker->in, images, worker->out[LAYERS - 1]);
            double mine = seconds() - t0;
#pragma omp barrier
            double all = seconds() - t0;
#pragma omp critical
            {
                double rate = (double)(threads * images) / all;
                best_rate = rate > best_rate ? rate : best_rate;
                best_total = mine < best_total ? mine : best_total;
                for (int i = 0; i < LAYERS; i++)
                    if (worker->seconds[i] < best.seconds[i] || best.seconds[i] == 0) {
                        best.seconds[i] = worker->seconds[i];
                        best.profile[i] = worker->profile[i];
                    }
            }
        }
    }
    printf("%s, %zu threads, peak %.1f GFLOP/s each\n", cpu_isa_name(isa), threads, peak * 1e-9);
    struct winograd_kernels kernels;
    winograd_kernels_init(&kernels, isa);
    print_table(&best, images, best_total, peak, kernels.lanes);
    printf("%.1f images/s on %zu threads; largest resident set %.0f MB\n", best_rate, threads,
           1e-6 * (double)mem_peak_rss_nbytes());
    return 0;
}
