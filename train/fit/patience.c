/* patience: when to stop a fit early, and the weights of its best epoch. */
#include "train/fit/patience.h"
#include "common/base/mem.h"

#include <math.h>
#include <string.h>

enum status patience_create(struct patience *patience_ret, size_t limit, const struct head *head) {
    struct patience patience = {.limit = limit, .lowest = INFINITY};
    if (limit > 0) {
        patience.kernel = mem_alloc(head_weights(head), sizeof(float));
        patience.bias = mem_alloc(head->columns, sizeof(float));
        if (patience.kernel == NULL || patience.bias == NULL) {
            patience_free(&patience);
            return status_set_no_memory(head_weights(head) * sizeof(float), "the best epoch's weights");
        }
    }
    *patience_ret = patience;
    return STATUS_OK;
}

void patience_free(struct patience *patience) {
    mem_free(patience->bias);
    mem_free(patience->kernel);
    *patience = (struct patience){0};
}

bool patience_over(struct patience *patience, const struct head *head, double val_loss) {
    if (patience->limit == 0)
        return false;
    if (!(val_loss < patience->lowest))
        return ++patience->waited >= patience->limit;
    patience->lowest = val_loss;
    patience->waited = 0;
    memcpy(patience->kernel, head->kernel, head_weights(head) * sizeof(float));
    memcpy(patience->bias, head->bias, head->columns * sizeof(float));
    return false;
}

void patience_restore(const struct patience *patience, struct head *head) {
    if (patience->limit == 0 || isinf(patience->lowest))
        return;
    memcpy(head->kernel, patience->kernel, head_weights(head) * sizeof(float));
    memcpy(head->bias, patience->bias, head->columns * sizeof(float));
}
