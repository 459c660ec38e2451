/* weights: the 26 tensors of the backbone: from which source they come, the random ones, and their digest.
 * Files are the business of weights_keras.c. */
#include "common/network/weights.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/network/weights_keras.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status draw_random(struct weights *weights, uint64_t seed) {
    bool failed = false;
    snprintf(weights->source, sizeof weights->source, "random:%llu", (unsigned long long)seed);
#pragma omp parallel for schedule(dynamic, 1) reduction(|| : failed)
    for (size_t i = 0; i < BACKBONE_CONVS; i++) {
        size_t l = BACKBONE_CONVS - 1 - i; /* the large ones first */
        size_t count = 9 * backbone_layers[l].channels * backbone_layers[l].filters;
        double deviation = sqrt(2.0 / (9.0 * (double)backbone_layers[l].channels));
        float *kernel = weights->tensors.kernel[l] = mem_alloc(count, sizeof *kernel);
        float *bias = weights->tensors.bias[l] = mem_alloc(backbone_layers[l].filters, sizeof *bias);
        if (kernel == NULL || bias == NULL) {
            failed = true;
            continue;
        }
        struct rng rng;
        rng_init(&rng, seed, l);
        for (size_t j = 0; j < count; j++)
            kernel[j] = (float)(deviation * rng_normal(&rng));
        memset(bias, 0, backbone_layers[l].filters * sizeof *bias);
    }
    return failed ? status_set_no_memory(sizeof(float) << 21, "random weights") : STATUS_OK;
}

bool weights_is_random(const char *spec, uint64_t *seed_ret, bool *valid_ret) {
    static const char word[] = "random";
    *seed_ret = 0;
    *valid_ret = true;
    if (strcmp(spec, word) == 0)
        return true;
    if (strncmp(spec, "random:", strlen("random:")) != 0)
        return false;
    const char *digits = spec + strlen("random:");
    char *end;
    errno = 0;
    *seed_ret = strtoull(digits, &end, 10);
    *valid_ret = *digits >= '0' && *digits <= '9' && *end == '\0' && errno == 0;
    return true;
}

static enum status compute_digest(struct weights *weights) {
    struct digest *digest;
    enum status status = digest_begin(&digest);
    if (status != STATUS_OK)
        return status;
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        size_t filters = backbone_layers[l].filters;
        digest_update(digest, weights->tensors.kernel[l],
                      9 * backbone_layers[l].channels * filters * sizeof(float));
        digest_update(digest, weights->tensors.bias[l], filters * sizeof(float));
    }
    digest_final(digest, weights->sha256);
    return STATUS_OK;
}

static enum status load_file(struct weights *weights, const char *path) {
    const char *slash = strrchr(path, '/');
    snprintf(weights->source, sizeof weights->source, "%s", slash != NULL ? slash + 1 : path);
    return weights_load_keras(&weights->tensors, path);
}

enum status weights_load(struct weights *weights, const char *spec) {
    uint64_t seed;
    bool valid;
    *weights = (struct weights){0};
    enum status status =
        weights_is_random(spec, &seed, &valid)
            ? (valid ? draw_random(weights, seed)
                     : status_set(STATUS_USAGE, "--weights=%s: the seed must be a whole number", spec))
            : load_file(weights, spec);
    if (status == STATUS_OK)
        status = compute_digest(weights);
    if (status != STATUS_OK)
        weights_free(weights);
    return status;
}

void weights_free(struct weights *weights) {
    for (size_t l = 0; l < BACKBONE_CONVS; l++) {
        mem_free(weights->tensors.kernel[l]);
        mem_free(weights->tensors.bias[l]);
    }
    *weights = (struct weights){0};
}
