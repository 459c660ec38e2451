/* export_model: the whole network, backbone and head, in a file for other software. The backbone's weights
 * are read for this alone; training never sees them. */
#ifndef TRAIN_EXPORT_EXPORT_MODEL_H
#define TRAIN_EXPORT_EXPORT_MODEL_H

#include "common/network/preprocess.h"
#include "common/network/weights.h"
#include "train/export/export.h"
#include "train/head/head.h"
#include "train/head/head_io.h"

/* What is written. */
struct export_model {
    const struct head *head;
    const struct head_io_source *source; /* the features that the head is for */
    const struct weights *weights;       /* of the backbone that made them */
    enum preprocess_mode mode;
};

/* Reads the head and the weights, which must be those that made its features, and writes the file `path`,
 * under its name only when it is whole. weights_spec: what weights_load() takes, or NULL: what the head tells
 * when that is a random backbone, else WEIGHTS_DEFAULT. STATUS_MISMATCH when the weights are not those of the
 * head, with both digests; STATUS_FORMAT, STATUS_IO, STATUS_NO_MEMORY; STATUS_INTERRUPTED after a signal. */
enum status export_model_run(enum export_format format, const char *path, const char *head_path,
                             const char *weights_spec, const struct head_kernels *kernels);

/* ---- the formats ---- */

/* ONNX, opset 13, IR version 7: input `image` float [N][3][S][S], RGB, 0..255 as pictures have it,
 * preprocessed in the graph; outputs `probabilities` [N][classes] and `features` [N][dim], as the cache has
 * them. The provenance stands in metadata_props. */
enum status export_onnx_write(const char *path, const struct export_model *model);

/* The legacy HDF5 layout of Keras' weight files, for load_weights() of
 * keras.applications.VGG16(include_top=False) followed by Flatten and Dense: kernels [3][3][C][K] and
 * [dim][classes]. Preprocessing is not part of it. */
enum status export_keras_write(const char *path, const struct export_model *model);

#endif
