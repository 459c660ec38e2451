/* vec: vectors of VECTOR_NBYTES (64, 32 or 16; define it first) of floats, for kernels that are written once
 * and compiled once per instruction set. They are GCC's vector extensions, which Clang has too; this file adds
 * what these lack. */
#ifndef COMMON_BASE_VEC_H
#define COMMON_BASE_VEC_H

#include <math.h>
#include <stdint.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

typedef float vec __attribute__((vector_size(VECTOR_NBYTES)));
typedef int32_t ivec __attribute__((vector_size(VECTOR_NBYTES)));
typedef uint32_t uvec __attribute__((vector_size(VECTOR_NBYTES))); /* it may overflow */

/* Unrolls a loop with a constant number of turns, over arrays that shall stay in registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* vec_max(a, b): a where a > b, else b; so b where one of them is NaN. vec_sqrt(a): of each element. */
#if VECTOR_NBYTES == 64
static inline vec vec_max(vec a, vec b) {
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
}
static inline vec vec_sqrt(vec a) {
    return (vec)_mm512_sqrt_ps((__m512)a);
}
#elif VECTOR_NBYTES == 32
static inline vec vec_max(vec a, vec b) {
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
}
static inline vec vec_sqrt(vec a) {
    return (vec)_mm256_sqrt_ps((__m256)a);
}
#elif defined(__x86_64__)
static inline vec vec_max(vec a, vec b) {
    return (vec)_mm_max_ps((__m128)a, (__m128)b);
}
static inline vec vec_sqrt(vec a) {
    return (vec)_mm_sqrt_ps((__m128)a);
}
#else
static inline vec vec_max(vec a, vec b) {
    ivec greater = a > b;
    return (vec)((greater & (ivec)a) | (~greater & (ivec)b));
}
static inline vec vec_sqrt(vec a) {
    return (vec){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])};
}
#endif

static inline vec vec_load(const float *from) {
    return *(const vec *)(const void *)from;
}

static inline void vec_store(float *to, vec x) {
    *(vec *)(void *)to = x;
}

#endif
