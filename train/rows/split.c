/* split: which training rows are held back for validation. */
#include "train/rows/split.h"

#include <assert.h>
#include <math.h>

enum status split_rows(size_t rows, double fraction, size_t *fit_count_ret) {
    assert(fraction >= 0 && fraction < 1);
    size_t fit_count = fraction > 0 ? (size_t)floor((double)rows * (1.0 - fraction)) : rows;
    if (rows == 0)
        return status_set(STATUS_MISMATCH, "there are no training rows to fit");
    if (fit_count == 0 || (fraction > 0 && fit_count == rows))
        return status_set(STATUS_MISMATCH,
                          "--validation-split=%g leaves no row of %zu to %s; choose another part, or 0 for "
                          "none",
                          fraction, rows, fit_count == 0 ? "fit" : "validate");
    *fit_count_ret = fit_count;
    return STATUS_OK;
}
