/* standardize: features with mean 0 and deviation 1 for the fit, and the way back. */
#include "train/fit/standardize.h"
#include "common/base/mem.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { COLUMNS = 64 }; /* features that one thread sums at a time */

/* Adds the columns first..first+count-1 of a window to sums[], less `shift` and, if squared, once more as
 * squares. */
static void add_columns(struct data_rows window, size_t first, size_t count, const double *shift,
                        double *sums, double *squares) {
    for (size_t r = 0; r < window.count; r++) {
        const float *row = window.features + r * window.stride;
        for (size_t d = first; d < first + count; d++) {
            double x = (double)row[d] - (shift != NULL ? shift[d] : 0);
            sums[d] += x;
            if (squares != NULL)
                squares[d] += x * x;
        }
    }
}

/* sums[dim] and, unless NULL, squares[dim] over all rows, added in their order. */
static enum status sum_rows(struct data_rows rows, const double *shift, double *sums, double *squares,
                            int threads) {
    struct data_rows window;
    for (size_t at = 0; at < rows.count; at += window.count) {
        enum status status = data_window(rows, at, SIZE_MAX, &window);
        if (status != STATUS_OK)
            return status;
#pragma omp parallel for num_threads(threads) schedule(static)
        for (size_t first = 0; first < rows.dim; first += COLUMNS)
            add_columns(window, first, rows.dim - first < COLUMNS ? rows.dim - first : COLUMNS, shift, sums,
                        squares);
    }
    return STATUS_OK;
}

enum status standardize_measure(struct scale *scale_ret, struct data_rows rows, int threads) {
    assert(rows.count > 0);
    size_t dim = rows.dim;
    double n = (double)rows.count;
    struct scale scale = {.dim = dim, .mean = mem_alloc(dim, sizeof(double))};
    scale.inverse = mem_alloc(dim, sizeof(double)); /* the sums of squares, at first */
    double *rest = mem_alloc(dim, sizeof(double));  /* of the values less their mean, all but 0 */
    enum status status = STATUS_OK;
    if (scale.mean == NULL || scale.inverse == NULL || rest == NULL) {
        status = status_set_no_memory(3 * dim * sizeof(double), "means and deviations");
        goto out;
    }
    memset(scale.mean, 0, dim * sizeof(double));
    memset(scale.inverse, 0, dim * sizeof(double));
    memset(rest, 0, dim * sizeof(double));
    status = sum_rows(rows, NULL, scale.mean, NULL, threads);
    for (size_t d = 0; d < dim; d++)
        scale.mean[d] /= n;
    /* About the mean, so that nothing cancels. */
    if (status == STATUS_OK)
        status = sum_rows(rows, scale.mean, rest, scale.inverse, threads);
    for (size_t d = 0; d < dim && status == STATUS_OK; d++) {
        double mean = scale.mean[d] + rest[d] / n;
        double variance = scale.inverse[d] / n - (rest[d] / n) * (rest[d] / n);
        double deviation = sqrt(variance > 0 || isnan(variance) ? variance : 0);
        bool constant = deviation <= (double)FLT_EPSILON * fabs(mean) || deviation < 1e-30;
        scale.mean[d] = mean;
        scale.inverse[d] = constant ? 0 : 1 / deviation;
        scale.constant_count += constant;
        if (!isfinite(mean) || !isfinite(scale.inverse[d])) {
            status = data_check_finite(rows, 0);
            break;
        }
    }
out:
    mem_free(rest);
    if (status == STATUS_OK)
        *scale_ret = scale;
    else
        scale_free(&scale);
    return status;
}

enum status standardize_fold(const struct scale *scale, struct head *head) {
    assert(head->dim == scale->dim);
    size_t dim = head->dim, classes = head->classes;
    float *kernel = mem_alloc(dim * classes, sizeof *kernel), *bias = mem_alloc(classes, sizeof *bias);
    double *shift = mem_alloc(classes, sizeof *shift);
    enum status status = STATUS_OK;
    if (kernel == NULL || bias == NULL || shift == NULL) {
        status = status_set_no_memory(dim * classes * sizeof *kernel, "the folded head");
        goto out;
    }
    head_get(head, kernel, bias);
    memset(shift, 0, classes * sizeof *shift);
    for (size_t d = 0; d < dim; d++) {
        for (size_t c = 0; c < classes; c++) {
            float *weight = &kernel[d * classes + c];
            *weight = (float)((double)*weight * scale->inverse[d]);
            shift[c] += scale->mean[d] * (double)*weight; /* of the weight that is saved */
            if (!isfinite(*weight))
                status = status_set(STATUS_NOT_FINITE,
                                    "feature %zu varies so little that its weight is no finite number; fit "
                                    "without --standardize",
                                    d);
        }
    }
    for (size_t c = 0; c < classes; c++)
        bias[c] = (float)((double)bias[c] - shift[c]);
    if (status == STATUS_OK)
        head_set(head, kernel, bias);
out:
    mem_free(shift);
    mem_free(bias);
    mem_free(kernel);
    return status;
}
