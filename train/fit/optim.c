/* optim: how weights follow their gradient, as keras.optimizers do. */
#include "train/fit/optim.h"
#include "common/base/mem.h"

#include <assert.h>
#include <math.h>
#include <string.h>

struct optim_settings optim_from_settings(const struct settings *settings) {
    return (struct optim_settings){.kind = (enum optim_kind)settings->optimizer,
                                   .rate = settings->learning_rate,
                                   .momentum = settings->momentum,
                                   .l2 = settings->l2,
                                   .nesterov = settings->nesterov};
}

double optim_scheduled(enum optim_schedule schedule, size_t epoch, size_t epochs, size_t every,
                       double factor) {
    assert(epoch >= 1 && epoch <= epochs);
    if (schedule == OPTIM_COSINE)
        return (1 + cos(M_PI * (double)(epoch - 1) / (double)epochs)) / 2;
    if (schedule == OPTIM_STEP)
        return pow(factor, (double)((epoch - 1) / every));
    return 1;
}

static const double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7;

enum status optim_create(struct optim *optim_ret, const struct optim_settings *settings, size_t count) {
    assert(count % HEAD_KERNELS_LANES == 0 && settings->kind != OPTIM_LBFGS);
    struct optim optim = {.settings = *settings, .count = count};
    int slots = settings->kind == OPTIM_ADAM ? 2 : settings->momentum > 0 ? 1 : 0;
    for (int i = 0; i < slots; i++) {
        optim.slots[i] = mem_alloc(count, sizeof(float));
        if (optim.slots[i] == NULL) {
            optim_free(&optim);
            return status_set_no_memory(count * sizeof(float), "the optimizer's state");
        }
        memset(optim.slots[i], 0, count * sizeof(float));
    }
    *optim_ret = optim;
    return STATUS_OK;
}

void optim_free(struct optim *optim) {
    mem_free(optim->slots[0]);
    mem_free(optim->slots[1]);
    *optim = (struct optim){0};
}

void optim_step(struct optim *optim, const struct head_kernels *kernels, size_t t, size_t first, size_t count,
                bool penalized, const float *gradient, float *weights) {
    assert(t >= 1 && first + count <= optim->count);
    const struct optim_settings *settings = &optim->settings;
    float decay = penalized ? (float)(2 * settings->l2) : 0;
    if (settings->kind == OPTIM_ADAM) {
        double power1 = pow(beta1, (double)t), power2 = pow(beta2, (double)t);
        struct head_kernels_adam step = {
            .alpha = (float)(settings->rate * sqrt(1 - power2) / (1 - power1)),
            .one_minus_beta1 = (float)(1 - beta1),
            .one_minus_beta2 = (float)(1 - beta2),
            .epsilon = (float)epsilon,
            .decay = decay,
        };
        kernels->adam(&step, count, gradient + first, weights + first, optim->slots[0] + first,
                      optim->slots[1] + first);
        return;
    }
    struct head_kernels_sgd step = {
        .rate = (float)settings->rate, .momentum = (float)settings->momentum, .decay = decay};
    if (settings->momentum == 0)
        kernels->sgd(&step, count, gradient + first, weights + first);
    else if (settings->nesterov)
        kernels->nesterov(&step, count, gradient + first, weights + first, optim->slots[0] + first);
    else
        kernels->momentum(&step, count, gradient + first, weights + first, optim->slots[0] + first);
}
