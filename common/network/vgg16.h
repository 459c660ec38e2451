/* vgg16: how a group of images goes through the convolutions of the backbone (backbone.h). An engine computes
 * each convolution (conv.h). */
#ifndef COMMON_NETWORK_VGG16_H
#define COMMON_NETWORK_VGG16_H

#include "common/base/status.h"
#include "common/network/backbone.h"
#include "common/network/conv.h"
#include "common/network/preprocess.h"
#include <stddef.h>
#include <stdint.h>

/* The network for one input size, one preprocessing and one engine. It is const once made, so threads
 * may share it. */
struct vgg16;

/* Prepares all layers, several at a time when called outside a parallel region. It reads `tensors` during the call
 * only. For an engine that takes gray input, it folds the three channels of the first layer into one (into two when
 * preprocessing adds an offset). STATUS_NO_MEMORY. */
enum status vgg16_create(struct vgg16 **vgg16_ret, const struct conv_engine *engine, size_t size,
                         enum preprocess_mode mode, const struct backbone_tensors *tensors);
void vgg16_free(struct vgg16 *vgg16); /* NULL is allowed */

/* Bytes of workspace for groups of up to `count` images. */
size_t vgg16_workspace_nbytes(const struct vgg16 *vgg16, size_t count);

/* gray[count][size][size] -> features[count][dim]. An image's features do not depend on the others in its group.
 * `features` and `workspace` are MEM_ALIGNMENT-aligned. Starts no threads, allocates nothing, cannot fail. */
void vgg16_run(const struct vgg16 *vgg16, size_t count, const uint8_t *gray, float *features,
               void *workspace);

#endif
