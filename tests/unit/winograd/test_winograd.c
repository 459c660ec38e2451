/* test_winograd: holds the Winograd engine to its word, on every instruction set that this processor
 * has: transforms as matrices, a grid of awkward shapes against loops in double, every tile size, the 13
 * layers of VGG16, the same bits for any count, and no byte touched outside the buffers. */
#include "common/base/mem.h"
#include "common/network/winograd/winograd_plan.h"
#include "tests/unit/compare.h"

#define VECTOR_NBYTES 16
#include "common/network/winograd/winograd_transforms.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- Random numbers, the same in every run ---- */

static uint64_t random_state;

static double uniform(void) { /* [0, 1) */
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53;
}

static double normal(void) {
    double u = 1 - uniform(), v = uniform();
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* ---- Memory between two unmapped pages ---- */

struct fence {
    char *map;
    size_t map_nbytes, page;
    void *block; /* ends at the second page, less what alignment takes */
};

static struct fence fence_make(size_t nbytes, int poison, bool at_end) {
    struct fence fence = {.page = (size_t)sysconf(_SC_PAGESIZE)};
    size_t inner = (nbytes + fence.page - 1) / fence.page * fence.page;
    fence.map_nbytes = inner + 2 * fence.page;
    fence.map = mmap(NULL, fence.map_nbytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(fence.map, MAP_FAILED);
    assert_int_equal(mprotect(fence.map + fence.page, inner, PROT_READ | PROT_WRITE), 0);
    memset(fence.map + fence.page, poison, inner);
    fence.block = fence.map + fence.page + (at_end ? (inner - nbytes) / 64 * 64 : 0);
    return fence;
}

static void fence_free(struct fence *fence) {
    munmap(fence->map, fence->map_nbytes);
}

/* ---- The transforms as matrices ---- */

static void transform_input(size_t m, const vec *d, vec *y) {
    m == 2   ? winograd_f2k3_input(d, y)
    : m == 3 ? winograd_f3k3_input(d, y)
    : m == 4 ? winograd_f4k3_input(d, y)
    : m == 6 ? winograd_f6k3_input(d, y)
    : m == 7 ? winograd_f7k3_input(d, y)
             : winograd_f8k3_input(d, y);
}

static void transform_output(size_t m, const vec *d, vec *y) {
    m == 2   ? winograd_f2k3_output(d, y)
    : m == 3 ? winograd_f3k3_output(d, y)
    : m == 4 ? winograd_f4k3_output(d, y)
    : m == 6 ? winograd_f6k3_output(d, y)
    : m == 7 ? winograd_f7k3_output(d, y)
             : winograd_f8k3_output(d, y);
}

static const size_t tile_sizes[] = {2, 3, 4, 6, 7, 8};
enum { TILE_SIZES = sizeof tile_sizes / sizeof tile_sizes[0] };

struct matrices {
    double bt[10][10], at[8][10], g[10][3];
};

/* The matrices that the code applies, column by column from unit vectors. */
static void matrices_of_code(size_t m, struct matrices *matrices) {
    size_t n = m + 2;
    for (size_t c = 0; c < n; c++) {
        vec unit[10] = {0}, y[10];
        unit[c] += 1.0f;
        transform_input(m, unit, y);
        for (size_t r = 0; r < n; r++)
            matrices->bt[r][c] = (double)y[r][0];
        transform_output(m, unit, y);
        for (size_t r = 0; r < m; r++)
            matrices->at[r][c] = (double)y[r][3];
    }
    winograd_weights_matrix(m, matrices->g);
}

/* y = AT [(G g) . (BT d)] for all unit g and d: 1 where d[i + r] meets g[r], else 0. */
static void test_identity(void **state) {
    (void)state;
    for (size_t t = 0; t < TILE_SIZES; t++) {
        size_t m = tile_sizes[t], n = m + 2;
        struct matrices x;
        matrices_of_code(m, &x);
        for (size_t i = 0; i < m; i++)
            for (size_t r = 0; r < 3; r++)
                for (size_t d = 0; d < n; d++) {
                    double sum = 0;
                    for (size_t j = 0; j < n; j++)
                        sum += x.at[i][j] * x.g[j][r] * x.bt[j][d];
                    double want = d == i + r;
                    assert_true(fabs(sum - want) <= 1e-12);
                }
    }
}

/* Against the constants that Lavin (F2) and NNPACK (F6) publish; the sign of a row of BT goes with G's. */
static void test_published(void **state) {
    (void)state;
    static const double f2_bt[4][4] = {{-1, 0, 1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, -1, 0, 1}};
    static const double f2_g[4][3] = {{-1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};
    static const double f6_bt[8][8] = {
        {-1, 0, 5.25, 0, -5.25, 0, 1, 0},    {0, 2, 4, -2.5, -5, .5, 1, 0},
        {0, -2, 4, 2.5, -5, -.5, 1, 0},      {0, 1, 1, -4.25, -4.25, 1, 1, 0},
        {0, -1, 1, 4.25, -4.25, -1, 1, 0},   {0, .5, .25, -2.5, -1.25, 2, 1, 0},
        {0, -.5, .25, 2.5, -1.25, -2, 1, 0}, {0, -1, 0, 5.25, 0, -5.25, 0, 1}};
    static const double f6_at[6][8] = {
        {1, 1, 1, 1, 1, 1, 1, 0},           {0, .5, -.5, 1, -1, 2, -2, 0},
        {0, .25, .25, 1, 1, 4, 4, 0},       {0, .125, -.125, 1, -1, 8, -8, 0},
        {0, .0625, .0625, 1, 1, 16, 16, 0}, {0, .03125, -.03125, 1, -1, 32, -32, 1}};
    struct matrices x;
    matrices_of_code(2, &x);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++)
            assert_true(x.bt[i][j] == f2_bt[i][j]);
        for (int j = 0; j < 3; j++)
            assert_true(x.g[i][j] == f2_g[i][j]);
    }
    matrices_of_code(6, &x);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) {
            assert_true(x.bt[i][j] == f6_bt[i][j]);
            assert_true(i >= 6 || x.at[i][j] == f6_at[i][j]);
        }
}

/* ---- Layers ---- */

struct layer {
    struct conv_shape shape;
    size_t count;
    float *kernel, *bias, *in;  /* in[count][H][W][C] */
    float *want;                /* [count][out_h][out_w][K], rounded from double */
    size_t in_count, out_count; /* floats of one image */
};

/* Loops that one can check by eye. */
static void convolve(const struct layer *l, const float *in, double *full, float *want) {
    size_t H = l->shape.height, W = l->shape.width, C = l->shape.channels, K = l->shape.filters;
    for (size_t y = 0; y < H; y++)
        for (size_t x = 0; x < W; x++) {
            double *sum = full + (y * W + x) * K;
            for (size_t k = 0; k < K; k++)
                sum[k] = (double)l->bias[k];
            for (size_t a = 0; a < 3; a++)
                for (size_t b = 0; b < 3; b++) {
                    if (y + a < 1 || y + a > H || x + b < 1 || x + b > W)
                        continue;
                    for (size_t c = 0; c < C; c++) {
                        double d = (double)in[((y + a - 1) * W + x + b - 1) * C + c];
                        const float *g = l->kernel + ((a * 3 + b) * C + c) * K;
                        for (size_t k = 0; k < K; k++)
                            sum[k] += d * (double)g[k];
                    }
                }
            for (size_t k = 0; k < K; k++)
                sum[k] = sum[k] > 0 ? sum[k] : 0;
        }
    if (!l->shape.pool) {
        for (size_t i = 0; i < H * W * K; i++)
            want[i] = (float)full[i];
        return;
    }
    for (size_t y = 0; y < H / 2; y++)
        for (size_t x = 0; x < W / 2; x++)
            for (size_t k = 0; k < K; k++) {
                const double *p = full + ((2 * y * W) + 2 * x) * K + k;
                *want++ = (float)fmax(fmax(p[0], p[K]), fmax(p[W * K], p[(W + 1) * K]));
            }
}

static void *allocate(size_t count, size_t size) {
    void *block = malloc(count * size + 1);
    assert_non_null(block);
    return block;
}

static struct layer layer_make(struct conv_shape shape, size_t count) {
    struct layer l = {.shape = shape, .count = count};
    size_t C = shape.channels, K = shape.filters;
    l.in_count = shape.height * shape.width * C;
    l.out_count = conv_output_side(&shape, shape.height) * conv_output_side(&shape, shape.width) * K;
    l.kernel = allocate(9 * C * K, sizeof(float));
    l.bias = allocate(K, sizeof(float));
    l.in = allocate(count * l.in_count, sizeof(float));
    l.want = allocate(count * l.out_count, sizeof(float));
    for (size_t i = 0; i < 9 * C * K; i++)
        l.kernel[i] = (float)(normal() * sqrt(2.0 / 9 / (double)C));
    for (size_t i = 0; i < K; i++)
        l.bias[i] = (float)(0.3 * normal());
    for (size_t i = 0; i < count * l.in_count; i++)
        l.in[i] = (float)fmax(0, normal());
    double *full = allocate(shape.height * shape.width * K, sizeof(double));
    for (size_t n = 0; n < count; n++)
        convolve(&l, l.in + n * l.in_count, full, l.want + n * l.out_count);
    free(full);
    return l;
}

static void layer_free(struct layer *l) {
    free(l->kernel);
    free(l->bias);
    free(l->in);
    free(l->want);
}

/* Runs `count` images from `first` on between guard pages, poisoned; the result is malloc()ed. */
static float *layer_run(const struct layer *l, const struct conv_plan *plan, size_t first, size_t count,
                        bool at_end) {
    size_t in_nbytes = count * l->in_count * sizeof(float);
    size_t out_nbytes = count * l->out_count * sizeof(float);
    size_t work_nbytes = conv_winograd.workspace_nbytes(plan, count);
    struct fence in = fence_make(in_nbytes, 0xff, at_end), out = fence_make(out_nbytes, 0xff, at_end);
    struct fence work = fence_make(work_nbytes, 0xa5, at_end);
    memcpy(in.block, l->in + first * l->in_count, in_nbytes);
    conv_winograd.run(plan, count, in.block, out.block, work.block);
    float *got = allocate(out_nbytes, 1);
    memcpy(got, out.block, out_nbytes);
    assert_memory_equal(in.block, l->in + first * l->in_count, in_nbytes);
    /* what alignment left between the block's end and the fence is still poison */
    for (char *p = (char *)out.block + out_nbytes; p < out.map + out.map_nbytes - out.page; p++)
        assert_int_equal((unsigned char)*p, 0xff);
    for (char *p = (char *)work.block + work_nbytes; p < work.map + work.map_nbytes - work.page; p++)
        assert_int_equal((unsigned char)*p, 0xa5);
    fence_free(&in);
    fence_free(&out);
    fence_free(&work);
    return got;
}

static size_t cases; /* that ran: none is a failure */

/* Rounding grows with the points of a tile (winograd_points.h) and slowly with the channels. */
static double tolerance_of(const struct layer *l) {
    return 2e-5 * (1 + sqrt((double)l->shape.channels / 128));
}

/* ||got - want|| / ||want||, for the record. */
static double error_of(const float *got, const float *want, size_t count) {
    double error = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        error += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        norm += (double)want[i] * (double)want[i];
    }
    return norm > 0 ? sqrt(error / norm) : 0;
}

/* Whether an image is right: within the tolerance in norm, and each value within 30 times that of the root
 * mean square (which is taken as 1 where all values are 0). */
static bool image_is_right(const struct layer *l, const char *what, const float *got, const float *want) {
    double tolerance = tolerance_of(l), norm = 0;
    for (size_t i = 0; i < l->out_count; i++)
        norm += (double)want[i] * (double)want[i];
    double rms = norm > 0 ? sqrt(norm / (double)l->out_count) : 1;
    return compare_floats(what, got, want, l->out_count, 0, 30 * tolerance * rms) &&
           (norm == 0 || compare_norm(what, got, want, l->out_count, tolerance));
}

/* All images at once, then in pieces: right, and the same bits. Returns the largest error. */
static double layer_check(const struct layer *l, enum cpu_isa isa, const struct winograd_tiling *tiling) {
    struct conv_plan *plan;
    assert_int_equal(winograd_plan_create(&plan, &l->shape, l->kernel, l->bias, isa, tiling), STATUS_OK);
    float *all = layer_run(l, plan, 0, l->count, true);
    double worst = 0;
    for (size_t n = 0; n < l->count; n++) {
        const float *got = all + n * l->out_count, *want = l->want + n * l->out_count;
        char what[128];
        snprintf(what, sizeof what, "%s: H %zu W %zu C %zu K %zu pool %d, image %zu of %zu",
                 cpu_isa_name(isa), l->shape.height, l->shape.width, l->shape.channels, l->shape.filters,
                 l->shape.pool, n, l->count);
        assert_true(image_is_right(l, what, got, want));
        worst = fmax(worst, error_of(got, want, l->out_count));
    }
    for (size_t first = 0, piece = 1; first < l->count; first += piece, piece = 2) {
        if (first + piece > l->count)
            piece = l->count - first;
        float *part = layer_run(l, plan, first, piece, false);
        assert_memory_equal(part, all + first * l->out_count, piece * l->out_count * sizeof(float));
        free(part);
    }
    free(all);
    conv_winograd.plan_free(plan);
    cases++;
    return worst;
}

static void each_isa(void (*check)(enum cpu_isa isa)) {
    cases = 0;
    for (int isa = 0; isa < CPU_ISA_COUNT; isa++) {
        if (cpu_isa_available((enum cpu_isa)isa))
            check((enum cpu_isa)isa);
        else
            print_message("SKIP: this processor has no %s\n", cpu_isa_name((enum cpu_isa)isa));
    }
    assert_true(cases > 0);
}

/* Sides 1 .. 15 and 28 against channels and filters below, at and above a chunk, all in turn. */
static void grid(enum cpu_isa isa) {
    static const size_t widths[] = {1, 2, 3, 5, 16, 17, 64, 65};
    static const size_t counts[] = {1, 2, 3, 5};
    random_state = 1;
    size_t turn = 0;
    for (size_t side = 1; side <= 16; side++)
        for (size_t c = 0; c < 8; c++)
            for (size_t pool = 0; pool < 2; pool++, turn++) {
                size_t H = side == 16 ? 28 : side, W = 1 + (turn * 7 + side) % 15;
                W = turn % 3 == 0 ? H : W;
                if (pool && (H < 2 || W < 2))
                    continue;
                struct conv_shape shape = {H, W, widths[c], widths[(turn * 5 + side) % 8], pool};
                struct layer l = layer_make(shape, counts[turn % 4]);
                layer_check(&l, isa, NULL);
                layer_free(&l);
            }
}

static void test_grid(void **state) {
    (void)state;
    each_isa(grid);
}

/* Every pair of tile heights and widths, whole and cut by the border, and groups that do not divide. */
static void tiles(enum cpu_isa isa) {
    random_state = 2;
    for (size_t a = 0; a < TILE_SIZES; a++)
        for (size_t b = 0; b < TILE_SIZES; b++)
            for (size_t pool = 0; pool < 2; pool++) {
                size_t mh = tile_sizes[a], mw = tile_sizes[b];
                struct conv_shape shape = {3 * mh + 1, 2 * mw + 3, 21, 37, pool};
                size_t h = winograd_needed_side(&shape, shape.height);
                size_t w = winograd_needed_side(&shape, shape.width);
                struct winograd_tiling tiling = {{{mh, 2}, {(h - 2) / mh, (h - (h - 2) / mh * mh + 1) / 2}},
                                                 {{mw}, {(w - 1) / mw + 1}}};
                struct layer l = layer_make(shape, 5);
                layer_check(&l, isa, &tiling);
                layer_free(&l);
            }
}

static void test_tiles(void **state) {
    (void)state;
    each_isa(tiles);
}

/* The rounding of each tile size, on the same layer: for tests/bench/README.md. */
static void test_rounding(void **state) {
    (void)state;
    cases = 0;
    enum cpu_isa isa = CPU_ISA_GENERIC;
    while (isa + 1 < CPU_ISA_COUNT && cpu_isa_available(isa + 1))
        isa++;
    for (size_t channels = 64; channels <= 512; channels *= 8) {
        random_state = 5;
        struct layer l = layer_make((struct conv_shape){16, 16, channels, 32, false}, 2);
        for (size_t t = 0; t < TILE_SIZES; t++) {
            size_t m = tile_sizes[t], count = (15 + m) / m;
            struct winograd_tiling tiling = {{{m}, {count}}, {{m}, {count}}};
            print_message("F(%zu,3), %3zu channels: relative error %.1e\n", m, channels,
                          layer_check(&l, isa, &tiling));
        }
        layer_free(&l);
    }
    assert_true(cases > 0);
}

static const struct conv_shape vgg16_56[13] = {
    {56, 56, 3, 64, false},    {56, 56, 64, 64, true},    {28, 28, 64, 128, false}, {28, 28, 128, 128, true},
    {14, 14, 128, 256, false}, {14, 14, 256, 256, false}, {14, 14, 256, 256, true}, {7, 7, 256, 512, false},
    {7, 7, 512, 512, false},   {7, 7, 512, 512, true},    {3, 3, 512, 512, false},  {3, 3, 512, 512, false},
    {3, 3, 512, 512, true},
};

static void test_vgg16(void **state) {
    (void)state;
    cases = 0;
    random_state = 3;
    for (size_t i = 0; i < 13; i++) {
        struct layer l = layer_make(vgg16_56[i], i < 7 ? 1 : 3);
        for (int isa = 0; isa < CPU_ISA_COUNT; isa++)
            if (cpu_isa_available((enum cpu_isa)isa))
                print_message("layer %2zu %-7s relative error %.2e\n", i, cpu_isa_name((enum cpu_isa)isa),
                              layer_check(&l, (enum cpu_isa)isa, NULL));
        layer_free(&l);
    }
    assert_true(cases >= 13);
}

/* ---- The first layer fused into the second ---- */

/* Images: the background alone; the background but for a blob somewhere; noise, twice. */
static void fused_images(const struct layer *first, float *background) {
    size_t H = first->shape.height, W = first->shape.width, C = first->shape.channels;
    for (size_t i = 0; i < first->in_count; i++)
        background[i] = i % C == 0 ? 0 : 1; /* as a folded offset has it */
    for (size_t n = 0; n < 2; n++)
        memcpy(first->in + n * first->in_count, background, first->in_count * sizeof(float));
    for (size_t y = H / 2; y < H / 2 + 3 && y < H; y++)
        for (size_t x = W / 3; x < W / 3 + 2 && x < W; x++)
            first->in[first->in_count + (y * W + x) * C] = (float)(100 * uniform());
}

/* The fused layers give the bits of the two by themselves, with and without a background. */
static void fused_check(enum cpu_isa isa, struct conv_shape one, struct conv_shape two,
                        const struct winograd_tiling *tiling) {
    enum { COUNT = 4 };
    struct layer first = layer_make(one, COUNT), second = layer_make(two, COUNT);
    struct conv_plan *first_plan, *second_plan;
    float *background = allocate(first.in_count, sizeof(float));
    fused_images(&first, background);
    assert_int_equal(winograd_plan_create(&first_plan, &one, first.kernel, first.bias, isa, NULL), 0);
    assert_int_equal(winograd_plan_create(&second_plan, &two, second.kernel, second.bias, isa, tiling), 0);
    float *between = layer_run(&first, first_plan, 0, COUNT, true);
    memcpy(second.in, between, COUNT * second.in_count * sizeof(float));
    float *want = layer_run(&second, second_plan, 0, COUNT, true);
    conv_winograd.plan_free(second_plan);
    struct layer fused = {.shape = two,
                          .count = COUNT,
                          .in = first.in,
                          .in_count = first.in_count,
                          .out_count = second.out_count};
    for (int skip = 0; skip < 2; skip++) {
        assert_int_equal(winograd_plan_create(&second_plan, &two, second.kernel, second.bias, isa, tiling),
                         0);
        assert_int_equal(winograd_fuse(second_plan, first_plan, skip ? background : NULL), 0);
        for (size_t piece = 1; piece <= COUNT; piece += 3) { /* one by one, and all at once */
            for (size_t n = 0; n < COUNT; n += piece) {
                float *got = layer_run(&fused, second_plan, n, piece, piece == 1);
                assert_memory_equal(got, want + n * second.out_count,
                                    piece * second.out_count * sizeof(float));
                free(got);
            }
        }
        if (skip) { /* the background's tiles were copied indeed: forge the copy */
            second_plan->background_out[0] += 1.0f;
            float *got = layer_run(&fused, second_plan, 0, 1, true);
            assert_memory_not_equal(got, want, second.out_count * sizeof(float));
            free(got);
        }
        conv_winograd.plan_free(second_plan);
        cases++;
    }
    conv_winograd.plan_free(first_plan);
    free(between);
    free(want);
    free(background);
    layer_free(&first);
    layer_free(&second);
}

static void fused(enum cpu_isa isa) {
    static const size_t sides[] = {2, 5, 7, 13, 14, 28};
    random_state = 4;
    for (size_t i = 0; i < 6; i++)
        for (size_t pool = 0; pool < 2; pool++) {
            size_t H = sides[i], W = sides[(i + pool) % 6], C = 1 + i % 4, between = 5 + 12 * i;
            fused_check(isa, (struct conv_shape){H, W, C, between, false},
                        (struct conv_shape){H, W, between, 19, pool}, NULL);
            struct winograd_tiling even = {{{6, 2}, {H / 6, (H % 6 + 1) / 2}}, {{4}, {(W + 3) / 4}}};
            fused_check(isa, (struct conv_shape){H, W, C, between, false},
                        (struct conv_shape){H, W, between, 19, pool}, &even);
        }
}

static void test_fused(void **state) {
    (void)state;
    each_isa(fused);
}

/* When there is no memory for the background's outputs, the plan stays as it was. */
static void test_fused_no_memory(void **state) {
    (void)state;
    struct layer first = layer_make((struct conv_shape){14, 14, 1, 16, false}, 1);
    struct layer second = layer_make((struct conv_shape){14, 14, 16, 16, true}, 1);
    struct conv_plan *plans[2];
    assert_int_equal(
        winograd_plan_create(&plans[0], &first.shape, first.kernel, first.bias, CPU_ISA_GENERIC, NULL), 0);
    assert_int_equal(
        winograd_plan_create(&plans[1], &second.shape, second.kernel, second.bias, CPU_ISA_GENERIC, NULL), 0);
    enum status status = STATUS_NO_MEMORY;
    for (long n = 1; n <= 3; n++) {
        mem_test_fail_at(n);
        status = winograd_fuse(plans[1], plans[0], first.in);
        mem_test_fail_at(0);
        assert_int_equal(status, STATUS_NO_MEMORY);
        free(layer_run(&second, plans[1], 0, 1, true));
    }
    assert_int_equal(winograd_fuse(plans[1], plans[0], first.in), STATUS_OK);
    conv_winograd.plan_free(plans[0]);
    conv_winograd.plan_free(plans[1]);
    layer_free(&first);
    layer_free(&second);
}

/* Plans when the n-th allocation fails: a status and a message, nothing leaked (run under ASan). */
static void test_no_memory(void **state) {
    (void)state;
    for (size_t channels = 1; channels <= 20; channels += 19) {
        struct layer l = layer_make((struct conv_shape){13, 13, channels, 20, false}, 1);
        long n = 1;
        for (;; n++) {
            struct conv_plan *plan = NULL;
            mem_test_fail_at(n);
            enum status status =
                winograd_plan_create(&plan, &l.shape, l.kernel, l.bias, CPU_ISA_GENERIC, NULL);
            mem_test_fail_at(0);
            conv_winograd.plan_free(plan);
            if (status == STATUS_OK)
                break;
            assert_int_equal(status, STATUS_NO_MEMORY);
            assert_null(plan);
        }
        assert_true(n > 1);
        layer_free(&l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_vgg16),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_fused),
        cmocka_unit_test(test_fused_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
