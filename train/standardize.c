/* standardize: features with mean 0 and deviation 1 for the fit, and the way back. */
#include "train/standardize.h"
#include "common/mem.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

enum { COLUMNS = 64 }; /* features that one thread sums at a time */

/* Features first..first+count-1: mean first, then the squares about it, so that nothing cancels. */
static void measure_columns(struct standardize *standardize, struct data_rows rows, size_t first,
                            size_t count) {
    double sum[COLUMNS] = {0}, squares[COLUMNS] = {0}, rest[COLUMNS] = {0};
    for (size_t r = 0; r < rows.count; r++)
        for (size_t d = 0; d < count; d++)
            sum[d] += (double)rows.features[r * rows.stride + first + d];
    for (size_t d = 0; d < count; d++)
        sum[d] /= (double)rows.count;
    for (size_t r = 0; r < rows.count; r++) {
        for (size_t d = 0; d < count; d++) {
            double x = (double)rows.features[r * rows.stride + first + d] - sum[d];
            rest[d] += x;
            squares[d] += x * x;
        }
    }
    for (size_t d = 0; d < count; d++) {
        double n = (double)rows.count, mean = sum[d] + rest[d] / n;
        double variance = squares[d] / n - (rest[d] / n) * (rest[d] / n);
        double deviation = sqrt(variance > 0 || isnan(variance) ? variance : 0);
        bool constant = deviation <= (double)FLT_EPSILON * fabs(mean) || deviation < 1e-30;
        standardize->mean[first + d] = mean;
        standardize->inverse[first + d] = constant ? 0 : 1 / deviation;
    }
}

enum status standardize_measure(struct standardize *standardize_ret, struct data_rows rows, int threads) {
    assert(rows.count > 0);
    struct standardize standardize = {.dim = rows.dim};
    standardize.mean = mem_alloc(rows.dim, sizeof(double));
    standardize.inverse = mem_alloc(rows.dim, sizeof(double));
    if (standardize.mean == NULL || standardize.inverse == NULL) {
        standardize_free(&standardize);
        return status_set_no_memory(2 * rows.dim * sizeof(double), "means and deviations");
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t first = 0; first < rows.dim; first += COLUMNS)
        measure_columns(&standardize, rows, first, rows.dim - first < COLUMNS ? rows.dim - first : COLUMNS);
    for (size_t d = 0; d < rows.dim; d++) {
        if (!isfinite(standardize.mean[d]) || !isfinite(standardize.inverse[d])) {
            standardize_free(&standardize);
            return data_check_finite(rows, 0);
        }
        standardize.constant_count += standardize.inverse[d] == 0;
    }
    *standardize_ret = standardize;
    return STATUS_OK;
}

void standardize_free(struct standardize *standardize) {
    mem_free(standardize->inverse);
    mem_free(standardize->mean);
    *standardize = (struct standardize){0};
}

void standardize_apply(const struct standardize *standardize, struct data_split *data, int threads) {
    assert(data->dim == standardize->dim);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t r = 0; r < data->count; r++) {
        float *row = data->features + r * data->stride;
        for (size_t d = 0; d < data->dim; d++)
            row[d] = (float)(((double)row[d] - standardize->mean[d]) * standardize->inverse[d]);
    }
}

enum status standardize_fold(const struct standardize *standardize, struct head *head) {
    assert(head->dim == standardize->dim);
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
            *weight = (float)((double)*weight * standardize->inverse[d]);
            shift[c] += standardize->mean[d] * (double)*weight; /* of the weight that is saved */
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
