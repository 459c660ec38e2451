/* export_model: the whole network, backbone and head, in a file for other software. */
#include "train/export_model.h"

#include <string.h>

enum status export_model_run(enum export_format format, const char *path, const char *head_path,
                             const char *weights_spec, const struct kernels *kernels) {
    struct head head = {0};
    struct weights weights = {0};
    struct head_io_source source;
    struct export_model model = {.head = &head, .source = &source, .weights = &weights};
    enum status status = head_io_load(head_path, kernels, &head, &source);
    if (status != STATUS_OK)
        return status;
    int mode = 0;
    while (mode < PREPROCESS_MODES && strcmp(preprocess_names[mode], source.preprocess) != 0)
        mode++;
    model.mode = (enum preprocess_mode)mode;
    if (mode == PREPROCESS_MODES || source.input_size < BACKBONE_SIZE_MIN ||
        source.input_size > BACKBONE_SIZE_MAX || backbone_dim(source.input_size) != head.dim)
        status = status_set(STATUS_FORMAT,
                            "%s: a head for %zu features of %zu pixels, preprocessed by %s: not those of "
                            "VGG16's "
                            "block5_pool",
                            head_path, head.dim, (size_t)source.input_size, source.preprocess);
    if (status == STATUS_OK)
        status = weights_load(&weights, weights_spec);
    if (status == STATUS_OK && strcmp(weights.sha256, source.weights_sha256) != 0)
        status = status_set(STATUS_MISMATCH,
                            "%s: the features of this head were made with other weights, SHA-256 %s; those "
                            "of %s have "
                            "%s; name the right ones with --weights",
                            head_path, source.weights_sha256, weights_spec, weights.sha256);
    if (status == STATUS_OK)
        status = format == EXPORT_ONNX ? export_onnx_write(path, &model) : export_keras_write(path, &model);
    weights_free(&weights);
    head_free(&head);
    return status;
}
