/* winograd_weights: the transform G g GT of the weights, and their order in memory. It runs when a plan
 * is made, in double precision; winograd_transforms.h derives G. */
#include "common/base/size.h"
#include "common/network/winograd/winograd.h"
#include "common/network/winograd/winograd_points.h"

#include <assert.h>

/* The finite points of F(m,3) into p; returns their number. */
static size_t points_of(size_t m, double p[WINOGRAD_KERNELS_POINTS_MAX]) {
    static const double positive[WINOGRAD_KERNELS_TILE_MAX + 1][4] = {
        [2] = {F2_A},
        [3] = {F3_A, F3_B},
        [4] = {F4_A, F4_B},
        [6] = {F6_A, F6_B, F6_C},
        [7] = {F7_A, F7_B, F7_C, F7_D},
        [8] = {F8_A, F8_B, F8_C, F8_D},
    };
    size_t count = 0;
    if (m % 2 == 0)
        p[count++] = 0;
    for (size_t pair = 0; count < m + 1; pair++) {
        p[count++] = positive[m][pair];
        p[count++] = -positive[m][pair];
    }
    return count;
}

void winograd_weights_matrix(size_t m, double g[WINOGRAD_KERNELS_POINTS_MAX][3]) {
    double p[WINOGRAD_KERNELS_POINTS_MAX];
    size_t count = points_of(m, p);
    assert(count == m + 1);
    for (size_t j = 0; j < count; j++) {
        double divisor = 1; /* N_j */
        for (size_t k = 0; k < count; k++)
            if (k != j)
                divisor *= p[j] - p[k];
        g[j][0] = 1 / divisor;
        g[j][1] = p[j] / divisor;
        g[j][2] = p[j] * p[j] / divisor;
    }
    g[count][0] = g[count][1] = 0;
    g[count][2] = 1;
}

enum { WIDTH_MAX = 2 * WINOGRAD_KERNELS_LANES_MAX };

/* One channel of one panel: g[3][3][width] -> the n x n points, each `step` floats after the other. */
static void transform(size_t mh, size_t mw, size_t width, double gh[][3], double gw[][3],
                      double g[3][3][WIDTH_MAX], float *u, size_t step) {
    for (size_t i = 0; i < mh + 2; i++) {
        double row[3][WIDTH_MAX];
        for (size_t b = 0; b < 3; b++)
            for (size_t k = 0; k < width; k++)
                row[b][k] = gh[i][0] * g[0][b][k] + gh[i][1] * g[1][b][k] + gh[i][2] * g[2][b][k];
        for (size_t j = 0; j < mw + 2; j++, u += step)
            for (size_t k = 0; k < width; k++)
                u[k] = (float)(gw[j][0] * row[0][k] + gw[j][1] * row[1][k] + gw[j][2] * row[2][k]);
    }
}

void winograd_weights_pack(const struct conv_shape *shape, const float *kernel, size_t mh, size_t mw,
                           size_t width, float *u) {
    assert(width <= WIDTH_MAX);
    size_t C = shape->channels, K = shape->filters, panels = (K + width - 1) / width;
    double gh[WINOGRAD_KERNELS_POINTS_MAX][3], gw[WINOGRAD_KERNELS_POINTS_MAX][3];
    winograd_weights_matrix(mh, gh);
    winograd_weights_matrix(mw, gw);
    for (size_t panel = 0; panel < panels; panel++)
        for (size_t c = 0; c < C; c++) {
            double g[3][3][WIDTH_MAX] = {0};
            size_t first = panel * width, count = size_min(K - first, width);
            for (size_t tap = 0; tap < 9; tap++)
                for (size_t k = 0; k < count; k++)
                    g[tap / 3][tap % 3][k] = kernel[(tap * C + c) * K + first + k];
            transform(mh, mw, width, gh, gw, g, u + (panel * C + c) * width, panels * C * width);
        }
}
