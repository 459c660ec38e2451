/* weights_keras: what weights*.c share: the layers that a Keras file lists, and the choice among them.
 * Private to them.
 *
 * weights_keras.c lists what a file holds, in either of Keras' layouts. weights_match.c finds the backbone's
 * convolutions among it. weights_foreign.c recognises files that are not HDF5. */
#ifndef COMMON_NETWORK_WEIGHTS_KERAS_H
#define COMMON_NETWORK_WEIGHTS_KERAS_H

#include "common/base/h5.h"
#include "common/network/backbone.h"

enum weights_part { WEIGHTS_KERNEL, WEIGHTS_BIAS, WEIGHTS_PARTS };
extern const char *const weights_part_names[WEIGHTS_PARTS];

/* One dataset; path is NULL when the layer has no such part. */
struct weights_dataset {
    char *path;
    int rank; /* -1: named, but not there */
    hsize_t dims[8];
    bool real, bfloat16;
};

/* Instead of a layer of the backbone: no name of VGG16's; blockB_conv4, which VGG19 has and VGG16 has not. */
enum { WEIGHTS_UNNAMED = -1, WEIGHTS_VGG19 = -2 };

struct weights_layer {
    char *name; /* unique in its list */
    int list;   /* the layer of the model that lists it; -1 where the order is certainly the model's */
    int scope;  /* the same for all layers of one model */
    int conv;   /* the backbone's layer of that name, or WEIGHTS_UNNAMED, or WEIGHTS_VGG19 */
    struct weights_dataset parts[WEIGHTS_PARTS];
    size_t count; /* of its weights */
};

struct weights_layers {
    struct weights_layer *layers;
    size_t count;
    const char *path; /* of the file */
    bool turned;      /* the kernels are turned by 180 degrees */
};

/* The layer of the backbone that a name means: the last blockB_convC in it. */
int weights_conv_of(const char *name);

/* Chooses the layers that are the backbone's: chosen[l] is an index into `layers`, and every shape fits. It goes by
 * the names if they are VGG16's, else by the order if that leaves only one choice. STATUS_FORMAT, with a message that
 * says what the file is instead. */
enum status weights_match(const struct weights_layers *layers, size_t chosen[BACKBONE_CONVS]);

/* Loads a Keras file. The tensors are from mem_alloc(), also those that were read before a failure.
 * STATUS_IO, STATUS_FORMAT, STATUS_NO_MEMORY. */
enum status weights_load_keras(struct backbone_tensors *tensors, const char *path);

/* Recognises a file that is not HDF5 by its first bytes and its name. text[WEIGHTS_FOREIGN] gets what it is and what
 * to do, a sentence without a full stop. False when it is not recognised. */
enum { WEIGHTS_FOREIGN = 800 };
bool weights_foreign(const char *path, char text[WEIGHTS_FOREIGN]);

#endif
