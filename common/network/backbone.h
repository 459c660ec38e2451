/* backbone: what VGG16 without its top consists of (Simonyan and Zisserman, 2015; configuration D): which 13
 * convolutions stand in which order. What they compute is the business of others. */
#ifndef COMMON_NETWORK_BACKBONE_H
#define COMMON_NETWORK_BACKBONE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    BACKBONE_CONVS = 13,
    BACKBONE_FEATURE_CHANNELS = 512,
    BACKBONE_SIZE_MIN = 32, /* side of the input square */
    BACKBONE_SIZE_MAX = 4096
};

/* One 3x3 convolution as Keras names it; `pool` says that the block ends with it. */
struct backbone_layer {
    const char *name;
    size_t channels, filters; /* C, K */
    bool pool;
};
extern const struct backbone_layer backbone_layers[BACKBONE_CONVS];

/* The 26 tensors, kernel[l] as [3][3][C][K] (Keras' order; no flip) and bias[l] as [K]. */
struct backbone_tensors {
    float *kernel[BACKBONE_CONVS], *bias[BACKBONE_CONVS];
};

/* Features per image of input side `size`: 512 * (size / 32)^2, the pixels of block5_pool row by row,
 * channels innermost, as keras.layers.Flatten() gives them. */
size_t backbone_dim(size_t size);

#endif
