/* lbfgs: fits a head to all rows at once. */
#include "train/fit/lbfgs.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "train/fit/checkpoint.h"
#include "train/fit/evaluate.h"
#include "train/fit/objective.h"
#include "train/fit/patience.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

enum {
    MEMORY = 10,      /* pairs of steps and changes of slope */
    STALLED_MAX = 20, /* iterations without progress */
    SEARCH_MAX = 30   /* passes of one line search */
};

/* The whole of a fit. */
struct descent {
    const struct lbfgs_options *options;
    struct head *head;
    struct data_rows validation;
    fit_listener listener; /* with its context */
    void *context;
    struct fit_epoch *history;
    size_t done; /* epochs */
    struct lbfgs_result result;
    struct objective objective;
    struct patience patience;
    double begin; /* of this epoch, by progress_clock() */
    double *next, *next_slope, *direction;
    double next_value, next_accuracy;
    /* What lasts from epoch to epoch. */
    double *point, *slope, value, accuracy;  /* where we are */
    double *steps[MEMORY], *changes[MEMORY]; /* each list one block */
    double curvature[MEMORY];                /* steps . changes */
    uint64_t pair_count, newest;             /* of the memory */
    double first, lowest, mark;              /* |g| at the start; the lowest |g|, and f where it last fell */
    uint64_t stalled, passes;                /* epochs without progress; over the rows */
};

static double dot(size_t count, const double *a, const double *b) {
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* direction = -H * slope by the two loops over the memory. */
static void choose_direction(struct descent *descent) {
    size_t count = descent->objective.count, pairs = descent->pair_count;
    double *d = descent->direction, weights[MEMORY];
    for (size_t i = 0; i < count; i++)
        d[i] = -descent->slope[i];
    for (size_t k = 0; k < pairs; k++) {
        size_t at = (descent->newest + MEMORY - k) % MEMORY;
        weights[at] = dot(count, descent->steps[at], d) / descent->curvature[at];
        for (size_t i = 0; i < count; i++)
            d[i] -= weights[at] * descent->changes[at][i];
    }
    if (pairs > 0) {
        size_t at = descent->newest;
        double scale = descent->curvature[at] / dot(count, descent->changes[at], descent->changes[at]);
        for (size_t i = 0; i < count; i++)
            d[i] *= scale;
    }
    for (size_t k = pairs; k-- > 0;) {
        size_t at = (descent->newest + MEMORY - k) % MEMORY;
        double weight = weights[at] - dot(count, descent->changes[at], d) / descent->curvature[at];
        for (size_t i = 0; i < count; i++)
            d[i] += weight * descent->steps[at][i];
    }
}

/* Finds next = point + a * direction. f is convex, so the sign of the slope tells on which side of the lowest
 * point a is, and the interval that holds it is narrowed by where the slope should vanish. Taken is an a with
 * the strong Wolfe conditions, |f'(a)| <= 0.9 |f'(0)| and f(a) <= f(0) + 1e-4 a f'(0), the latter up to the
 * rounding of f; if there is none, *found_ret is false. */
static enum status search(struct descent *descent, double begin, double slope_at_0, bool *found_ret) {
    size_t count = descent->objective.count;
    double low = 0, low_slope = slope_at_0, high = INFINITY, high_slope = INFINITY, a = begin;
    double slack = 1e-7 * (1 + fabs(descent->value)); /* float logits, and so f, are no better */
    *found_ret = false;
    for (int i = 0; i < SEARCH_MAX; i++) {
        for (size_t k = 0; k < count; k++)
            descent->next[k] = descent->point[k] + a * descent->direction[k];
        descent->passes++;
        enum status status = objective_evaluate(&descent->objective, descent->next, descent->next_slope,
                                                &descent->next_value, &descent->next_accuracy);
        if (status != STATUS_OK)
            return status;
        double here = dot(count, descent->next_slope, descent->direction);
        bool finite = isfinite(descent->next_value) && isfinite(here);
        bool lower = descent->next_value <= descent->value + 1e-4 * a * slope_at_0 + slack;
        if (finite && lower && fabs(here) <= 0.9 * fabs(slope_at_0)) {
            *found_ret = true;
            return STATUS_OK;
        }
        if (finite && here < 0 && lower) {
            low = a;
            low_slope = here;
        } else {
            high = a;
            high_slope = finite && here > 0 ? here : INFINITY;
        }
        double share = isfinite(high_slope) ? low_slope / (low_slope - high_slope) : 0.1;
        if (isinf(high))
            a *= 4;
        else
            a = low + (high - low) * fmin(fmax(share, 0.1), 0.9);
    }
    return STATUS_OK;
}

/* Moves to `next` and remembers the step, if the slope grew along it. */
static void advance(struct descent *descent) {
    size_t count = descent->objective.count, at = (descent->newest + 1) % MEMORY;
    for (size_t i = 0; i < count; i++) {
        descent->steps[at][i] = descent->next[i] - descent->point[i];
        descent->changes[at][i] = descent->next_slope[i] - descent->slope[i];
    }
    double curvature = dot(count, descent->steps[at], descent->changes[at]);
    if (curvature > 1e-16 * dot(count, descent->changes[at], descent->changes[at])) {
        descent->curvature[at] = curvature;
        descent->newest = at;
        descent->pair_count += descent->pair_count < MEMORY;
    } else if (descent->pair_count == MEMORY) {
        descent->pair_count--; /* the oldest was written over */
    }
    memcpy(descent->point, descent->next, count * sizeof(double));
    memcpy(descent->slope, descent->next_slope, count * sizeof(double));
    descent->value = descent->next_value;
    descent->accuracy = descent->next_accuracy;
}

/* Makes room for what a fit keeps; all of `descent` that is borrowed is there already. */
static enum status descent_create(struct descent *descent, struct data_rows train) {
    const struct lbfgs_options *options = descent->options;
    enum status status = objective_create(&descent->objective, descent->head, train, options->class_weights,
                                          options->l2, options->threads);
    if (status == STATUS_OK)
        status = patience_create(&descent->patience, options->patience, descent->head);
    if (status != STATUS_OK)
        return status;
    size_t count = descent->objective.count;
    double **vectors[] = {&descent->point,     &descent->slope,    &descent->next,      &descent->next_slope,
                          &descent->direction, &descent->steps[0], &descent->changes[0]};
    for (size_t i = 0; i < 7; i++) {
        size_t length = i < 5 ? count : MEMORY * count;
        *vectors[i] = mem_alloc(length, sizeof(double));
        if (*vectors[i] == NULL)
            return status_set_no_memory((5 + 2 * MEMORY) * count * sizeof(double), "L-BFGS");
        memset(*vectors[i], 0, length * sizeof(double));
    }
    for (size_t i = 1; i < MEMORY; i++) {
        descent->steps[i] = descent->steps[0] + i * count;
        descent->changes[i] = descent->changes[0] + i * count;
    }
    return STATUS_OK;
}

static void descent_free(struct descent *descent) {
    mem_free(descent->changes[0]);
    mem_free(descent->steps[0]);
    mem_free(descent->direction);
    mem_free(descent->next_slope);
    mem_free(descent->next);
    mem_free(descent->slope);
    mem_free(descent->point);
    patience_free(&descent->patience);
    objective_free(&descent->objective);
}

/* One iteration. *found_ret is false when no step lowers f any more. */
static enum status iterate(struct descent *descent, bool *found_ret) {
    size_t count = descent->objective.count;
    for (;;) {
        choose_direction(descent);
        double slope_at_0 = dot(count, descent->slope, descent->direction);
        double begin = 1;
        if (descent->pair_count == 0)
            begin = 1 / sqrt(dot(count, descent->slope, descent->slope));
        *found_ret = false;
        if (slope_at_0 < 0) {
            enum status status = search(descent, begin, slope_at_0, found_ret);
            if (status != STATUS_OK)
                return status;
        }
        if (*found_ret)
            advance(descent);
        if (*found_ret || descent->pair_count == 0)
            return STATUS_OK;
        descent->pair_count = 0; /* the memory misleads: once more, straight down */
    }
}

static double slope_norm(const struct descent *descent) {
    return sqrt(dot(descent->objective.count, descent->slope, descent->slope));
}

/* The head takes the weights of the point. */
static void take_point(struct descent *descent) {
    struct objective *objective = &descent->objective;
    for (size_t i = 0; i < objective->kernel_count; i++)
        objective->kernel[i] = (float)descent->point[i];
    for (size_t c = 0; c < descent->head->classes; c++)
        objective->bias[c] = (float)descent->point[objective->kernel_count + c];
    head_set(descent->head, objective->kernel, objective->bias);
}

/* ---- checkpoints ---- */

enum { FIELDS = 18 };

static void fields_of(struct descent *descent, uint64_t *waited, struct checkpoint_field fields[FIELDS]) {
    const struct head *head = descent->head;
    size_t count = descent->objective.count;
    const struct checkpoint_field all[FIELDS] = {
        {"pair_count", CHECKPOINT_WHOLE, &descent->pair_count, 1},
        {"newest", CHECKPOINT_WHOLE, &descent->newest, 1},
        {"stalled", CHECKPOINT_WHOLE, &descent->stalled, 1},
        {"passes", CHECKPOINT_WHOLE, &descent->passes, 1},
        {"waited", CHECKPOINT_WHOLE, waited, 1},
        {"value", CHECKPOINT_REAL, &descent->value, 1},
        {"accuracy", CHECKPOINT_REAL, &descent->accuracy, 1},
        {"first_norm", CHECKPOINT_REAL, &descent->first, 1},
        {"lowest_norm", CHECKPOINT_REAL, &descent->lowest, 1},
        {"mark", CHECKPOINT_REAL, &descent->mark, 1},
        {"lowest", CHECKPOINT_REAL, &descent->patience.lowest, 1},
        {"point", CHECKPOINT_DOUBLES, descent->point, count},
        {"slope", CHECKPOINT_DOUBLES, descent->slope, count},
        {"steps", CHECKPOINT_DOUBLES, descent->steps[0], MEMORY * count},
        {"changes", CHECKPOINT_DOUBLES, descent->changes[0], MEMORY * count},
        {"curvature", CHECKPOINT_DOUBLES, descent->curvature, MEMORY},
        {"best_kernel", CHECKPOINT_FLOATS, descent->patience.kernel, head_weights(head)},
        {"best_bias", CHECKPOINT_FLOATS, descent->patience.bias, head->columns},
    };
    memcpy(fields, all, sizeof all);
}

/* Writes the checkpoint when it is time. */
static enum status keep(struct descent *descent) {
    const struct checkpoint *checkpoint = descent->options->checkpoint;
    struct checkpoint_field fields[FIELDS];
    uint64_t waited = descent->patience.waited;
    if (checkpoint == NULL || descent->done % checkpoint->every != 0)
        return STATUS_OK;
    fields_of(descent, &waited, fields);
    return checkpoint_write_state(checkpoint, descent->done, descent->history, fields, FIELDS);
}

/* Goes on behind the checkpoint, if there is one. */
static enum status resume(struct descent *descent) {
    const struct checkpoint *checkpoint = descent->options->checkpoint;
    struct checkpoint_field fields[FIELDS];
    uint64_t waited = 0;
    fields_of(descent, &waited, fields);
    enum status status = checkpoint_read_state(checkpoint, descent->options->epochs, &descent->done,
                                               descent->history, fields, FIELDS);
    if (status != STATUS_OK || descent->done == 0)
        return status;
    if (descent->pair_count > MEMORY || descent->newest >= MEMORY)
        return status_set(STATUS_FORMAT, "%s: damaged; remove the checkpoint", checkpoint->path);
    descent->patience.waited = waited;
    take_point(descent);
    descent->result.slope = descent->first > 0 ? slope_norm(descent) / descent->first : 0;
    return STATUS_OK;
}

/* ---- epochs ---- */

/* Where the fit begins: at the checkpoint, or at weights of 0. */
static enum status start(struct descent *descent) {
    enum status status = descent->options->checkpoint != NULL ? resume(descent) : STATUS_OK;
    if (status != STATUS_OK || descent->done > 0)
        return status;
    descent->lowest = descent->mark = INFINITY;
    descent->passes++;
    status = objective_evaluate(&descent->objective, descent->point, descent->slope, &descent->value,
                                &descent->accuracy);
    if (status != STATUS_OK)
        return status;
    descent->first = slope_norm(descent);
    if (isfinite(descent->first))
        return STATUS_OK;
    status = data_check_finite(descent->objective.rows, 0);
    return status != STATUS_OK ? status
                               : status_set(STATUS_NOT_FINITE, "the features are too large for L-BFGS; try "
                                                               "--standardize");
}

/* Measures the head on the validation rows. */
static enum status validate(struct descent *descent, struct evaluate_result *result) {
    struct data_rows rows = descent->validation;
    *result = (struct evaluate_result){.loss = NAN, .accuracy = NAN};
    if (rows.count == 0)
        return STATUS_OK;
    enum status status = evaluate_run(descent->head, rows, descent->options->l2, descent->options->threads,
                                      NULL, NULL, result);
    if (status != STATUS_OK || isfinite(result->loss))
        return status;
    status = data_check_finite(rows, descent->objective.rows.count);
    return status != STATUS_OK
               ? status
               : status_set(STATUS_NOT_FINITE, "the validation loss is no finite number in epoch %zu",
                            descent->done + 1);
}

/* After an epoch: whether it was the last, and why. */
static bool is_over(struct descent *descent, double val_loss, bool found) {
    double norm = slope_norm(descent);
    descent->result.slope = descent->first > 0 ? norm / descent->first : 0;
    bool impatient = patience_over(&descent->patience, descent->head, val_loss);
    bool progress = norm < descent->lowest || descent->value < descent->mark * (1 - 1e-7);
    descent->stalled = progress ? 0 : descent->stalled + 1;
    descent->lowest = fmin(descent->lowest, norm);
    if (progress)
        descent->mark = fmin(descent->mark, descent->value);
    if (norm <= descent->options->tolerance * descent->first)
        descent->result.end = LBFGS_TOLERANCE_MET;
    else if (impatient)
        descent->result.end = LBFGS_PATIENCE;
    else if (!found || descent->stalled == STALLED_MAX)
        descent->result.end = LBFGS_ROUNDING;
    else
        return false;
    return true;
}

static enum status run_epoch(struct descent *descent, bool *over_ret) {
    struct evaluate_result validated;
    bool found = descent->first > 0; /* 0: one class, or nothing but zeros, and so the lowest point */
    enum status status = found ? iterate(descent, &found) : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    if (!found && descent->done > 0) {
        descent->result.end = LBFGS_ROUNDING;
        *over_ret = true;
        return STATUS_OK;
    }
    take_point(descent);
    status = validate(descent, &validated);
    if (status != STATUS_OK)
        return status;
    double now = progress_clock();
    struct fit_epoch *epoch = &descent->history[descent->done++];
    *epoch = (struct fit_epoch){.epoch = descent->done,
                                .loss = descent->value,
                                .accuracy = descent->accuracy,
                                .val_loss = validated.loss,
                                .val_accuracy = validated.accuracy,
                                .seconds = now - descent->begin,
                                .learning_rate = NAN};
    descent->begin = now;
    if (descent->listener != NULL)
        status = descent->listener(descent->context, 0, epoch);
    if (status != STATUS_OK)
        return status;
    *over_ret = is_over(descent, validated.loss, found);
    return *over_ret ? STATUS_OK : keep(descent);
}

enum status lbfgs_run(struct head *head, struct data_rows train, struct data_rows validation,
                      const struct lbfgs_options *options, fit_listener listener, void *context,
                      struct fit_epoch *history, size_t *done_ret, struct lbfgs_result *result_ret) {
    assert(train.count > 0 && train.dim == head->dim && options->threads > 0);
    struct descent descent = {.options = options,
                              .head = head,
                              .validation = validation,
                              .listener = listener,
                              .context = context,
                              .history = history,
                              .result = {.end = LBFGS_EPOCHS, .slope = 1},
                              .begin = progress_clock()};
    int before = omp_get_max_threads();
    omp_set_num_threads(1); /* then OpenBLAS makes no threads of its own, see objective.h */
    bool over = false;
    enum status status = descent_create(&descent, train);
    if (status == STATUS_OK)
        status = start(&descent);
    while (status == STATUS_OK && descent.done < options->epochs && !over)
        status = run_epoch(&descent, &over);
    if (status == STATUS_INTERRUPTED)
        status = status_set(STATUS_INTERRUPTED, "interrupted in epoch %zu of %zu", descent.done + 1,
                            options->epochs);
    descent.result.passes = descent.passes;
    *result_ret = descent.result;
    *done_ret = descent.done;
    omp_set_num_threads(before);
    patience_restore(&descent.patience, head);
    descent_free(&descent);
    return status;
}
