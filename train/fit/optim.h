/* optim: how weights follow their gradient, as keras.optimizers do.
 *
 * adam, with t counting from 1:
 *     alpha = rate * sqrt(1 - beta2^t) / (1 - beta1^t)
 *     m += (g - m) * (1 - beta1)
 *     v += (g^2 - v) * (1 - beta2)
 *     w -= alpha * m / (sqrt(v) + epsilon)
 * with beta1 0.9, beta2 0.999 and epsilon 1e-7, which stands outside the bias correction, unlike PyTorch's.
 *
 * sgd, without momentum, with momentum mu, and with Nesterov's:
 *     w -= rate * g
 *     u = mu * u - rate * g,  w += u
 *     u = mu * u - rate * g,  w += mu * u - rate * g
 *
 * l2 is keras.regularizers.l2, on the kernel and not on the bias:
 *     loss += l2 * sum(w^2),  g += 2 * l2 * w */
#ifndef TRAIN_FIT_OPTIM_H
#define TRAIN_FIT_OPTIM_H

#include "common/base/status.h"
#include "train/head/head_kernels.h"
#include "train/head/settings.h"
#include <stdbool.h>

struct optim_settings {
    enum optim_kind kind;
    double rate, momentum, l2;
    bool nesterov;
};

/* What of a fit's settings an optimizer steps by. */
struct optim_settings optim_from_settings(const struct settings *settings);

/* The share of the rate that remains in an epoch (from 1) of `epochs`, constant within each, as
 * keras.callbacks.LearningRateScheduler:
 *     constant   rate
 *     cosine     rate * (1 + cos(pi * (e - 1) / E)) / 2
 *     step       rate * factor^floor((e - 1) / every) */
double optim_scheduled(enum optim_schedule schedule, size_t epoch, size_t epochs, size_t every,
                       double factor);

/* The state of the optimizer beside `count` weights (a multiple of 16). */
struct optim {
    struct optim_settings settings;
    size_t count;
    float *slots[2]; /* [count] each: adam m and v, sgd u; NULL where not needed */
};

/* State of zeros. STATUS_NO_MEMORY. Freed with optim_free(). */
enum status optim_create(struct optim *optim_ret, const struct optim_settings *settings, size_t count);
void optim_free(struct optim *optim); /* all zero is allowed */

/* Step t (from 1) of weights first..first+count-1 (multiples of 16): weights and gradient are whole arrays.
 * `penalized`: l2 applies to them. Threads may step different ranges at the same time. */
void optim_step(struct optim *optim, const struct head_kernels *kernels, size_t t, size_t first, size_t count,
                bool penalized, const float *gradient, float *weights);

#endif
