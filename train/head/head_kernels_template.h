/* head_kernels_template: the source of every table of kernels.h, compiled once per instruction set. Include it
 * from kernels_<isa>.c only, which defines
 *
 *     KERNEL(name)    name##__<isa>
 *     ISA             "<isa>"
 *     VECTOR_NBYTES   of a vector: 64, 32 or 16
 *     HEAD_KERNELS_BLOCK   classes worked on at a time; 2 * HEAD_KERNELS_BLOCK accumulators and 3 vectors more must fit
 *                     in the registers
 *
 * The compiler contracts a * b + c to one operation where the set has it, and never reorders a sum. */
#include "train/head/head_kernels.h"
#include "train/head/head_kernels_vec.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    WIDTH = (HEAD_KERNELS_BLOCK + VL - 1) / VL
}; /* vectors of the results of a row and a block of classes */

/* The sums of k vectors over their lanes, plus start[], to out[]. */
static inline __attribute__((always_inline)) void lane_sums(vec *sum, int k, const vec *start, vec *out) {
    SUMS(sum, k)
    UNROLL
    for (int i = 0; i < (k + VL - 1) / VL; i++)
        out[i] = sum[i] + start[i];
}

/* Sixteen rows' results to out[class][row], k classes. */
static inline __attribute__((always_inline)) void put_columns(const vec row[HEAD_KERNELS_LANES][WIDTH], int k,
                                                              float *out) {
    UNROLL
    for (int i = 0; i < (k + VL - 1) / VL; i++) {
        for (int v = 0; v < NV; v++) {
            vec block[VL];
            UNROLL
            for (int r = 0; r < VL; r++)
                block[r] = row[v * VL + r][i];
            transpose(block);
            UNROLL
            for (int c = 0; c < VL; c++)
                if (i * VL + c < k)
                    *(vec *)(out + (i * VL + c) * HEAD_KERNELS_LANES + v * VL) = block[c];
        }
    }
}

/* Fetches lines that are to be written: another thread may have read what stands there, and to own such a
 * line takes as long as to get it. */
static inline __attribute__((always_inline)) void own_lines(float *line, int k) {
    UNROLL
    for (int i = 0; i < k; i++)
        __builtin_prefetch(line + i * HEAD_KERNELS_LANES, 1, 3);
}

/* Processors drop prefetches while too many others are under way, so each line is asked for once more, so
 * many rows before it is needed; where it is there, that costs nothing. Even. */
enum { AGAIN = 6 };

/* Two rows by K classes at a time; K is a constant where this is expanded. The lines of a row are taken from
 * both ends inwards: where a processor sees them in order, it goes on to fetch what lies behind the row,
 * which keeps it from what is needed. */
static inline __attribute__((always_inline)) void
forward_block(const float *const rows[], enum head_kernels_fetch fetch, size_t row_count, size_t first,
              size_t count, const float *weights, size_t classes, const float *start, float *out, int k) {
    vec begin[WIDTH] = {{0}}, result[HEAD_KERNELS_LANES][WIDTH] = {{{0}}};
    if (start != NULL)
        memcpy(begin, start, (size_t)k * sizeof(float));
    size_t lines = count / HEAD_KERNELS_LANES;
    for (size_t r = 0; r < row_count; r += 2) {
        size_t other = r + 1 < row_count ? r + 1 : r;
        const float *row0 = rows[r] + first, *row1 = rows[other] + first;
        const float *ahead[4] = {0};
        for (size_t i = 0; i < 4 && fetch != HEAD_KERNELS_FETCH_NONE; i++)
            ahead[i] = rows[r + (i < 2 ? HEAD_KERNELS_AHEAD : AGAIN) + i % 2] + first;
        float *put = out + r / HEAD_KERNELS_LANES * classes * HEAD_KERNELS_LANES;
        if (r % HEAD_KERNELS_LANES == 0)
            own_lines(put, k);
        vec sum0[HEAD_KERNELS_BLOCK], sum1[HEAD_KERNELS_BLOCK];
        UNROLL
        for (int i = 0; i < k; i++)
            sum0[i] = sum1[i] = zero;
        for (size_t i = 0; i < lines; i++) {
            size_t d = (i % 2 ? i / 2 : lines - 1 - i / 2) * HEAD_KERNELS_LANES;
            const vec *x0 = (const vec *)(row0 + d), *x1 = (const vec *)(row1 + d);
            const vec *w = (const vec *)(weights + d * classes);
            if (fetch != HEAD_KERNELS_FETCH_NONE) {
                __builtin_prefetch(ahead[0] + d, 0, 3);
                if (fetch == HEAD_KERNELS_FETCH_ALL)
                    __builtin_prefetch(ahead[1] + d, 0, 3);
                __builtin_prefetch(ahead[2] + d, 0, 3);
                __builtin_prefetch(ahead[3] + d, 0, 3);
            }
            UNROLL
            for (int v = 0; v < NV; v++) {
                UNROLL
                for (int c = 0; c < k; c++) {
                    vec weight = w[c * NV + v];
                    HOLD(weight);
                    sum0[c] += x0[v] * weight;
                    sum1[c] += x1[v] * weight;
                }
            }
        }
        lane_sums(sum0, k, begin, result[r % HEAD_KERNELS_LANES]);
        lane_sums(sum1, k, begin, result[(r + 1) % HEAD_KERNELS_LANES]);
        if (r % HEAD_KERNELS_LANES == HEAD_KERNELS_LANES - 2 || r + 2 >= row_count)
            put_columns(result, k, put);
    }
}

/* G vectors of features by K classes at a time; K and G are constants where this is expanded. */
static inline __attribute__((always_inline)) void
gradient_block(const float *const rows[], const float *const next[], size_t row_count, const float *error,
               size_t classes, size_t from, float *const gradient[], bool add, int k, int g) {
    vec sum[HEAD_KERNELS_BLOCK][2];
    UNROLL
    for (int i = 0; i < k; i++) {
        UNROLL
        for (int j = 0; j < g; j++)
            sum[i][j] = add ? ((const vec *)gradient[j])[i * NV] : zero;
    }
    for (size_t r = 0; r < row_count; r++) {
        const vec *x = (const vec *)(rows[r] + from);
        const float *e = error + head_kernels_index(classes, r, 0);
        if (next != NULL && r % 2 == 1) {
            UNROLL
            for (int j = 0; j < g * VL; j += 16)
                __builtin_prefetch(next[r] + from + j, 0, 2);
        }
        UNROLL
        for (int i = 0; i < k; i++) {
            UNROLL
            for (int j = 0; j < g; j++)
                sum[i][j] += e[i * HEAD_KERNELS_LANES] * x[j];
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
#if HEAD_KERNELS_BLOCK == 14
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
    size_t blocks = (classes + HEAD_KERNELS_BLOCK - 1) / HEAD_KERNELS_BLOCK;
    return classes * block / blocks;
}

static void KERNEL(forward)(const float *const rows[], enum head_kernels_fetch fetch, size_t row_count,
                            size_t first, size_t count, const float *weights, size_t classes,
                            const float *start, float *out) {
    for (size_t block = 0, c = 0; c < classes; block++) {
        size_t end = block_first(block + 1, classes);
        const float *block_weights = weights + c * HEAD_KERNELS_LANES;
        const float *block_start = start != NULL ? start + c : NULL;
#define EXPAND(k)                                                                                            \
    case k:                                                                                                  \
        forward_block(rows, c == 0 ? fetch : HEAD_KERNELS_FETCH_NONE, row_count, first, count,               \
                      block_weights, classes, block_start, out + c * HEAD_KERNELS_LANES, k);                 \
        break;
        EACH(end - c, EXPAND)
#undef EXPAND
        c = end;
    }
}

static void KERNEL(gradient)(const float *const rows[], const float *const next[], size_t row_count,
                             size_t first, size_t count, const float *error, size_t classes, float *gradient,
                             bool add) {
    for (size_t block = 0, c = 0; c < classes; block++) {
        size_t end = block_first(block + 1, classes);
        for (size_t d = 0; d < count;) {
            bool two = d + 2 * VL <= count;
            float *places[2];
            for (size_t j = 0; j < 2; j++) {
                size_t at = d + j * VL;
                places[j] = gradient + head_kernels_index(classes, at, c);
            }
            const float *const *fetch = c == 0 && (VL == 16 || d % 16 == 0) ? next : NULL;
#define EXPAND(k)                                                                                            \
    case k:                                                                                                  \
        if (two)                                                                                             \
            gradient_block(rows, fetch, row_count, error + c * HEAD_KERNELS_LANES, classes, first + d,       \
                           places, add, k, 2);                                                               \
        else                                                                                                 \
            gradient_block(rows, fetch, row_count, error + c * HEAD_KERNELS_LANES, classes, first + d,       \
                           places, add, k, 1);                                                               \
        break;
            EACH(end - c, EXPAND)
#undef EXPAND
            d += two ? 2 * VL : VL;
        }
        c = end;
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

/* Sixteen rows' logits, the sums over parts, to out[class][row]; the largest of each row to top[]. */
static inline void KERNEL(logits)(const float *parts, size_t part_count, size_t part_stride, size_t classes,
                                  float *out, vec top[NV]) {
    for (size_t v = 0; v < NV; v++)
        top[v] = zero - INFINITY;
    for (size_t i = 0; i < classes * NV; i++) {
        vec z = ((const vec *)parts)[i];
        for (size_t p = 1; p < part_count; p++)
            z += ((const vec *)(parts + p * part_stride))[i];
        ((vec *)out)[i] = z;
        top[i % NV] = vec_max(top[i % NV], z);
    }
}

/* Sixteen rows' logits become exp(logit - top), sum[] their sums over classes; place[] is the first class
 * whose logit is `top`, or 0 when there is none, as top is not a number. Sixteen classes are summed on their
 * own, so that a thousand round no worse than eighty. */
static inline void KERNEL(exponentials)(size_t classes, const vec top[NV], float *out, vec sum[NV],
                                        ivec place[NV]) {
    for (size_t v = 0; v < NV; v++) {
        vec total = zero, part = zero;
        ivec found = {0}, before = {0}; /* -1 where it was found, the classes before it */
        for (size_t c = 0; c < classes; c++) {
            vec *at = (vec *)(out + c * HEAD_KERNELS_LANES + v * VL), z = *at;
            found |= z == top[v];
            before += found + 1;
            z -= top[v];
            KERNEL(exp_negative)(&z);
            *at = z;
            part += z;
            if (c % 16 == 15 || c + 1 == classes) {
                total += part;
                part = zero;
            }
        }
        sum[v] = total;
        place[v] = before & found;
    }
}

/* The sum of weight * (log(sum) + top - own) over rows. Without weights the logarithm is left to the caller:
 * *product_io is multiplied by the sums, as log(a) + log(b) = log(a * b). */
static inline double KERNEL(cross_entropy)(size_t count, const float *sum, const float *top, const float *own,
                                           const float *weights, double *product_io) {
    double loss = 0;
    for (size_t r = 0; r < count; r++) {
        double rest = (double)top[r] - (double)own[r];
        if (weights == NULL)
            *product_io *= (double)sum[r];
        loss += weights == NULL ? rest : (double)weights[r] * (log((double)sum[r]) + rest);
    }
    return loss;
}

/* Fetches the parts of sixteen rows: another thread may just have written them. */
static inline void KERNEL(fetch_parts)(const float *parts, size_t part_count, size_t part_stride,
                                       size_t classes) {
    for (size_t p = 0; p < part_count; p++)
        for (size_t c = 0; c < classes; c++)
            __builtin_prefetch(parts + p * part_stride + c * HEAD_KERNELS_LANES, 0, 3);
}

static double KERNEL(softmax)(const float *parts, size_t part_count, size_t part_stride, size_t row_count,
                              size_t classes, const uint16_t *labels, const float *weights,
                              float *probabilities, uint16_t *predicted) {
    enum { TOGETHER = 64 }; /* rows per logarithm: 10,000 classes to the power of 64 are a double still */
    double loss = 0, product = 1;
    KERNEL(fetch_parts)(parts, part_count, part_stride, classes);
    for (size_t first = 0; first < row_count; first += HEAD_KERNELS_LANES) {
        size_t count = row_count - first < HEAD_KERNELS_LANES ? row_count - first : HEAD_KERNELS_LANES;
        if (first + HEAD_KERNELS_LANES < row_count)
            KERNEL(fetch_parts)
        (parts + (first + HEAD_KERNELS_LANES) * classes, part_count, part_stride, classes);
        float *out = probabilities + first * classes, own[HEAD_KERNELS_LANES];
        vec top[NV], sum[NV];
        ivec place[NV];
        KERNEL(logits)(parts + first * classes, part_count, part_stride, classes, out, top);
        for (size_t r = 0; labels != NULL && r < count; r++)
            own[r] = out[labels[first + r] * HEAD_KERNELS_LANES + r];
        KERNEL(exponentials)(classes, top, out, sum, place);
        for (size_t v = 0; v < NV; v++) {
            vec factor = 1 / sum[v];
            for (size_t c = 0; c < classes; c++)
                *(vec *)(out + c * HEAD_KERNELS_LANES + v * VL) *= factor;
        }
        for (size_t r = 0; r < count; r++)
            predicted[first + r] = (uint16_t)((const int32_t *)place)[r];
        if (labels != NULL)
            loss += KERNEL(cross_entropy)(count, (const float *)sum, (const float *)top, own,
                                          weights != NULL ? weights + first : NULL, &product);
        if ((first + HEAD_KERNELS_LANES) % TOGETHER == 0) {
            loss += log(product);
            product = 1;
        }
    }
    return loss + log(product);
}

/* Rows beyond row_count get 0, so that sums over rows need not care. */
static void KERNEL(error)(size_t row_count, size_t classes, const uint16_t *labels, const float *weights,
                          float scale, float *probabilities) {
    for (size_t first = 0; first < row_count; first += HEAD_KERNELS_LANES) {
        size_t count = row_count - first < HEAD_KERNELS_LANES ? row_count - first : HEAD_KERNELS_LANES;
        float *out = probabilities + first * classes;
        _Alignas(64) float factor[HEAD_KERNELS_LANES] = {0};
        _Alignas(64) int32_t label[HEAD_KERNELS_LANES] = {0};
        for (size_t r = 0; r < count; r++) {
            label[r] = labels[first + r];
            factor[r] = weights != NULL ? scale * weights[first + r] : scale;
        }
        for (size_t i = 0; i < classes * NV; i++) {
            ivec own = ((const ivec *)label)[i % NV] == (int32_t)(i / NV); /* -1 where it is the label */
            vec *at = (vec *)out + i;
            *at = (*at + __builtin_convertvector(own, vec)) * ((const vec *)factor)[i % NV];
        }
        for (size_t c = 0; c < classes && count < HEAD_KERNELS_LANES; c++)
            memset(out + c * HEAD_KERNELS_LANES + count, 0, (HEAD_KERNELS_LANES - count) * sizeof(float));
    }
}

static void KERNEL(row_sum)(size_t row_count, size_t classes, const float *error, float *sums, bool add) {
    for (size_t c = 0; c < classes; c += VL) {
        vec sum[VL] = {{0}};
        for (size_t i = 0; i < VL && c + i < classes; i++) {
            vec total = zero;
            for (size_t first = 0; first < row_count; first += HEAD_KERNELS_LANES)
                for (size_t v = 0; v < NV; v++)
                    total += ((const vec *)(error + first * classes + (c + i) * HEAD_KERNELS_LANES))[v];
            sum[i] = total;
        }
        SUMS(sum, VL)
        if (add)
            sum[0] += *(const vec *)(sums + c);
        *(vec *)(sums + c) = sum[0];
    }
}

static void KERNEL(adam)(const struct head_kernels_adam *step, size_t count, const float *gradient,
                         float *weights, float *first_moment, float *second_moment) {
    const vec *g = (const vec *)gradient;
    vec *w = (vec *)weights, *m = (vec *)first_moment, *v = (vec *)second_moment;
    const struct head_kernels_adam s = *step;
    for (size_t i = 0; i < count / VL; i++) {
        vec slope = g[i] + s.decay * w[i];
        vec mean = m[i] + (slope - m[i]) * s.one_minus_beta1;
        vec square = v[i] + (slope * slope - v[i]) * s.one_minus_beta2;
        m[i] = mean;
        v[i] = square;
        w[i] -= s.alpha * mean / (vec_sqrt(square) + s.epsilon);
    }
}

static void KERNEL(sgd)(const struct head_kernels_sgd *step, size_t count, const float *gradient,
                        float *weights) {
    const vec *g = (const vec *)gradient;
    vec *w = (vec *)weights;
    const struct head_kernels_sgd s = *step;
    for (size_t i = 0; i < count / VL; i++)
        w[i] -= s.rate * (g[i] + s.decay * w[i]);
}

static void KERNEL(momentum)(const struct head_kernels_sgd *step, size_t count, const float *gradient,
                             float *weights, float *velocity) {
    const vec *g = (const vec *)gradient;
    vec *w = (vec *)weights, *v = (vec *)velocity;
    const struct head_kernels_sgd s = *step;
    for (size_t i = 0; i < count / VL; i++) {
        v[i] = s.momentum * v[i] - s.rate * (g[i] + s.decay * w[i]);
        w[i] += v[i];
    }
}

static void KERNEL(nesterov)(const struct head_kernels_sgd *step, size_t count, const float *gradient,
                             float *weights, float *velocity) {
    const vec *g = (const vec *)gradient;
    vec *w = (vec *)weights, *v = (vec *)velocity;
    const struct head_kernels_sgd s = *step;
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

const struct head_kernels KERNEL(head_kernels_table) = {
    .isa = ISA,
    .forward = KERNEL(forward),
    .gradient = KERNEL(gradient),
    .softmax = KERNEL(softmax),
    .error = KERNEL(error),
    .row_sum = KERNEL(row_sum),
    .adam = KERNEL(adam),
    .sgd = KERNEL(sgd),
    .momentum = KERNEL(momentum),
    .nesterov = KERNEL(nesterov),
    .square_sum = KERNEL(square_sum),
};
