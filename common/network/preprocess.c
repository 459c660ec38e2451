/* preprocess: turns gray bytes into the input of the network's first layer. */
#include "common/network/preprocess.h"

const char *const preprocess_names[PREPROCESS_MODES + 1] = {
    [PREPROCESS_RESCALE] = "rescale",
    [PREPROCESS_CAFFE] = "caffe",
    [PREPROCESS_TORCH] = "torch",
};

/* Channel c is (x / divisor - mean[c]) / deviation[c]. */
static const struct {
    double divisor, mean[3], deviation[3];
} modes[PREPROCESS_MODES] = {
    [PREPROCESS_RESCALE] = {255, {0, 0, 0}, {1, 1, 1}},
    [PREPROCESS_CAFFE] = {1, {103.939, 116.779, 123.68}, {1, 1, 1}},
    [PREPROCESS_TORCH] = {255, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}},
};

struct preprocess_affine preprocess_affine(enum preprocess_mode mode) {
    struct preprocess_affine affine;
    for (int c = 0; c < 3; c++) {
        affine.scale[c] = 1 / (modes[mode].divisor * modes[mode].deviation[c]);
        affine.offset[c] = -modes[mode].mean[c] / modes[mode].deviation[c];
    }
    return affine;
}

void preprocess_run(enum preprocess_mode mode, size_t count, const uint8_t *gray, float *pixels) {
    float table[256][3];
    for (int x = 0; x < 256; x++)
        for (int c = 0; c < 3; c++)
            table[x][c] = (float)((x / modes[mode].divisor - modes[mode].mean[c]) / modes[mode].deviation[c]);
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++)
            pixels[3 * i + (size_t)c] = table[gray[i]][c];
}
