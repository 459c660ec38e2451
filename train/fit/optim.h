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
#include <stdbool.h>

/* OPTIM_LBFGS names what lbfgs.h does, with all rows at once; nothing here steps by it. */
enum optim_kind { OPTIM_ADAM, OPTIM_SGD, OPTIM_LBFGS, OPTIM_KINDS };

/* "adam", "sgd", "lbfgs". */
extern const char *const optim_names[OPTIM_KINDS];

/* Keras' default learning rate of each kind, 0 where there is none; macros, so that --help can quote them. */
#define OPTIM_ADAM_RATE 0.001
#define OPTIM_SGD_RATE 0.01
extern const double optim_rates[OPTIM_KINDS];

struct optim_settings {
    enum optim_kind kind;
    double rate, momentum, l2;
    bool nesterov;
};

/* How the rate goes down over epochs e = 1, 2, ..., E, constant within each, as
 * keras.callbacks.LearningRateScheduler:
 *     constant   rate
 *     cosine     rate * (1 + cos(pi * (e - 1) / E)) / 2
 *     step       rate * factor^floor((e - 1) / every) */
enum optim_schedule { OPTIM_CONSTANT, OPTIM_COSINE, OPTIM_STEP, OPTIM_SCHEDULES };

/* "constant", "cosine", "step". */
extern const char *const optim_schedule_names[OPTIM_SCHEDULES];

#define OPTIM_FACTOR 0.1 /* the default factor of step */

/* The share of the rate that remains in an epoch (from 1) of `epochs`. */
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
