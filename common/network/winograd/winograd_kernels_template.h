/* winograd_kernels_template: the kernels, written once on vectors of VECTOR_NBYTES and compiled once per
 * instruction set. Include it from kernels_<isa>.c only, which defines
 *     WINOGRAD_KERNELS_ISA     the enum cpu_isa
 *     KERNEL(name)    name##__<isa>
 *     VECTOR_NBYTES   64, 32 or 16
 *     ROWS_MAX        rows of the largest product: ROWS_MAX x 2 accumulators, 2 vectors of weights and
 *                     a broadcast must fit in the registers
 * The compiler contracts a * b + c to one fused operation where the set has it, and never reorders:
 * each function gives the same bits for each element, whatever its other arguments. */
#include "common/base/vec.h"
#include "common/network/winograd/winograd_kernels.h"
#include "common/network/winograd/winograd_transforms.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

enum { LANES = VECTOR_NBYTES / sizeof(float) };

/* The rectifier. Its argument comes second, which lets NaN through. */
static inline vec vec_relu(vec x) {
    return vec_max((vec){0}, x);
}

/* ---- Products ---- */

/* One step of a product: channel k of `rows` tiles by 2 vectors of filters. */
static inline __attribute__((always_inline)) void gemm_step(size_t rows, vec acc[][2], const float *v,
                                                            const float *u) {
    vec u0 = vec_load(u), u1 = vec_load(u + LANES);
    UNROLL for (size_t r = 0; r < rows; r++) {
        acc[r][0] += v[r * LANES] * u0;
        acc[r][1] += v[r * LANES] * u1;
    }
}

static inline __attribute__((always_inline)) void gemm_rows(size_t rows,
                                                            const struct winograd_kernels_gemm *g) {
    assert(g->chunks + g->tail > 0 && g->tail < LANES && g->rows_all >= rows);
    const float *v = g->v, *u = g->u;
    const char *prefetch = g->prefetch;
    size_t chunks = g->chunks, tail = g->tail;
    float *m0 = g->m, *m1 = g->m + g->rows_all * LANES;
    for (bool first = true; chunks + tail > 0; first = false) {
        vec acc[ROWS_MAX][2] = {0};
        size_t block = chunks < WINOGRAD_KERNELS_BLOCK / LANES ? chunks : WINOGRAD_KERNELS_BLOCK / LANES;
        for (size_t chunk = 0; chunk < block; chunk++) {
            for (size_t line = g->prefetch_lines; line > 0; line--, prefetch += 64)
                __builtin_prefetch(prefetch, 0, 2);
#pragma GCC unroll 4
            for (size_t k = 0; k < LANES; k++)
                gemm_step(rows, acc, v + k, u + k * 2 * LANES);
            v += g->rows_all * LANES;
            u += LANES * 2 * LANES;
        }
        chunks -= block;
        if (block < WINOGRAD_KERNELS_BLOCK / LANES) {
            for (size_t k = 0; k < tail; k++)
                gemm_step(rows, acc, v + k, u + k * 2 * LANES);
            tail = 0;
        }
        UNROLL for (size_t r = 0; r < rows; r++) {
            vec_store(m0 + r * LANES, first ? acc[r][0] : vec_load(m0 + r * LANES) + acc[r][0]);
            vec_store(m1 + r * LANES, first ? acc[r][1] : vec_load(m1 + r * LANES) + acc[r][1]);
        }
    }
}

#define GEMM(ROWS)                                                                                           \
    static void KERNEL(gemm_rows##ROWS)(const struct winograd_kernels_gemm *g) {                             \
        gemm_rows(ROWS, g);                                                                                  \
    }
/* clang-format off */
#define EACH_ROWS_TO_4(X) X(1) X(2) X(3) X(4)
#define EACH_ROWS_TO_6(X) EACH_ROWS_TO_4(X) X(5) X(6)
#if ROWS_MAX == 14
#define EACH_ROWS(X) EACH_ROWS_TO_6(X) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#elif ROWS_MAX == 6
#define EACH_ROWS(X) EACH_ROWS_TO_6(X)
#else
#define EACH_ROWS(X) EACH_ROWS_TO_4(X)
#endif
/* clang-format on */
EACH_ROWS(GEMM)

/* ---- Transforms: two passes of the one-dimensional transform make a two-dimensional one ---- */

enum { TMP_STEP = WINOGRAD_KERNELS_POINTS_MAX * LANES };

#define INPUT(M, N)                                                                                          \
    static void KERNEL(winograd_f##M##k3_input_columns_only)(const struct winograd_kernels_patch *patch,     \
                                                             size_t columns, float *tmp) {                   \
        const float *pixel = patch->first;                                                                   \
        for (size_t j = 0; j < columns; j++, pixel += patch->column_step) {                                  \
            vec x[N];                                                                                        \
            UNROLL for (size_t i = 0; i < (N); i++) x[i] = vec_load_pixel(pixel + i * patch->row_step);      \
            vec y[N];                                                                                        \
            winograd_f##M##k3_input(x, y);                                                                   \
            UNROLL for (size_t i = 0; i < (N); i++) vec_store(tmp + i * TMP_STEP + j * LANES, y[i]);         \
        }                                                                                                    \
    }                                                                                                        \
    static void KERNEL(winograd_f##M##k3_input_columns_upto)(const struct winograd_kernels_patch *patch,     \
                                                             size_t columns, float *tmp) {                   \
        const float *column = patch->first;                                                                  \
        for (size_t j = 0; j < columns; j++) {                                                               \
            vec x[N] = {0}, y[N];                                                                            \
            if (j >= patch->column_begin && j < patch->column_end) {                                         \
                const float *pixel = column;                                                                 \
                UNROLL for (size_t i = 0; i < (N); i++) if (i >= patch->row_begin && i < patch->row_end) {   \
                    x[i] = vec_load_pixel(pixel);                                                            \
                    pixel += patch->row_step;                                                                \
                }                                                                                            \
                column += patch->column_step;                                                                \
            }                                                                                                \
            winograd_f##M##k3_input(x, y);                                                                   \
            UNROLL for (size_t i = 0; i < (N); i++) vec_store(tmp + i * TMP_STEP + j * LANES, y[i]);         \
        }                                                                                                    \
    }                                                                                                        \
    static void KERNEL(winograd_f##M##k3_input_rows)(const float *tmp, size_t rows, float *v, size_t step) { \
        for (size_t i = 0; i < rows; i++, tmp += TMP_STEP) {                                                 \
            vec x[N], y[N];                                                                                  \
            UNROLL for (size_t j = 0; j < (N); j++) x[j] = vec_load(tmp + j * LANES);                        \
            winograd_f##M##k3_input(x, y);                                                                   \
            UNROLL for (size_t j = 0; j < (N); j++, v += step) vec_store(v, y[j]);                           \
        }                                                                                                    \
    }

#define OUTPUT(M, N)                                                                                         \
    static void KERNEL(winograd_f##M##k3_output_columns)(const float *m, size_t step, size_t columns,        \
                                                         float *tmp) {                                       \
        for (size_t j = 0; j < columns; j++, m += step) {                                                    \
            vec x[N], y[M];                                                                                  \
            UNROLL for (size_t i = 0; i < (N); i++) x[i] = vec_load(m + i * columns * step);                 \
            winograd_f##M##k3_output(x, y);                                                                  \
            UNROLL for (size_t i = 0; i < (M); i++) vec_store(tmp + i * TMP_STEP + j * LANES, y[i]);         \
        }                                                                                                    \
    }                                                                                                        \
    static void KERNEL(winograd_f##M##k3_output_rows_relu)(                                                  \
        const float *tmp, size_t rows, const float *bias, float *out, size_t row_step, size_t column_step) { \
        vec b = vec_load(bias);                                                                              \
        for (size_t i = 0; i < rows; i++, tmp += TMP_STEP, out += row_step) {                                \
            vec x[N], y[M];                                                                                  \
            UNROLL for (size_t j = 0; j < (N); j++) x[j] = vec_load(tmp + j * LANES);                        \
            winograd_f##M##k3_output(x, y);                                                                  \
            UNROLL for (size_t j = 0; j < (M); j++)                                                          \
                vec_store_pixel(out + j * column_step, vec_relu(y[j] + b));                                  \
        }                                                                                                    \
    }

/* The largest of four sums, then the bias and the rectifier: the same bits as the other way round, since
 * both are monotone, and a quarter of the work. */
#define OUTPUT_POOL(M, N)                                                                                    \
    static void KERNEL(winograd_f##M##k3_output_rows_relu_pool)(                                             \
        const float *tmp, size_t rows, const float *bias, float *out, size_t row_step, size_t column_step) { \
        vec b = vec_load(bias);                                                                              \
        assert(rows % 2 == 0);                                                                               \
        for (size_t i = 0; i < rows; i += 2, tmp += 2 * TMP_STEP, out += row_step) {                         \
            vec x[N], y[M], z[M];                                                                            \
            UNROLL for (size_t j = 0; j < (N); j++) x[j] = vec_load(tmp + j * LANES);                        \
            winograd_f##M##k3_output(x, y);                                                                  \
            UNROLL for (size_t j = 0; j < (N); j++) x[j] = vec_load(tmp + TMP_STEP + j * LANES);             \
            winograd_f##M##k3_output(x, z);                                                                  \
            UNROLL for (size_t j = 0; j < (M); j += 2) {                                                     \
                vec top = vec_max(y[j], y[j + 1]), bottom = vec_max(z[j], z[j + 1]);                         \
                vec_store_pixel(out + j / 2 * column_step, vec_relu(vec_max(top, bottom) + b));              \
            }                                                                                                \
        }                                                                                                    \
    }

/* Pixels are L floats at a multiple of 4 bytes only, when C or K is no multiple of L. */
typedef float vec_unaligned __attribute__((vector_size(VECTOR_NBYTES), aligned(4)));

static inline vec vec_load_pixel(const float *from) {
    return (vec) * (const vec_unaligned *)(const void *)from;
}

static inline void vec_store_pixel(float *to, vec x) {
    *(vec_unaligned *)(void *)to = (vec_unaligned)x;
}

/* clang-format off */
#define EACH_EVEN_TILE(X) X(2, 4) X(4, 6) X(6, 8) X(8, 10)
#define EACH_TILE(X) EACH_EVEN_TILE(X) X(3, 5) X(7, 9)
/* clang-format on */
EACH_TILE(INPUT)
EACH_TILE(OUTPUT)
EACH_EVEN_TILE(OUTPUT_POOL)

/* ---- The direct convolution ---- */

static inline __attribute__((always_inline)) void direct(size_t channels, size_t rows,
                                                         const struct winograd_kernels_direct *g) {
    vec acc[ROWS_MAX][2], b0 = vec_load(g->bias), b1 = vec_load(g->bias + LANES);
    UNROLL for (size_t r = 0; r < rows; r++) {
        acc[r][0] = b0;
        acc[r][1] = b1;
    }
    const float *u = g->u;
    for (size_t a = 0; a < 3; a++) {
        const float *row = g->row[a];
        UNROLL for (size_t d = 0; d < 3 * channels; d++, u += 2 * LANES) {
            vec u0 = vec_load(u), u1 = vec_load(u + LANES);
            UNROLL for (size_t r = 0; r < rows; r++) {
                acc[r][0] += row[r * channels + d] * u0;
                acc[r][1] += row[r * channels + d] * u1;
            }
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++) {
        vec_store_pixel(g->out + r * g->out_step, vec_relu(acc[r][0]));
        vec_store_pixel(g->out + r * g->out_step + LANES, vec_relu(acc[r][1]));
    }
}

#define DIRECT(C, ROWS)                                                                                      \
    static void KERNEL(direct_c##C##k3_rows##ROWS)(const struct winograd_kernels_direct *g) {                \
        direct(C, ROWS, g);                                                                                  \
    }
/* clang-format off */
#define EACH_DIRECT_TO_4(X, C) X(C, 1) X(C, 4)
#if ROWS_MAX == 14
#define EACH_DIRECT_OF(X, C) EACH_DIRECT_TO_4(X, C) X(C, 5) X(C, 6) X(C, 8) X(C, 9) X(C, 10) X(C, 14)
#elif ROWS_MAX == 6
#define EACH_DIRECT_OF(X, C) EACH_DIRECT_TO_4(X, C) X(C, 5) X(C, 6)
#else
#define EACH_DIRECT_OF(X, C) EACH_DIRECT_TO_4(X, C)
#endif
#define EACH_DIRECT(X)                                                                             \
    EACH_DIRECT_OF(X, 1) EACH_DIRECT_OF(X, 2) EACH_DIRECT_OF(X, 3) EACH_DIRECT_OF(X, 4)
/* clang-format on */
EACH_DIRECT(DIRECT)

/* ---- The table ---- */

void KERNEL(winograd_kernels_fill)(struct winograd_kernels *kernels) {
    memset(kernels, 0, sizeof *kernels);
    kernels->isa = WINOGRAD_KERNELS_ISA;
    kernels->lanes = LANES;
    kernels->rows_max = ROWS_MAX;
#define FILL_GEMM(ROWS) kernels->gemm[ROWS] = KERNEL(gemm_rows##ROWS);
#define FILL_TILE(M, N)                                                                                      \
    kernels->input_columns_only[M] = KERNEL(winograd_f##M##k3_input_columns_only);                           \
    kernels->input_columns_upto[M] = KERNEL(winograd_f##M##k3_input_columns_upto);                           \
    kernels->input_rows[M] = KERNEL(winograd_f##M##k3_input_rows);                                           \
    kernels->output_columns[M] = KERNEL(winograd_f##M##k3_output_columns);                                   \
    kernels->output_rows[M] = KERNEL(winograd_f##M##k3_output_rows_relu);
#define FILL_POOL(M, N) kernels->output_rows_pool[M] = KERNEL(winograd_f##M##k3_output_rows_relu_pool);
#define FILL_DIRECT(C, ROWS) kernels->direct[C][ROWS] = KERNEL(direct_c##C##k3_rows##ROWS);
    EACH_ROWS(FILL_GEMM)
    EACH_DIRECT(FILL_DIRECT)
    EACH_TILE(FILL_TILE)
    EACH_EVEN_TILE(FILL_POOL)
}
