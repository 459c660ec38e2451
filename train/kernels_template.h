/* kernels_template: the source of every table of kernels.h, compiled once per instruction set. Include it
 * from kernels_<isa>.c only, which defines
 *
 *     KERNEL(name)    name##__<isa>
 *     ISA             "<isa>"
 *     VL              floats per vector: 16, 8 or 4
 *     KERNELS_BLOCK   classes worked on at a time; 2 * KERNELS_BLOCK accumulators and 3 vectors more must fit
 *                     in the registers
 *
 * Vectors are GCC vector extensions, which Clang has too. The compiler contracts a * b + c to one operation
 * where the set has it, and never reorders a sum. */
#include "train/kernels.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { NV = KERNELS_LANES / VL }; /* vectors per 16 floats */

typedef float vec __attribute__((vector_size(4 * VL), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * VL), may_alias));
typedef uint32_t uvec __attribute__((vector_size(4 * VL), may_alias)); /* it may overflow */

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* HOLD(v): keeps a vector in a register that the compiler would read from memory once for each use. */
#ifdef __x86_64__
#define HOLD(v) __asm__("" : "+v"(v))
#else
#define HOLD(v) (void)0
#endif

/* SQRT(v): of each element. LARGER(a, b): a where a > b, else b. EQUALS(a, b): a bit for each element that is
 * equal, the lowest for the first. PLUS(a, b): the sum. */
#if VL == 16
#define SQRT(v) ((vec)_mm512_sqrt_ps((__m512)(v)))
#define LARGER(a, b) ((vec)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define EQUALS(a, b) ((unsigned)_mm512_cmpeq_ps_mask((__m512)(a), (__m512)(b)))
#elif VL == 8
#define SQRT(v) ((vec)_mm256_sqrt_ps((__m256)(v)))
#define LARGER(a, b) ((vec)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define EQUALS(a, b) ((unsigned)_mm256_movemask_ps(_mm256_cmp_ps((__m256)(a), (__m256)(b), _CMP_EQ_OQ)))
#else
#ifdef __x86_64__
#define SQRT(v) ((vec)_mm_sqrt_ps((__m128)(v)))
#define LARGER(a, b) ((vec)_mm_max_ps((__m128)(a), (__m128)(b)))
#define EQUALS(a, b) ((unsigned)_mm_movemask_ps(_mm_cmpeq_ps((__m128)(a), (__m128)(b))))
#else
#define SQRT(v) ((vec){sqrtf((v)[0]), sqrtf((v)[1]), sqrtf((v)[2]), sqrtf((v)[3])})
#define LARGER(a, b) ((vec)(((ivec)(a) & ((a) > (b))) | ((ivec)(b) & ~((a) > (b)))))
#define EQUALS(a, b)                                                                                         \
    (((a)[0] == (b)[0]) | ((a)[1] == (b)[1]) << 1 | ((a)[2] == (b)[2]) << 2 | ((a)[3] == (b)[3]) << 3)
#endif
#endif
#define PLUS(a, b) ((a) + (b))

static const vec zero = {0};

/* Results over the lanes of many vectors at once. lowN(a, b) are the lower halves of each 2N lanes of a, then
 * those of b, highN(a, b) the upper ones. So an operation on low8 and high8 of two vectors halves each and
 * puts the halves side by side; low4 and high4 do that to each half, and so on, until every lane is the
 * result of one of the vectors there were, in their order. */
#if VL == 16
static inline vec low8(vec a, vec b) {
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
}
static inline vec high8(vec a, vec b) {
    return __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
}
static inline vec low4(vec a, vec b) {
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
}
static inline vec high4(vec a, vec b) {
    return __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}
static inline vec low2(vec a, vec b) {
    return __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29);
}
static inline vec high2(vec a, vec b) {
    return __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
}
static inline vec low1(vec a, vec b) {
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}
static inline vec high1(vec a, vec b) {
    return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}
#elif VL == 8
static inline vec low4(vec a, vec b) {
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
}
static inline vec high4(vec a, vec b) {
    return __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
}
static inline vec low2(vec a, vec b) {
    return __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13);
}
static inline vec high2(vec a, vec b) {
    return __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15);
}
static inline vec low1(vec a, vec b) {
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
}
static inline vec high1(vec a, vec b) {
    return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
}
#else
static inline vec low2(vec a, vec b) {
    return __builtin_shufflevector(a, b, 0, 1, 4, 5);
}
static inline vec high2(vec a, vec b) {
    return __builtin_shufflevector(a, b, 2, 3, 6, 7);
}
static inline vec low1(vec a, vec b) {
    return __builtin_shufflevector(a, b, 0, 2, 4, 6);
}
static inline vec high1(vec a, vec b) {
    return __builtin_shufflevector(a, b, 1, 3, 5, 7);
}
#endif
#define HALF(n) (((n) + 1) / 2)
#define LEVEL(op, width, v, n)                                                                               \
    UNROLL for (int i = 0; i < HALF(n); i++) {                                                               \
        vec a = (v)[2 * i], b = 2 * i + 1 < (n) ? (v)[2 * i + 1] : zero;                                     \
        (v)[i] = op(low##width(a, b), high##width(a, b));                                                    \
    }

/* LANES(op, v, k): op over the lanes of each of v[k], into lanes 0..k-1 of v[0], v[1], ... */
#if VL == 16
#define LANES(op, v, k)                                                                                      \
    LEVEL(op, 8, v, k)                                                                                       \
    LEVEL(op, 4, v, HALF(k))                                                                                 \
    LEVEL(op, 2, v, HALF(HALF(k)))                                                                           \
    LEVEL(op, 1, v, HALF(HALF(HALF(k))))
#elif VL == 8
#define LANES(op, v, k)                                                                                      \
    LEVEL(op, 4, v, k)                                                                                       \
    LEVEL(op, 2, v, HALF(k))                                                                                 \
    LEVEL(op, 1, v, HALF(HALF(k)))
#else
#define LANES(op, v, k)                                                                                      \
    LEVEL(op, 2, v, k)                                                                                       \
    LEVEL(op, 1, v, HALF(k))
#endif

enum { OUT_MAX = (KERNELS_BLOCK + VL - 1) / VL }; /* vectors of a block's results */

/* The sums of vectors over their lanes, k of them, into out[k], each plus start[k] unless NULL. */
static inline __attribute__((always_inline)) void lane_sums(vec *sum, int k, const vec *start, float *out) {
    LANES(PLUS, sum, k)
    if (start != NULL)
        UNROLL for (int i = 0; i < (k + VL - 1) / VL; i++) sum[i] += start[i];
    memcpy(out, sum, (size_t)k * sizeof(float));
}

enum { AHEAD = 64 }; /* rows whose results are fetched before they are written, or read */

/* Fetches result rows to be written: another thread may have read what stood there, and to own such a line
 * takes as long as to get it. */
static inline void own_rows(float *out, size_t stride, size_t first, size_t count) {
    for (size_t r = first; r < first + count; r++)
        __builtin_prefetch(out + r * stride, 1, 3);
}

/* Two rows by K classes at a time; K is a constant where this is expanded. */
static inline __attribute__((always_inline)) void
forward_block(const float *const rows[], const float *const next[], size_t row_count, size_t first,
              size_t count, const float *weights, size_t classes, const float *start, float *out,
              size_t stride, int k) {
    vec begin[OUT_MAX] = {{0}};
    if (start != NULL)
        memcpy(begin, start, (size_t)k * sizeof(float));
    own_rows(out, stride, 0, row_count < AHEAD ? row_count : AHEAD);
    for (size_t r = 0; r < row_count; r += 2) {
        bool both = r + 1 < row_count;
        const vec *x0 = (const vec *)(rows[r] + first), *x1 = (const vec *)(rows[both ? r + 1 : r] + first);
        const vec *w = (const vec *)weights;
        const float *fetch = next != NULL ? next[r] + first : NULL;
        if (r + AHEAD < row_count)
            own_rows(out, stride, r + AHEAD, 2);
        vec sum0[KERNELS_BLOCK], sum1[KERNELS_BLOCK];
        UNROLL
        for (int i = 0; i < k; i++)
            sum0[i] = sum1[i] = zero;
        for (size_t d = 0; d < count; d += KERNELS_LANES, w += classes * NV) {
            if (fetch != NULL)
                __builtin_prefetch(fetch + d, 0, 2);
            UNROLL
            for (int v = 0; v < NV; v++, x0++, x1++) {
                UNROLL
                for (int i = 0; i < k; i++) {
                    vec weight = w[i * NV + v];
                    HOLD(weight);
                    sum0[i] += *x0 * weight;
                    sum1[i] += *x1 * weight;
                }
            }
        }
        lane_sums(sum0, k, start != NULL ? begin : NULL, out + r * stride);
        if (both)
            lane_sums(sum1, k, start != NULL ? begin : NULL, out + (r + 1) * stride);
    }
}

/* G vectors of features by K classes at a time; K and G are constants where this is expanded. */
static inline __attribute__((always_inline)) void
gradient_block(const float *const rows[], const float *const next[], size_t row_count, const float *error,
               size_t stride, size_t from, float *const gradient[], bool add, int k, int g) {
    vec sum[KERNELS_BLOCK][2];
    UNROLL
    for (int i = 0; i < k; i++) {
        UNROLL
        for (int j = 0; j < g; j++)
            sum[i][j] = add ? ((const vec *)gradient[j])[i * NV] : zero;
    }
    for (size_t r = 0; r < row_count; r++) {
        const vec *x = (const vec *)(rows[r] + from);
        const float *e = error + r * stride;
        if (next != NULL && r % 2 == 1) {
            UNROLL
            for (int j = 0; j < g * VL; j += 16)
                __builtin_prefetch(next[r] + from + j, 0, 2);
        }
        UNROLL
        for (int i = 0; i < k; i++) {
            UNROLL
            for (int j = 0; j < g; j++)
                sum[i][j] += e[i] * x[j];
        }
    }
    UNROLL
    for (int i = 0; i < k; i++) {
        UNROLL
        for (int j = 0; j < g; j++)
            ((vec *)gradient[j])[i * NV] = sum[i][j];
    }
}

/* Expands a block for each constant number of classes. */
#if KERNELS_BLOCK == 14
#define EACH(k, expand)                                                                                      \
    switch (k) {                                                                                             \
        expand(1) expand(2) expand(3) expand(4) expand(5) expand(6) expand(7) expand(8) expand(9) expand(10) \
            expand(11) expand(12) expand(13) expand(14)                                                      \
    }
#else
#define EACH(k, expand)                                                                                      \
    switch (k) { expand(1) expand(2) expand(3) expand(4) expand(5) expand(6) }
#endif

/* Classes are done in blocks as equal as can be. */
static inline size_t block_first(size_t block, size_t classes) {
    size_t blocks = (classes + KERNELS_BLOCK - 1) / KERNELS_BLOCK;
    return classes * block / blocks;
}

static void KERNEL(forward)(const float *const rows[], const float *const next[], size_t row_count,
                            size_t first, size_t count, const float *weights, size_t classes,
                            const float *start, float *out, size_t stride) {
    for (size_t block = 0, c = 0; c < classes; block++) {
        size_t end = block_first(block + 1, classes);
        const float *block_weights = weights + c * KERNELS_LANES;
        const float *block_start = start != NULL ? start + c : NULL;
#define EXPAND(k)                                                                                            \
    case k:                                                                                                  \
        forward_block(rows, c == 0 ? next : NULL, row_count, first, count, block_weights, classes,           \
                      block_start, out + c, stride, k);                                                      \
        break;
        EACH(end - c, EXPAND)
#undef EXPAND
        c = end;
    }
}

static void KERNEL(gradient)(const float *const rows[], const float *const next[], size_t row_count,
                             size_t first, size_t count, const float *error, size_t stride, size_t classes,
                             float *gradient, bool add) {
    for (size_t block = 0, c = 0; c < classes; block++) {
        size_t end = block_first(block + 1, classes);
        for (size_t d = 0; d < count;) {
            bool two = d + 2 * VL <= count;
            float *places[2];
            for (size_t j = 0; j < 2; j++) {
                size_t at = d + j * VL;
                places[j] =
                    gradient + (at / KERNELS_LANES * classes + c) * KERNELS_LANES + at % KERNELS_LANES;
            }
            const float *const *fetch = c == 0 && (VL == 16 || d % 16 == 0) ? next : NULL;
#define EXPAND(k)                                                                                            \
    case k:                                                                                                  \
        if (two)                                                                                             \
            gradient_block(rows, fetch, row_count, error + c, stride, first + d, places, add, k, 2);         \
        else                                                                                                 \
            gradient_block(rows, fetch, row_count, error + c, stride, first + d, places, add, k, 1);         \
        break;
            EACH(end - c, EXPAND)
#undef EXPAND
            d += two ? 2 * VL : VL;
        }
        c = end;
    }
}

static void KERNEL(column_sum)(size_t row_count, size_t columns, const float *error, float *sums, bool add) {
    for (size_t v = 0; v < columns / VL; v++) {
        vec sum = add ? ((const vec *)sums)[v] : zero;
        for (size_t r = 0; r < row_count; r++)
            sum += ((const vec *)(error + r * columns))[v];
        ((vec *)sums)[v] = sum;
    }
}

/* exp(x) for x <= 0: 2^n * exp(r) with n = round(x / ln 2), |r| <= ln 2 / 2, and Cephes' polynomial for
 * exp(r); about 1 ulp, exactly 1 at 0. Below -87 the result is 0. */
static inline void KERNEL(exp_negative)(vec *values) {
    const float round_magic = 12582912.0f; /* 1.5 * 2^23: adding it leaves a whole number in the low bits */
    vec x = *values;
    vec shifted = x * 1.44269504088896341f + round_magic;
    vec n = shifted - round_magic;
    vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    uvec scaled = (uvec)p + ((uvec)shifted << 23);
    uvec tiny = (uvec)(x < -87.0f); /* false for NaN, which must stay */
    *values = (vec)(scaled & ~tiny);
}

/* op over the 16 / VL vectors of a row's 16 lanes. */
#if VL == 16
#define JOIN(op, v) ((v)[0])
#elif VL == 8
#define JOIN(op, v) op((v)[0], (v)[1])
#else
#define JOIN(op, v) op(op((v)[0], (v)[2]), op((v)[1], (v)[3]))
#endif

/* row[vectors] = the sums over parts; returns its largest elements, one per lane. */
static inline vec KERNEL(add_parts)(const vec *part, size_t part_count, size_t part_stride, size_t vectors,
                                    vec *row) {
    vec high[NV];
    UNROLL
    for (size_t v = 0; v < NV; v++)
        high[v] = (vec){0} - INFINITY;
    for (size_t i = 0; i < vectors; i += NV) {
        UNROLL
        for (size_t v = 0; v < NV; v++) {
            vec z = part[i + v];
            for (size_t p = 1; p < part_count; p++)
                z += part[p * part_stride + i + v];
            row[i + v] = z;
            high[v] = LARGER(high[v], z);
        }
    }
    return JOIN(LARGER, high);
}

/* row[vectors] = exp(row - top); returns its sums, one per lane. *place_ret is the first element that was
 * `top`, or 0 when there is none, as top is not a number. */
static inline vec KERNEL(exponentials)(vec *row, size_t vectors, float top, uint16_t *place_ret) {
    vec total[NV];
    bool found = false;
    *place_ret = 0;
    UNROLL
    for (size_t v = 0; v < NV; v++)
        total[v] = zero;
    for (size_t i = 0; i < vectors; i += NV) {
        UNROLL
        for (size_t v = 0; v < NV; v++) {
            vec z = row[i + v];
            unsigned equal = EQUALS(z, zero + top);
            if (equal != 0 && !found) {
                *place_ret = (uint16_t)((i + v) * VL + (unsigned)__builtin_ctz(equal));
                found = true;
            }
            z -= top;
            KERNEL(exp_negative)(&z);
            row[i + v] = z;
            total[v] += z;
        }
    }
    return JOIN(PLUS, total);
}

/* Fetches rows first..first+count-1 of all parts: another thread may just have written them. */
static inline void KERNEL(fetch_parts)(const float *parts, size_t part_count, size_t part_stride,
                                       size_t first, size_t count, size_t columns) {
    for (size_t p = 0; p < part_count; p++)
        for (size_t i = first * columns; i < (first + count) * columns; i += KERNELS_LANES)
            __builtin_prefetch(parts + p * part_stride + i, 0, 3);
}

/* Eight rows at a time, whose maxima and sums over lanes are found together. */
static double KERNEL(softmax)(const float *parts, size_t part_count, size_t part_stride, size_t row_count,
                              size_t columns, const uint16_t *labels, float scale, float *probabilities,
                              uint16_t *predicted) {
    enum { GROUP = 8 };
    size_t vectors = columns / VL;
    double loss = 0;
    KERNEL(fetch_parts)(parts, part_count, part_stride, 0, row_count < AHEAD ? row_count : AHEAD, columns);
    for (size_t first = 0; first < row_count; first += GROUP) {
        if (first + AHEAD + GROUP <= row_count)
            KERNEL(fetch_parts)(parts, part_count, part_stride, first + AHEAD, GROUP, columns);
        size_t count = row_count - first < GROUP ? row_count - first : GROUP;
        vec high[GROUP] = {{0}}, total[GROUP] = {{0}};
        float top[GROUP], sum[GROUP], own[GROUP] = {0};
        double product = 1; /* log(a) + log(b) = log(a * b): one logarithm for eight rows */
        float *out = probabilities + first * columns;
        for (size_t r = 0; r < count; r++) {
            high[r] = KERNEL(add_parts)((const vec *)(parts + (first + r) * columns), part_count,
                                        part_stride / VL, vectors, (vec *)(out + r * columns));
            own[r] = labels != NULL ? out[r * columns + labels[first + r]] : 0;
        }
        LANES(LARGER, high, GROUP)
        memcpy(top, high, sizeof top);
        for (size_t r = 0; r < count; r++)
            total[r] =
                KERNEL(exponentials)((vec *)(out + r * columns), vectors, top[r], &predicted[first + r]);
        LANES(PLUS, total, GROUP)
        memcpy(sum, total, sizeof sum);
        for (size_t r = 0; r < count; r++) {
            vec *row = (vec *)(out + r * columns);
            float factor = scale / sum[r];
            for (size_t i = 0; i < vectors; i++)
                row[i] *= factor;
            loss -= (double)own[r] - (double)top[r];
            product *= (double)sum[r];
        }
        loss += log(product);
    }
    return labels != NULL ? loss : 0;
}

static void KERNEL(adam)(const struct kernels_adam *step, size_t count, const float *gradient, float *weights,
                         float *first_moment, float *second_moment) {
    const vec *g = (const vec *)gradient;
    vec *w = (vec *)weights, *m = (vec *)first_moment, *v = (vec *)second_moment;
    const struct kernels_adam s = *step;
    for (size_t i = 0; i < count / VL; i++) {
        vec slope = g[i] + s.decay * w[i];
        vec mean = m[i] + (slope - m[i]) * s.one_minus_beta1;
        vec square = v[i] + (slope * slope - v[i]) * s.one_minus_beta2;
        m[i] = mean;
        v[i] = square;
        w[i] -= s.alpha * mean / (SQRT(square) + s.epsilon);
    }
}

static void KERNEL(sgd)(const struct kernels_sgd *step, size_t count, const float *gradient, float *weights) {
    const vec *g = (const vec *)gradient;
    vec *w = (vec *)weights;
    const struct kernels_sgd s = *step;
    for (size_t i = 0; i < count / VL; i++)
        w[i] -= s.rate * (g[i] + s.decay * w[i]);
}

static void KERNEL(momentum)(const struct kernels_sgd *step, size_t count, const float *gradient,
                             float *weights, float *velocity) {
    const vec *g = (const vec *)gradient;
    vec *w = (vec *)weights, *v = (vec *)velocity;
    const struct kernels_sgd s = *step;
    for (size_t i = 0; i < count / VL; i++) {
        v[i] = s.momentum * v[i] - s.rate * (g[i] + s.decay * w[i]);
        w[i] += v[i];
    }
}

static void KERNEL(nesterov)(const struct kernels_sgd *step, size_t count, const float *gradient,
                             float *weights, float *velocity) {
    const vec *g = (const vec *)gradient;
    vec *w = (vec *)weights, *v = (vec *)velocity;
    const struct kernels_sgd s = *step;
    for (size_t i = 0; i < count / VL; i++) {
        vec move = s.rate * (g[i] + s.decay * w[i]);
        v[i] = s.momentum * v[i] - move;
        w[i] += s.momentum * v[i] - move;
    }
}

static double KERNEL(square_sum)(size_t count, const float *weights) {
    const vec *w = (const vec *)weights;
    vec sum[NV] = {0};
    for (size_t i = 0; i < count / VL; i += NV)
        for (size_t v = 0; v < NV; v++)
            sum[v] += w[i + v] * w[i + v];
    double total = 0;
    for (size_t v = 0; v < NV; v++)
        for (size_t i = 0; i < VL; i++)
            total += (double)sum[v][i];
    return total;
}

const struct kernels KERNEL(kernels_table) = {
    .isa = ISA,
    .forward = KERNEL(forward),
    .gradient = KERNEL(gradient),
    .column_sum = KERNEL(column_sum),
    .softmax = KERNEL(softmax),
    .adam = KERNEL(adam),
    .sgd = KERNEL(sgd),
    .momentum = KERNEL(momentum),
    .nesterov = KERNEL(nesterov),
    .square_sum = KERNEL(square_sum),
};
