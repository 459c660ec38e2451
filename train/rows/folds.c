/* folds: the parts of the training rows that a cross-validation holds back in turn. */
#include "train/rows/folds.h"
#include "common/base/mem.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

/* places[r]: where row r goes. Returns the number of rows of the other folds. */
static size_t choose_places(const struct data_split *data, size_t classes, size_t fold, size_t folds,
                            size_t *next, size_t *places) {
    size_t before = 0, fitted = 0, held = 0;
    memset(next, 0, classes * sizeof *next);
    for (size_t r = 0; r < data->count; r++)
        next[data->labels[r]]++;
    for (size_t c = 0; c < classes;
         c++) { /* counts become the place of a class's first row, sorted by class */
        size_t count = next[c];
        next[c] = before;
        before += count;
    }
    size_t fit_count = data->count - (data->count - fold + folds - 1) / folds;
    for (size_t r = 0; r < data->count; r++) {
        bool holds = next[data->labels[r]]++ % folds == fold;
        places[r] = holds ? fit_count + held++ : fitted++;
    }
    assert(fitted == fit_count);
    return fit_count;
}

enum status folds_arrange(struct data_split *data, size_t classes, size_t fold, size_t folds,
                          size_t *fit_count_ret) {
    assert(folds >= 2 && folds <= data->count && fold < folds && data->features != NULL);
    size_t row_nbytes = data->stride * sizeof(float);
    size_t *next = mem_alloc(classes, sizeof *next), *places = mem_alloc(data->count, sizeof *places);
    float *carried = mem_alloc(2, row_nbytes);
    enum status status = STATUS_OK;
    if (next == NULL || places == NULL || carried == NULL) {
        status = status_set_no_memory(data->count * sizeof *places, "folds");
        goto out;
    }
    *fit_count_ret = choose_places(data, classes, fold, folds, next, places);
    float *pushed = carried + data->stride;
    for (size_t start = 0; start < data->count;
         start++) { /* cycle by cycle: each row pushes the next one out */
        if (places[start] == start)
            continue;
        memcpy(carried, data->features + start * data->stride, row_nbytes);
        uint16_t label = data->labels[start];
        size_t at = places[start];
        places[start] = start;
        for (;;) {
            float *row = data->features + at * data->stride;
            uint16_t pushed_label = data->labels[at];
            size_t to = places[at];
            memcpy(pushed, row, row_nbytes);
            memcpy(row, carried, row_nbytes);
            data->labels[at] = label;
            places[at] = at;
            if (at == start)
                break;
            memcpy(carried, pushed, row_nbytes);
            label = pushed_label;
            at = to;
        }
    }
out:
    mem_free(carried);
    mem_free(places);
    mem_free(next);
    return status;
}
