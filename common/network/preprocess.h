/* preprocess: turns gray bytes into the input of the network's first layer. Each mode is one affine map per channel,
 * so it is a table of three scales and three offsets.
 *
 *   rescale  x / 255                                   what the Keras exercise does
 *   caffe    x - (103.939, 116.779, 123.68) in BGR     what these weights were trained with
 *   torch    (x / 255 - mean) / deviation, in RGB      what torchvision's weights were trained with
 *
 * (keras.applications.imagenet_utils.preprocess_input; the gray value is in all three channels.) */
#ifndef COMMON_NETWORK_PREPROCESS_H
#define COMMON_NETWORK_PREPROCESS_H

#include <stddef.h>
#include <stdint.h>

enum preprocess_mode { PREPROCESS_RESCALE, PREPROCESS_CAFFE, PREPROCESS_TORCH, PREPROCESS_MODES };

/* "rescale", "caffe", "torch", NULL. */
extern const char *const preprocess_names[PREPROCESS_MODES + 1];

/* Channel c of a pixel of gray value x is scale[c] * x + offset[c]. */
struct preprocess_affine {
    double scale[3], offset[3];
};
struct preprocess_affine preprocess_affine(enum preprocess_mode mode);

/* gray[count] -> pixels[count][3], computed in double and rounded once. */
void preprocess_run(enum preprocess_mode mode, size_t count, const uint8_t *gray, float *pixels);

#endif
