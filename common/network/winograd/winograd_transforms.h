/* winograd_transforms: the one-dimensional transforms of the minimal filtering algorithms F(m,3), m = 2, 3, 4, 6, 7,
 * 8, on vectors of any width. It owns the arithmetic; it loads and stores nothing. Define VECTOR_NBYTES first.
 *
 * What they compute. A 3-tap filter g slides over n = m + 2 samples d and gives m outputs
 *     y[i] = d[i] g[0] + d[i+1] g[1] + d[i+2] g[2].
 * Computed directly, this takes 3 m multiplications. Cook and Toom do it in n:
 *     y = AT [ (G g) . (BT d) ]           "." element by element.
 *
 * Why. Take first the product of two polynomials, s(x) = g(x) h(x), where h has degree m - 1. Then s has degree m + 1
 * = n - 1, so its values at n points determine it: s(p) = g(p) h(p), n multiplications. One of the points may be
 * infinity, where the value of a polynomial is its leading coefficient. Written as matrices: evaluate g (by G'),
 * evaluate h (by A), multiply, interpolate (by B):
 *     s = B [ (G' g) . (A h) ].
 * Filtering is the transpose of this map: for a fixed g, s is T h, where T[i+r][i] = g[r], and y is T^t d. The map h
 * -> s is B diag(G' g) A, so its transpose is
 *     y = AT diag(G' g) BT d,
 * which is the formula above.
 *
 * The matrices. Let p_0 .. p_{n-2} be the finite points and
 *     M_j(x) = product over k != j of (x - p_k),  N_j = M_j(p_j),  M(x) = product over all k of (x - p_k).
 * Lagrange's basis for the points is M_j(x) / N_j, and M(x) for the point infinity. The divisors N_j are moved to the
 * weights, which are transformed once, in double:
 *     G[j] = (1, p_j, p_j^2) / N_j,              G[n-1] = (0, 0, 1)         (winograd_weights.c)
 *     BT[j] = the coefficients of M_j,           BT[n-1] = those of M
 *     AT[i][j] = p_j^i,                          AT[i][n-1] = 1 if i = m - 1, else 0.
 *
 * Pairs. Let the points be +-a, +-b, ... Then M_{+a} = (x + a) Q_a(x^2) and M_{-a} = (x - a) Q_a(x^2), where Q_a is
 * the product of the (x^2 - b^2) over the other pairs (times x where zero is a point). Let u be the coefficients of x
 * Q_a and v those of Q_a, each times the samples. Then
 *     BT[+a] d = u + a v,   BT[-a] d = u - a v.
 * Q_a is even or odd, so u and v touch half of the samples each. The outputs are alike: with s = m[+a] + m[-a] and t
 * = m[+a] - m[-a], the pair adds a^i s to y[i] for even i, and a^i t for odd i.
 *
 * Two dimensions: the transforms apply to the rows and to the columns of a tile, one after the other. */
#ifndef COMMON_NETWORK_WINOGRAD_WINOGRAD_TRANSFORMS_H
#define COMMON_NETWORK_WINOGRAD_WINOGRAD_TRANSFORMS_H

#include "common/base/vec.h"
#include "common/network/winograd/winograd_points.h"

/* Elementary symmetric polynomials of squares: the coefficients of (x^2 - a^2)(x^2 - b^2)... are
 * 1, -E1, E2, -E3, E4. */
#define SQ(a) ((a) * (a))
#define E1_2(a, b) (SQ(a) + SQ(b))
#define E2_2(a, b) (SQ(a) * SQ(b))
#define E1_3(a, b, c) (SQ(a) + SQ(b) + SQ(c))
#define E2_3(a, b, c) (SQ(a) * SQ(b) + SQ(a) * SQ(c) + SQ(b) * SQ(c))
#define E3_3(a, b, c) (SQ(a) * SQ(b) * SQ(c))
#define E1_4(a, b, c, d) (E1_3(a, b, c) + SQ(d))
#define E2_4(a, b, c, d) (E2_3(a, b, c) + SQ(d) * E1_3(a, b, c))
#define E3_4(a, b, c, d) (E3_3(a, b, c) + SQ(d) * E2_3(a, b, c))
#define E4_4(a, b, c, d) (E3_3(a, b, c) * SQ(d))

/* The coefficients of such a product times the samples x[0], x[2], x[4], ... */
static inline vec even_1(const vec *x, float e1) {
    return x[2] - e1 * x[0];
}
static inline vec even_2(const vec *x, float e1, float e2) {
    return x[4] - e1 * x[2] + e2 * x[0];
}
static inline vec even_3(const vec *x, float e1, float e2, float e3) {
    return x[6] - e1 * x[4] + e2 * x[2] - e3 * x[0];
}
static inline vec even_4(const vec *x, float e1, float e2, float e3, float e4) {
    return x[8] - e1 * x[6] + e2 * x[4] - e3 * x[2] + e4 * x[0];
}

#define PLUS_MINUS(y, j, a, u, v)                                                                            \
    do {                                                                                                     \
        vec u_ = (u), v_ = (v);                                                                              \
        (y)[j] = u_ + (float)(a)*v_;                                                                         \
        (y)[(j) + 1] = u_ - (float)(a)*v_;                                                                   \
    } while (0)

/* ---- F(2,3): 0, +-a, infinity ---- */

static inline void winograd_f2k3_input(const vec d[4], vec y[4]) {
    y[0] = even_1(d, SQ(F2_A));         /* x^2 - a^2 */
    PLUS_MINUS(y, 1, F2_A, d[2], d[1]); /* (x +- a) x */
    y[3] = even_1(d + 1, SQ(F2_A));     /* x (x^2 - a^2) */
}

static inline void winograd_f2k3_output(const vec m[4], vec y[2]) {
    vec s = m[1] + m[2], t = m[1] - m[2];
    y[0] = m[0] + s;
    y[1] = (float)F2_A * t + m[3];
}

/* ---- F(3,3): +-a, +-b, infinity ---- */

static inline void winograd_f3k3_input(const vec d[5], vec y[5]) {
    PLUS_MINUS(y, 0, F3_A, even_1(d + 1, SQ(F3_B)), even_1(d, SQ(F3_B))); /* (x +- a)(x^2 - b^2) */
    PLUS_MINUS(y, 2, F3_B, even_1(d + 1, SQ(F3_A)), even_1(d, SQ(F3_A))); /* (x +- b)(x^2 - a^2) */
    y[4] = even_2(d, E1_2(F3_A, F3_B), E2_2(F3_A, F3_B));                 /* (x^2 - a^2)(x^2 - b^2) */
}

static inline void winograd_f3k3_output(const vec m[5], vec y[3]) {
    vec sa = m[0] + m[1], ta = m[0] - m[1], sb = m[2] + m[3], tb = m[2] - m[3];
    y[0] = sa + sb;
    y[1] = (float)F3_A * ta + (float)F3_B * tb;
    y[2] = (float)SQ(F3_A) * sa + ((float)SQ(F3_B) * sb + m[4]);
}

/* ---- F(4,3): 0, +-a, +-b, infinity ---- */

static inline void winograd_f4k3_input(const vec d[6], vec y[6]) {
    y[0] = even_2(d, E1_2(F4_A, F4_B), E2_2(F4_A, F4_B)); /* (x^2 - a^2)(x^2 - b^2) */
    PLUS_MINUS(y, 1, F4_A, even_1(d + 2, SQ(F4_B)), even_1(d + 1, SQ(F4_B)));
    PLUS_MINUS(y, 3, F4_B, even_1(d + 2, SQ(F4_A)), even_1(d + 1, SQ(F4_A)));
    y[5] = even_2(d + 1, E1_2(F4_A, F4_B), E2_2(F4_A, F4_B)); /* x (x^2 - a^2)(x^2 - b^2) */
}

static inline void winograd_f4k3_output(const vec m[6], vec y[4]) {
    vec sa = m[1] + m[2], ta = m[1] - m[2], sb = m[3] + m[4], tb = m[3] - m[4];
    y[0] = m[0] + (sa + sb);
    y[1] = (float)F4_A * ta + (float)F4_B * tb;
    y[2] = (float)SQ(F4_A) * sa + (float)SQ(F4_B) * sb;
    y[3] = (float)(SQ(F4_A) * F4_A) * ta + ((float)(SQ(F4_B) * F4_B) * tb + m[5]);
}

/* ---- F(6,3): 0, +-a, +-b, +-c, infinity ---- */

static inline void winograd_f6k3_input(const vec d[8], vec y[8]) {
    const float e1 = E1_3(F6_A, F6_B, F6_C), e2 = E2_3(F6_A, F6_B, F6_C);
    const float e3 = E3_3(F6_A, F6_B, F6_C);
    const float a1 = E1_2(F6_B, F6_C), a2 = E2_2(F6_B, F6_C); /* Q_a, without the pair a */
    const float b1 = E1_2(F6_A, F6_C), b2 = E2_2(F6_A, F6_C);
    const float c1 = E1_2(F6_A, F6_B), c2 = E2_2(F6_A, F6_B);
    y[0] = even_3(d, e1, e2, e3); /* (x^2 - a^2)(x^2 - b^2)(x^2 - c^2) */
    PLUS_MINUS(y, 1, F6_A, even_2(d + 2, a1, a2), even_2(d + 1, a1, a2));
    PLUS_MINUS(y, 3, F6_B, even_2(d + 2, b1, b2), even_2(d + 1, b1, b2));
    PLUS_MINUS(y, 5, F6_C, even_2(d + 2, c1, c2), even_2(d + 1, c1, c2));
    y[7] = even_3(d + 1, e1, e2, e3); /* the same, times x */
}

static inline void winograd_f6k3_output(const vec m[8], vec y[6]) {
    const float a = F6_A, a2 = a * a, a3 = a2 * a, a4 = a2 * a2, a5 = a4 * a;
    const float b = F6_B, b2 = b * b, b3 = b2 * b, b4 = b2 * b2, b5 = b4 * b;
    const float c = F6_C, c2 = c * c, c3 = c2 * c, c4 = c2 * c2, c5 = c4 * c;
    vec sa = m[1] + m[2], ta = m[1] - m[2];
    vec sb = m[3] + m[4], tb = m[3] - m[4];
    vec sc = m[5] + m[6], tc = m[5] - m[6];
    y[0] = (m[0] + sa) + (sb + sc);
    y[1] = a * ta + (b * tb + c * tc);
    y[2] = a2 * sa + (b2 * sb + c2 * sc);
    y[3] = a3 * ta + (b3 * tb + c3 * tc);
    y[4] = a4 * sa + (b4 * sb + c4 * sc);
    y[5] = (a5 * ta + b5 * tb) + (c5 * tc + m[7]);
}

/* ---- F(7,3): +-a, +-b, +-c, +-d, infinity ---- */

static inline void winograd_f7k3_input(const vec d[9], vec y[9]) {
    const float a1 = E1_3(F7_B, F7_C, F7_D), a2 = E2_3(F7_B, F7_C, F7_D); /* Q_a, without the pair a */
    const float b1 = E1_3(F7_A, F7_C, F7_D), b2 = E2_3(F7_A, F7_C, F7_D);
    const float c1 = E1_3(F7_A, F7_B, F7_D), c2 = E2_3(F7_A, F7_B, F7_D);
    const float d1 = E1_3(F7_A, F7_B, F7_C), d2 = E2_3(F7_A, F7_B, F7_C);
    const float a3 = E3_3(F7_B, F7_C, F7_D), b3 = E3_3(F7_A, F7_C, F7_D);
    const float c3 = E3_3(F7_A, F7_B, F7_D), d3 = E3_3(F7_A, F7_B, F7_C);
    PLUS_MINUS(y, 0, F7_A, even_3(d + 1, a1, a2, a3), even_3(d, a1, a2, a3));
    PLUS_MINUS(y, 2, F7_B, even_3(d + 1, b1, b2, b3), even_3(d, b1, b2, b3));
    PLUS_MINUS(y, 4, F7_C, even_3(d + 1, c1, c2, c3), even_3(d, c1, c2, c3));
    PLUS_MINUS(y, 6, F7_D, even_3(d + 1, d1, d2, d3), even_3(d, d1, d2, d3));
    y[8] = even_4(d, E1_4(F7_A, F7_B, F7_C, F7_D), E2_4(F7_A, F7_B, F7_C, F7_D), E3_4(F7_A, F7_B, F7_C, F7_D),
                  E4_4(F7_A, F7_B, F7_C, F7_D)); /* all four pairs */
}

static inline void winograd_f7k3_output(const vec m[9], vec y[7]) {
    const float a = F7_A, a2 = a * a, a3 = a2 * a, a4 = a2 * a2, a5 = a4 * a, a6 = a3 * a3;
    const float b = F7_B, b2 = b * b, b3 = b2 * b, b4 = b2 * b2, b5 = b4 * b, b6 = b3 * b3;
    const float c = F7_C, c2 = c * c, c3 = c2 * c, c4 = c2 * c2, c5 = c4 * c, c6 = c3 * c3;
    const float d = F7_D, d2 = d * d, d3 = d2 * d, d4 = d2 * d2, d5 = d4 * d, d6 = d3 * d3;
    vec sa = m[0] + m[1], ta = m[0] - m[1], sb = m[2] + m[3], tb = m[2] - m[3];
    vec sc = m[4] + m[5], tc = m[4] - m[5], sd = m[6] + m[7], td = m[6] - m[7];
    y[0] = (sa + sb) + (sc + sd);
    y[1] = c * tc + a * ta + b * tb + d * td; /* c = 1 comes first, and is free */
    y[2] = c2 * sc + a2 * sa + b2 * sb + d2 * sd;
    y[3] = c3 * tc + a3 * ta + b3 * tb + d3 * td;
    y[4] = c4 * sc + a4 * sa + b4 * sb + d4 * sd;
    y[5] = c5 * tc + a5 * ta + b5 * tb + d5 * td;
    y[6] = m[8] + c6 * sc + a6 * sa + b6 * sb + d6 * sd;
}

/* ---- F(8,3): 0, +-a, +-b, +-c, +-d, infinity ---- */

static inline void winograd_f8k3_input(const vec d[10], vec y[10]) {
    const float e1 = E1_4(F8_A, F8_B, F8_C, F8_D), e2 = E2_4(F8_A, F8_B, F8_C, F8_D);
    const float e3 = E3_4(F8_A, F8_B, F8_C, F8_D), e4 = E4_4(F8_A, F8_B, F8_C, F8_D);
    const float a1 = E1_3(F8_B, F8_C, F8_D), a2 = E2_3(F8_B, F8_C, F8_D); /* Q_a, without the pair a */
    const float b1 = E1_3(F8_A, F8_C, F8_D), b2 = E2_3(F8_A, F8_C, F8_D);
    const float c1 = E1_3(F8_A, F8_B, F8_D), c2 = E2_3(F8_A, F8_B, F8_D);
    const float d1 = E1_3(F8_A, F8_B, F8_C), d2 = E2_3(F8_A, F8_B, F8_C);
    const float a3 = E3_3(F8_B, F8_C, F8_D), b3 = E3_3(F8_A, F8_C, F8_D);
    const float c3 = E3_3(F8_A, F8_B, F8_D), d3 = E3_3(F8_A, F8_B, F8_C);
    y[0] = even_4(d, e1, e2, e3, e4); /* all four pairs */
    PLUS_MINUS(y, 1, F8_A, even_3(d + 2, a1, a2, a3), even_3(d + 1, a1, a2, a3));
    PLUS_MINUS(y, 3, F8_B, even_3(d + 2, b1, b2, b3), even_3(d + 1, b1, b2, b3));
    PLUS_MINUS(y, 5, F8_C, even_3(d + 2, c1, c2, c3), even_3(d + 1, c1, c2, c3));
    PLUS_MINUS(y, 7, F8_D, even_3(d + 2, d1, d2, d3), even_3(d + 1, d1, d2, d3));
    y[9] = even_4(d + 1, e1, e2, e3, e4); /* the same, times x */
}

static inline void winograd_f8k3_output(const vec m[10], vec y[8]) {
    const float a = F8_A, a2 = a * a, a3 = a2 * a, a4 = a2 * a2, a5 = a4 * a, a6 = a3 * a3, a7 = a6 * a;
    const float b = F8_B, b2 = b * b, b3 = b2 * b, b4 = b2 * b2, b5 = b4 * b, b6 = b3 * b3, b7 = b6 * b;
    const float c = F8_C, c2 = c * c, c3 = c2 * c, c4 = c2 * c2, c5 = c4 * c, c6 = c3 * c3, c7 = c6 * c;
    const float d = F8_D, d2 = d * d, d3 = d2 * d, d4 = d2 * d2, d5 = d4 * d, d6 = d3 * d3, d7 = d6 * d;
    vec sa = m[1] + m[2], ta = m[1] - m[2], sb = m[3] + m[4], tb = m[3] - m[4];
    vec sc = m[5] + m[6], tc = m[5] - m[6], sd = m[7] + m[8], td = m[7] - m[8];
    y[0] = (m[0] + sa) + (sb + sc) + sd;
    y[1] = a * ta + b * tb + c * tc + d * td;
    y[2] = a2 * sa + b2 * sb + c2 * sc + d2 * sd;
    y[3] = a3 * ta + b3 * tb + c3 * tc + d3 * td;
    y[4] = a4 * sa + b4 * sb + c4 * sc + d4 * sd;
    y[5] = a5 * ta + b5 * tb + c5 * tc + d5 * td;
    y[6] = a6 * sa + b6 * sb + c6 * sc + d6 * sd;
    y[7] = m[9] + a7 * ta + b7 * tb + c7 * tc + d7 * td;
}

#endif
