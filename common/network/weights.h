/* weights: the 26 tensors of the backbone, from a Keras HDF5 file in any of its layouts, or random from a seed. */
#ifndef COMMON_NETWORK_WEIGHTS_H
#define COMMON_NETWORK_WEIGHTS_H

#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/network/backbone.h"

/* Where data/get.sh puts the weights of keras.applications. */
#define WEIGHTS_DEFAULT "data/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"

enum { WEIGHTS_SOURCE = 1024 };

struct weights {
    struct backbone_tensors tensors;
    char sha256[DIGEST_HEX_SIZE]; /* over kernel [3][3][C][K] and bias of each layer in order, float32 */
    char source[WEIGHTS_SOURCE];  /* the file's name without its folders, or "random:SEED" */
};

/* Loads `spec`. "random" (seed 0) or "random:SEED" draws kernels ~ N(0, 2 / (9 C)) (He et al., 2015) and sets the
 * biases to zero. Anything else is the name of a file that Keras wrote: the VGG16 download, with or without its top;
 * weights or whole models of Keras 2 (names in the attributes layer_names and weight_names of the root or of
 * /model_weights); Keras 3's .weights.h5 (.../vars/0).
 *
 * VGG16 may be a layer of the model, at any depth. Its convolutions are found by their names (block1_conv1), in any
 * order. If the names are others, they are found by their order, if only one choice is possible. Each shape is
 * checked, and every value must be finite. Other layers, before and after, are ignored. Kernels of Keras 2 on Theano
 * (attribute backend) are turned.
 *
 * STATUS_IO, STATUS_FORMAT, STATUS_NO_MEMORY. Free with weights_free(). */
enum status weights_load(struct weights *weights, const char *spec);
void weights_free(struct weights *weights); /* does nothing on a zeroed or freed struct */

/* Whether `spec` is "random" or begins with "random:". *seed_ret is its seed; *valid_ret: the seed is a whole
 * number below 2^64. */
bool weights_is_random(const char *spec, uint64_t *seed_ret, bool *valid_ret);

#endif
