/* lbfgs: fits a head to all rows at once. */
#include "train/lbfgs.h"
#include "common/blas.h"
#include "common/interrupt.h"
#include "common/mem.h"
#include "common/progress.h"
#include "train/evaluate.h"
#include "train/patience.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

enum {
    MEMORY = 10,            /* pairs of steps and changes of slope */
    BLOCK = 256,            /* rows of one product */
    SHARES_MAX = 16,        /* parts of the rows with a slope of their own */
    STALLED_MAX = 20,       /* iterations without progress */
    SEARCH_MAX = 30,        /* passes of one line search */
    SLOPES_NBYTES = 1 << 28 /* of all shares together, unless even two need more */
};

/* What one pass over the rows needs and finds. Slopes and points are [dim][classes], then [classes]. */
struct pass {
    struct head *head;
    struct data_rows rows;
    const float *weights; /* of classes, or NULL */
    double l2;
    int threads;
    size_t kernel_count, count; /* of the kernel; and of the bias too */
    size_t block_count, share_count;
    float *kernel, *bias; /* the point in float: [dim][classes]; [classes] */
    double *slopes;       /* [share][count] */
    float *products;      /* [thread][dim][classes] */
    float *logits;        /* [thread][2][BLOCK][classes] */
    double losses[SHARES_MAX];
    size_t correct[SHARES_MAX];
    size_t passes;
};

/* The whole of a fit. */
struct descent {
    struct pass pass;
    double *point, *slope; /* where we are */
    double *next, *next_slope;
    double *direction;
    double *steps[MEMORY], *changes[MEMORY];
    double curvature[MEMORY]; /* steps . changes */
    size_t pair_count, newest;
    double value, next_value, accuracy, next_accuracy;
};

static double dot(size_t count, const double *a, const double *b) {
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Where the kernels keep class c of row r. */
static size_t lanes_index(size_t classes, size_t r, size_t c) {
    return (r / KERNELS_LANES * classes + c) * KERNELS_LANES + r % KERNELS_LANES;
}

/* Rows first..first+count-1: adds their loss, hits and slope to those of a share. */
static void add_block(struct pass *pass, size_t share, size_t first, size_t count, float *logits,
                      float *products) {
    const struct head *head = pass->head;
    size_t dim = head->dim, classes = head->classes;
    float *error = logits + BLOCK * classes; /* [BLOCK/16][classes][16], the logits too in between */
    const float *x = pass->rows.features + first * pass->rows.stride;
    const uint16_t *labels = pass->rows.labels + first;
    uint16_t predicted[BLOCK];
    float weights[BLOCK];
    for (size_t r = 0; r < count; r++)
        memcpy(logits + r * classes, pass->bias, classes * sizeof(float));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)count, (blasint)classes, (blasint)dim, 1,
                x, (blasint)pass->rows.stride, pass->kernel, (blasint)classes, 1, logits, (blasint)classes);
    for (size_t r = 0; r < count; r++)
        for (size_t c = 0; c < classes; c++)
            error[lanes_index(classes, r, c)] = logits[r * classes + c];
    for (size_t r = 0; pass->weights != NULL && r < count; r++)
        weights[r] = pass->weights[labels[r]];
    const float *row_weights = pass->weights != NULL ? weights : NULL;
    pass->losses[share] +=
        head->kernels->softmax(error, 1, 0, count, classes, labels, row_weights, error, predicted);
    head->kernels->error(count, classes, labels, row_weights, 1, error);
    double *slope = pass->slopes + share * pass->count;
    for (size_t r = 0; r < count; r++) {
        pass->correct[share] += predicted[r] == labels[r];
        for (size_t c = 0; c < classes; c++) {
            float e = logits[r * classes + c] = error[lanes_index(classes, r, c)];
            slope[pass->kernel_count + c] += (double)e;
        }
    }
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)dim, (blasint)classes, (blasint)count, 1, x,
                (blasint)pass->rows.stride, logits, (blasint)classes, 0, products, (blasint)classes);
    for (size_t i = 0; i < pass->kernel_count; i++)
        slope[i] += (double)products[i];
}

/* Value, slope and accuracy at a point. STATUS_INTERRUPTED after a signal. */
static enum status evaluate(struct pass *pass, const double *point, double *slope, double *value_ret,
                            double *accuracy_ret) {
    size_t classes = pass->head->classes, count = pass->count;
    double n = (double)pass->rows.count;
    for (size_t i = 0; i < pass->kernel_count; i++)
        pass->kernel[i] = (float)point[i];
    for (size_t c = 0; c < classes; c++)
        pass->bias[c] = (float)point[pass->kernel_count + c];
    pass->passes++;
#pragma omp parallel num_threads(pass->threads) default(none) firstprivate(pass, classes, count, slope, n)
    {
        size_t thread = (size_t)omp_get_thread_num();
        float *products =
            pass->products + thread * mem_round_up(pass->kernel_count * sizeof(float)) / sizeof(float);
        float *logits = pass->logits + thread * 2 * BLOCK * classes;
#pragma omp for schedule(dynamic)
        for (size_t share = 0; share < pass->share_count; share++) {
            pass->losses[share] = 0;
            pass->correct[share] = 0;
            memset(pass->slopes + share * count, 0, count * sizeof(double));
            size_t end = pass->block_count * (share + 1) / pass->share_count;
            for (size_t b = pass->block_count * share / pass->share_count; b < end; b++) {
                size_t first = b * BLOCK, left = pass->rows.count - first;
                if (!interrupt_signal())
                    add_block(pass, share, first, left < BLOCK ? left : BLOCK, logits, products);
            }
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < count; i++) {
            double sum = 0;
            for (size_t share = 0; share < pass->share_count; share++)
                sum += pass->slopes[share * count + i];
            slope[i] = sum / n;
        }
    }
    if (interrupt_signal())
        return STATUS_INTERRUPTED;
    double loss = 0;
    size_t correct = 0;
    for (size_t share = 0; share < pass->share_count; share++) {
        loss += pass->losses[share];
        correct += pass->correct[share];
    }
    double squares = 0;
    for (size_t i = 0; i < pass->kernel_count; i++) {
        squares += point[i] * point[i];
        slope[i] += 2 * pass->l2 * point[i];
    }
    *value_ret = loss / n + pass->l2 * squares;
    *accuracy_ret = (double)correct / n;
    return STATUS_OK;
}

/* direction = -H * slope by the two loops over the memory. */
static void choose_direction(struct descent *descent) {
    size_t count = descent->pass.count, pairs = descent->pair_count;
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
    size_t count = descent->pass.count;
    double low = 0, low_slope = slope_at_0, high = INFINITY, high_slope = INFINITY, a = begin;
    double slack = 1e-7 * (1 + fabs(descent->value)); /* float logits, and so f, are no better */
    *found_ret = false;
    for (int i = 0; i < SEARCH_MAX; i++) {
        for (size_t k = 0; k < count; k++)
            descent->next[k] = descent->point[k] + a * descent->direction[k];
        enum status status = evaluate(&descent->pass, descent->next, descent->next_slope,
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
    size_t count = descent->pass.count, at = (descent->newest + 1) % MEMORY;
    for (size_t i = 0; i < count; i++) {
        descent->steps[at][i] = descent->next[i] - descent->point[i];
        descent->changes[at][i] = descent->next_slope[i] - descent->slope[i];
    }
    double curvature = dot(count, descent->steps[at], descent->changes[at]);
    if (curvature > 1e-16 * dot(count, descent->changes[at], descent->changes[at])) {
        descent->curvature[at] = curvature;
        descent->newest = at;
        descent->pair_count += descent->pair_count < MEMORY;
    }
    memcpy(descent->point, descent->next, count * sizeof(double));
    memcpy(descent->slope, descent->next_slope, count * sizeof(double));
    descent->value = descent->next_value;
    descent->accuracy = descent->next_accuracy;
}

static enum status descent_create(struct descent *descent, int threads) {
    struct pass *pass = &descent->pass;
    const struct head *head = pass->head;
    pass->kernel_count = head->dim * head->classes;
    pass->count = pass->kernel_count + head->classes;
    pass->block_count = (pass->rows.count + BLOCK - 1) / BLOCK;
    size_t fitting = SLOPES_NBYTES / (pass->count * sizeof(double));
    pass->share_count = fitting < 2 ? 2 : fitting > SHARES_MAX ? SHARES_MAX : fitting;
    if (pass->share_count > pass->block_count)
        pass->share_count = pass->block_count;
    pass->threads = threads < (int)pass->share_count ? threads : (int)pass->share_count;
    size_t workers = (size_t)pass->threads;
    pass->kernel = mem_alloc(pass->kernel_count, sizeof(float));
    pass->bias = mem_alloc(head->classes, sizeof(float));
    pass->slopes = mem_alloc(pass->share_count, pass->count * sizeof(double));
    pass->products = mem_alloc(workers, mem_round_up(pass->kernel_count * sizeof(float)));
    pass->logits = mem_alloc(workers * 2 * BLOCK * head->classes, sizeof(float));
    double **vectors[] = {&descent->point, &descent->slope, &descent->next, &descent->next_slope,
                          &descent->direction};
    bool complete = pass->kernel && pass->bias && pass->slopes && pass->products && pass->logits;
    for (size_t i = 0; i < 5; i++)
        complete &= (*vectors[i] = mem_alloc(pass->count, sizeof(double))) != NULL;
    for (size_t i = 0; i < MEMORY; i++) {
        descent->steps[i] = mem_alloc(pass->count, sizeof(double));
        descent->changes[i] = mem_alloc(pass->count, sizeof(double));
        complete &= descent->steps[i] != NULL && descent->changes[i] != NULL;
    }
    if (!complete)
        return status_set_no_memory((pass->share_count + 5 + 2 * MEMORY) * pass->count * sizeof(double), "L-"
                                                                                                         "BFG"
                                                                                                         "S");
    memcpy(pass->bias, head->bias, head->classes * sizeof(float));
    memset(descent->point, 0, pass->count * sizeof(double));
    return STATUS_OK;
}

static void descent_free(struct descent *descent) {
    for (size_t i = 0; i < MEMORY; i++) {
        mem_free(descent->changes[i]);
        mem_free(descent->steps[i]);
    }
    mem_free(descent->direction);
    mem_free(descent->next_slope);
    mem_free(descent->next);
    mem_free(descent->slope);
    mem_free(descent->point);
    mem_free(descent->pass.logits);
    mem_free(descent->pass.products);
    mem_free(descent->pass.slopes);
    mem_free(descent->pass.bias);
    mem_free(descent->pass.kernel);
}

/* One iteration. *found_ret is false when no step lowers f any more. */
static enum status iterate(struct descent *descent, bool *found_ret) {
    size_t count = descent->pass.count;
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

/* The head takes the weights of the point; measures it on the validation rows. */
static enum status show(struct descent *descent, struct data_rows validation, int threads,
                        struct evaluate_result *result) {
    struct pass *pass = &descent->pass;
    for (size_t i = 0; i < pass->kernel_count; i++)
        pass->kernel[i] = (float)descent->point[i];
    for (size_t c = 0; c < pass->head->classes; c++)
        pass->bias[c] = (float)descent->point[pass->kernel_count + c];
    head_set(pass->head, pass->kernel, pass->bias);
    *result = (struct evaluate_result){.loss = NAN, .accuracy = NAN};
    if (validation.count == 0)
        return STATUS_OK;
    return evaluate_run(pass->head, validation, pass->l2, threads, NULL, NULL, result);
}

enum status lbfgs_run(struct head *head, struct data_rows train, struct data_rows validation,
                      const struct lbfgs_options *options, fit_listener listener, void *context,
                      struct fit_epoch *history, size_t *done_ret, struct lbfgs_result *result_ret) {
    assert(train.count > 0 && train.dim == head->dim && options->threads > 0);
    struct descent descent = {
        .pass = {.head = head, .rows = train, .weights = options->class_weights, .l2 = options->l2}};
    struct lbfgs_result result = {.end = LBFGS_EPOCHS, .slope = 1};
    int before = omp_get_max_threads();
    omp_set_num_threads(
        1); /* a region of one thread is not a parallel one to OpenBLAS, which would make its own */
    size_t done = 0, stalled = 0;
    double lowest = INFINITY, mark = INFINITY; /* of |g|, and of f */
    double first = 0, begin = progress_clock();
    struct patience patience = {0};
    enum status status = descent_create(&descent, options->threads);
    if (status == STATUS_OK)
        status = patience_create(&patience, options->patience, head);
    if (status == STATUS_OK)
        status = evaluate(&descent.pass, descent.point, descent.slope, &descent.value, &descent.accuracy);
    if (status == STATUS_OK) {
        first = sqrt(dot(descent.pass.count, descent.slope, descent.slope));
        if (!isfinite(first))
            status = data_check_finite(train, 0);
        if (status == STATUS_OK && !isfinite(first))
            status = status_set(STATUS_NOT_FINITE, "the features are too large for L-BFGS; try "
                                                   "--standardize");
    }
    while (status == STATUS_OK && done < options->epochs) {
        struct evaluate_result validated;
        bool found = first > 0; /* 0: one class, or nothing but zeros, and so the lowest point */
        if (found)
            status = iterate(&descent, &found);
        if (status == STATUS_OK && !found && done > 0) {
            result.end = LBFGS_ROUNDING;
            break;
        }
        if (status == STATUS_OK)
            status = show(&descent, validation, options->threads, &validated);
        if (status != STATUS_OK)
            break;
        if (validation.count > 0 && !isfinite(validated.loss)) {
            status = data_check_finite(validation, train.count);
            if (status == STATUS_OK)
                status = status_set(STATUS_NOT_FINITE, "the validation loss is no finite number in epoch %zu",
                                    done + 1);
            break;
        }
        double now = progress_clock();
        history[done] = (struct fit_epoch){.epoch = done + 1,
                                           .loss = descent.value,
                                           .accuracy = descent.accuracy,
                                           .val_loss = validated.loss,
                                           .val_accuracy = validated.accuracy,
                                           .seconds = now - begin,
                                           .learning_rate = NAN};
        begin = now;
        done++;
        if (listener != NULL && (status = listener(context, 0, &history[done - 1])) != STATUS_OK)
            break;
        double norm = sqrt(dot(descent.pass.count, descent.slope, descent.slope));
        result.slope = first > 0 ? norm / first : 0;
        bool over = patience_over(&patience, head, validated.loss);
        if (norm <= options->tolerance * first) {
            result.end = LBFGS_TOLERANCE_MET;
            break;
        }
        if (over) {
            result.end = LBFGS_PATIENCE;
            break;
        }
        stalled = norm < lowest || descent.value < mark * (1 - 1e-7) ? 0 : stalled + 1;
        lowest = fmin(lowest, norm);
        if (stalled == 0)
            mark = fmin(mark, descent.value);
        if (!found || stalled == STALLED_MAX) {
            result.end = LBFGS_ROUNDING;
            break;
        }
    }
    if (status == STATUS_INTERRUPTED)
        status = status_set(STATUS_INTERRUPTED, "interrupted in epoch %zu of %zu", done + 1, options->epochs);
    result.passes = descent.pass.passes;
    *result_ret = result;
    *done_ret = done;
    omp_set_num_threads(before);
    patience_restore(&patience, head);
    patience_free(&patience);
    descent_free(&descent);
    return status;
}
