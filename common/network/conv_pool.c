/* conv_pool: the 2x2 maximum that follows a convolution. */
#include "common/network/conv.h"

static float larger(float a, float b) {
    return a > b ? a : b;
}

void conv_pool(const float *in, size_t height, size_t width, size_t filters, float *out) {
    size_t K = filters;
    for (size_t y = 0; y < height / 2; y++, in += 2 * width * K)
        for (size_t x = 0; x < width / 2; x++, out += K) {
            const float *upper = in + 2 * x * K, *lower = upper + width * K;
            for (size_t k = 0; k < K; k++)
                out[k] = larger(larger(upper[k], upper[K + k]), larger(lower[k], lower[K + k]));
        }
}
