/* export_model: the whole network, backbone and head, in a file for other software. */
#include "train/export/export_model.h"
#include "common/base/interrupt.h"

#include <string.h>

/* Whether the features that the head is for are what this backbone and this preprocessing give; finds the
 * mode. */
static enum status check_head(const char *path, struct export_model *model) {
    const struct head_io_source *source = model->source;
    int mode = 0;
    while (mode < PREPROCESS_MODES && strcmp(preprocess_names[mode], source->preprocess) != 0)
        mode++;
    model->mode = (enum preprocess_mode)mode;
    if (mode == PREPROCESS_MODES || source->input_size < BACKBONE_SIZE_MIN ||
        source->input_size > BACKBONE_SIZE_MAX || backbone_dim(source->input_size) != model->head->dim)
        return status_set(STATUS_FORMAT,
                          "%s: a head for %zu features of %zu pixels, preprocessed by %s: not those of "
                          "VGG16's block5_pool",
                          path, model->head->dim, (size_t)source->input_size, source->preprocess);
    return STATUS_OK;
}

static enum status check_weights(const char *head_path, const char *weights_spec,
                                 const struct export_model *model) {
    const struct head_io_source *source = model->source;
    if (strcmp(model->weights->sha256, source->weights_sha256) == 0)
        return STATUS_OK;
    return status_set(STATUS_MISMATCH,
                      "%s: the features of this head were made with other weights%s%s, SHA-256 %s; those of "
                      "%s have %s; "
                      "name the right ones with --weights",
                      head_path, source->weights_source[0] != '\0' ? ", " : "", source->weights_source,
                      source->weights_sha256, weights_spec, model->weights->sha256);
}

enum status export_model_run(enum export_format format, const char *path, const char *head_path,
                             const char *weights_spec, const struct head_kernels *kernels) {
    struct head head = {0};
    struct weights weights = {0};
    struct head_io_source source = {0};
    struct export_model model = {.head = &head, .source = &source, .weights = &weights};
    uint64_t ignored;
    bool valid;
    enum status status = head_io_load(head_path, kernels, &head, &source);
    if (status == STATUS_OK)
        status = check_head(head_path, &model);
    if (status != STATUS_OK)
        goto out;
    if (weights_spec == NULL)
        weights_spec = weights_is_random(source.weights_source, &ignored, &valid) ? source.weights_source
                                                                                  : WEIGHTS_DEFAULT;
    status = weights_load(&weights, weights_spec);
    if (status == STATUS_OK)
        status = check_weights(head_path, weights_spec, &model);
    if (status == STATUS_OK && interrupt_signal())
        status = status_set(STATUS_INTERRUPTED, "interrupted; nothing was exported");
    if (status == STATUS_OK)
        status = format == EXPORT_ONNX ? export_onnx_write(path, &model) : export_keras_write(path, &model);
out:
    weights_free(&weights);
    head_io_source_free(&source);
    head_free(&head);
    return status;
}
