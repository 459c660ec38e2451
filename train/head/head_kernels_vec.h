/* head_kernels_vec: sums over and shuffles of the lanes of vectors of VL floats, for head_kernels_template.h. */
#ifndef TRAIN_HEAD_HEAD_KERNELS_VEC_H
#define TRAIN_HEAD_HEAD_KERNELS_VEC_H

#include "common/base/vec.h"
#include "train/head/head_kernels.h"

#define VL (VECTOR_NBYTES / 4)
enum { NV = HEAD_KERNELS_LANES / VL }; /* vectors per 16 floats */

/* HOLD(v): keeps a vector in a register that the compiler would read from memory once for each use. */
#ifdef __x86_64__
#define HOLD(v) __asm__("" : "+v"(v))
#else
#define HOLD(v) (void)0
#endif

static const vec zero = {0};

/* Two vectors to one. A vector is VL / 4 quads of lanes. Within each quad, zip_low is a0 b0 a1 b1 and
 * zip_high a2 b2 a3 b3, pair_low a0 a1 b0 b1 and pair_high a2 a3 b2 b3; even are the quads of even index of
 * a, then those of b, and odd the others. (One instruction each, where shuffles across quads at will are
 * slow.) */
#define SHUFFLE(name, ...)                                                                                   \
    static inline __attribute__((always_inline)) vec name(vec a, vec b) {                                    \
        return __builtin_shufflevector(a, b, __VA_ARGS__);                                                   \
    }
#if VL == 16
SHUFFLE(zip_low, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
SHUFFLE(zip_high, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
SHUFFLE(pair_low, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
SHUFFLE(pair_high, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
SHUFFLE(even, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
SHUFFLE(odd, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
#elif VL == 8
SHUFFLE(zip_low, 0, 8, 1, 9, 4, 12, 5, 13)
SHUFFLE(zip_high, 2, 10, 3, 11, 6, 14, 7, 15)
SHUFFLE(pair_low, 0, 1, 8, 9, 4, 5, 12, 13)
SHUFFLE(pair_high, 2, 3, 10, 11, 6, 7, 14, 15)
SHUFFLE(even, 0, 1, 2, 3, 8, 9, 10, 11)
SHUFFLE(odd, 4, 5, 6, 7, 12, 13, 14, 15)
#else
SHUFFLE(zip_low, 0, 4, 1, 5)
SHUFFLE(zip_high, 2, 6, 3, 7)
SHUFFLE(pair_low, 0, 1, 4, 5)
SHUFFLE(pair_high, 2, 3, 6, 7)
#endif

/* SUMS(v, k): the sum over the lanes of each of v[k], into lanes 0..k-1 of v[0], v[1], ... A level adds lanes
 * of each vector and puts two vectors side by side. */
#define HALF(n) (((n) + 1) / 2)
#define LEVEL(low, high, v, n)                                                                               \
    UNROLL for (int i = 0; i < HALF(n); i++) {                                                               \
        vec a = (v)[2 * i], b = 2 * i + 1 < (n) ? (v)[2 * i + 1] : zero;                                     \
        (v)[i] = low(a, b) + high(a, b);                                                                     \
    }
#define QUAD_SUMS(v, k)                                                                                      \
    LEVEL(zip_low, zip_high, v, k)                                                                           \
    LEVEL(pair_low, pair_high, v, HALF(k))
#if VL == 16
#define SUMS(v, k)                                                                                           \
    QUAD_SUMS(v, k)                                                                                          \
    LEVEL(even, odd, v, HALF(HALF(k)))                                                                       \
    LEVEL(even, odd, v, HALF(HALF(HALF(k))))
#elif VL == 8
#define SUMS(v, k)                                                                                           \
    QUAD_SUMS(v, k)                                                                                          \
    LEVEL(even, odd, v, HALF(HALF(k)))
#else
#define SUMS QUAD_SUMS
#endif

/* Vector i of the result has lane i of each of v[], in their order. */
static inline __attribute__((always_inline)) void transpose(vec v[VL]) {
    vec quads[4][VL / 4]; /* [i][g]: element i of each quad of the vectors 4 g to 4 g + 3 */
    UNROLL
    for (int g = 0; g < VL / 4; g++) {
        vec low0 = zip_low(v[4 * g], v[4 * g + 1]), low1 = zip_low(v[4 * g + 2], v[4 * g + 3]);
        vec high0 = zip_high(v[4 * g], v[4 * g + 1]), high1 = zip_high(v[4 * g + 2], v[4 * g + 3]);
        quads[0][g] = pair_low(low0, low1);
        quads[1][g] = pair_high(low0, low1);
        quads[2][g] = pair_low(high0, high1);
        quads[3][g] = pair_high(high0, high1);
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        const vec *q = quads[i];
#if VL == 16
        vec even0 = even(q[0], q[1]), even1 = even(q[2], q[3]);
        vec odd0 = odd(q[0], q[1]), odd1 = odd(q[2], q[3]);
        v[i] = even(even0, even1);
        v[4 + i] = even(odd0, odd1);
        v[8 + i] = odd(even0, even1);
        v[12 + i] = odd(odd0, odd1);
#elif VL == 8
        v[i] = even(q[0], q[1]);
        v[4 + i] = odd(q[0], q[1]);
#else
        v[i] = q[0];
#endif
    }
}

#endif
