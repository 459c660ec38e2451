/* vgg16: the backbone (Simonyan and Zisserman, 2015; configuration D without its top): which 13 convolutions
 * stand in which order, and how a group of images goes through them. How one convolution is computed is the
 * engine's business (conv.h). */
#ifndef EXTRACT_VGG16_H
#define EXTRACT_VGG16_H

#include "common/status.h"
#include "extract/conv.h"
#include "extract/preprocess.h"
#include <stddef.h>
#include <stdint.h>

enum { VGG16_CONVS = 13, VGG16_FEATURE_CHANNELS = 512, VGG16_SIZE_MIN = 32, VGG16_SIZE_MAX = 4096 };

/* One convolution as Keras names it; `pool` says that the block ends with it. */
struct vgg16_layer {
    const char *name;
    size_t channels, kernels; /* C, K */
    bool pool;
};
extern const struct vgg16_layer vgg16_layers[VGG16_CONVS];

/* The 26 tensors, kernel[l] as [3][3][C][K] (Keras' order; no flip) and bias[l] as [K]. */
struct vgg16_tensors {
    float *kernel[VGG16_CONVS], *bias[VGG16_CONVS];
};

/* Features per image of input side `size`: 512 * (size / 32)^2, the pixels of block5_pool row by row,
 * channels innermost, as keras.layers.Flatten() gives them. */
size_t vgg16_dim(size_t size);

/* The network for one input size, one preprocessing and one engine: const once made, shared by threads. */
struct vgg16;

/* Prepares all layers, several at a time when called outside a parallel region. `tensors` are read during the
 * call only. Engines that take gray input get the three channels of the first layer folded into one (two,
 * when preprocessing adds an offset). STATUS_NO_MEMORY. */
enum status vgg16_create(struct vgg16 **vgg16_ret, const struct conv_engine *engine, size_t size,
                         enum preprocess_mode mode, const struct vgg16_tensors *tensors);
void vgg16_free(struct vgg16 *vgg16); /* NULL is allowed */

/* Bytes of workspace for groups of up to `count` images. */
size_t vgg16_workspace_nbytes(const struct vgg16 *vgg16, size_t count);

/* gray[count][size][size] -> features[count][dim]. An image's features do not depend on the others in its
 * group. `features` and
 * `workspace` are MEM_ALIGNMENT-aligned. Starts no threads, allocates nothing, cannot fail. */
void vgg16_run(const struct vgg16 *vgg16, size_t count, const uint8_t *gray, float *features,
               void *workspace);

#endif
