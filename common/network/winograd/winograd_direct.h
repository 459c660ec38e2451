/* winograd_direct: the convolution of few channels, the first layer. It owns the packed weights of that layer.
 * conv_winograd.c runs it alone, winograd_fuse.c in front of the second layer. */
#ifndef COMMON_NETWORK_WINOGRAD_WINOGRAD_DIRECT_H
#define COMMON_NETWORK_WINOGRAD_WINOGRAD_DIRECT_H

#include "common/network/conv.h"
#include "common/network/winograd/winograd_kernels.h"

/* C <= WINOGRAD_KERNELS_DIRECT_CHANNELS_MAX. */
struct winograd_direct {
    struct conv_shape shape;
    float *u; /* [ceil(K / 2 L)][1 + 9 C][2 L]: the bias, then the kernel */
};

/* Packs kernel[3][3][C][K] and bias[K]. STATUS_OK: free it with winograd_direct_free(). STATUS_NO_MEMORY. */
enum status winograd_direct_create(struct winograd_direct *direct, const struct conv_shape *shape,
                                   const float *kernel, const float *bias,
                                   const struct winograd_kernels *kernels);
void winograd_direct_free(struct winograd_direct *direct);

/* Computes `count` outputs side by side, rectified: out[count][K]. The three rows of pixels begin with the left
 * neighbour of the first output. Any count is allowed; a pixel gets the same bits whatever its neighbours are. */
void winograd_direct_pixels(const struct winograd_direct *direct, const struct winograd_kernels *kernels,
                            const float *const rows[3], size_t count, float *out);

/* Like those of conv_engine. */
size_t winograd_direct_workspace_nbytes(const struct winograd_direct *direct);
void winograd_direct_run(const struct winograd_direct *direct, const struct winograd_kernels *kernels,
                         size_t count, const float *in, float *out, void *workspace);

#endif
