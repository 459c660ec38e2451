/* weights_keras: what the parts of weights share: the layers that a Keras file lists, and the choice among
 * them. Private to weights*.c.
 *
 * weights_keras.c lists what a file holds, in either of Keras' layouts; weights_match.c says which of it are
 * the backbone's convolutions; weights_foreign.c names files that are not HDF5. */
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

enum {
    WEIGHTS_UNNAMED = -1,
    WEIGHTS_VGG19 = -2
}; /* the latter: blockB_conv4, which VGG19 has and VGG16 not */

struct weights_layer {
    char *name; /* tells it from the others of its list */
    int list;   /* which layer of the model lists it; -1 where the order is the model's beyond doubt */
    int scope;  /* layers of one model share it */
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

/* Which layer of the backbone a name tells: the last blockB_convC in it. */
int weights_conv_of(const char *name);

/* Chooses the layers that are the backbone's, chosen[l] being an index into `layers`; every shape fits then.
 * By their names, where these are VGG16's, and else by their order, where that leaves no choice.
 * STATUS_FORMAT with what the file is instead. */
enum status weights_match(const struct weights_layers *layers, size_t chosen[BACKBONE_CONVS]);

/* Loads a Keras file; the tensors are from mem_alloc(), also those read before a failure. STATUS_IO, STATUS_FORMAT, STATUS_NO_MEMORY. */
enum status weights_load_keras(struct backbone_tensors *tensors, const char *path);

/* What a file is that is not HDF5, and what to do, by its first bytes and its name: a sentence without its
 * end in text[WEIGHTS_FOREIGN]; false when it cannot be told. */
enum { WEIGHTS_FOREIGN = 800 };
bool weights_foreign(const char *path, char text[WEIGHTS_FOREIGN]);

#endif
