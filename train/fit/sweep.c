/* sweep: settings of the optimizer to try side by side, and how they fared. */
#include "train/fit/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum key { LR, L2, MOMENTUM };
const char *const sweep_keys[SWEEP_KEYS] = {[LR] = "lr", [L2] = "l2", [MOMENTUM] = "momentum"};

/* What each key may be, and for which optimizers. */
static const struct {
    double minimum, maximum;
    bool useful[OPTIM_KINDS];
} limits[SWEEP_KEYS] = {
    [LR] = {1e-12, 1e6, {[OPTIM_ADAM] = true, [OPTIM_SGD] = true}},
    [L2] = {0, 1e6, {[OPTIM_ADAM] = true, [OPTIM_SGD] = true, [OPTIM_LBFGS] = true}},
    [MOMENTUM] = {0, 1, {[OPTIM_SGD] = true}},
};

static enum status find_key(struct sweep *sweep, const char *text, size_t length, enum optim_kind kind) {
    int key = 0;
    while (key < SWEEP_KEYS &&
           (strlen(sweep_keys[key]) != length || strncmp(sweep_keys[key], text, length) != 0))
        key++;
    if (key == SWEEP_KEYS)
        return status_set(STATUS_USAGE, "'%.*s' cannot be swept: lr, l2 and momentum can", (int)length, text);
    if (!limits[key].useful[kind])
        return status_set(STATUS_USAGE, "%s does not go with --optimizer=%s", sweep_keys[key],
                          settings_optimizers[kind]);
    for (size_t k = 0; k < sweep->key_count; k++)
        if (sweep->keys[k].key == key)
            return status_set(STATUS_USAGE, "%s is given twice", sweep_keys[key]);
    sweep->keys[sweep->key_count].key = key;
    sweep->keys[sweep->key_count].count = 0;
    sweep->key_count++;
    return STATUS_OK;
}

/* Reads one value of the last key, up to `end`. */
static enum status add_value(struct sweep *sweep, const char *text, const char *end) {
    char number[64] = "", *rest = number;
    int key = sweep->keys[sweep->key_count - 1].key;
    size_t *count = &sweep->keys[sweep->key_count - 1].count;
    double *values = sweep->keys[sweep->key_count - 1].values;
    if (end - text < (ptrdiff_t)sizeof number)
        memcpy(number, text, (size_t)(end - text));
    double value = strtod(number, &rest);
    bool decimal = number[0] != '\0' && *rest == '\0' && strspn(number, "0123456789.+-eE") == strlen(number);
    if (!decimal || !(value >= limits[key].minimum && value <= limits[key].maximum))
        return status_set(STATUS_USAGE, "%s=%.*s: must be a number from %g to %g", sweep_keys[key],
                          (int)(end - text), text, limits[key].minimum, limits[key].maximum);
    for (size_t i = 0; i < *count; i++)
        if (values[i] == value)
            return status_set(STATUS_USAGE, "%s=%.*s is given twice", sweep_keys[key], (int)(end - text),
                              text);
    if (*count == SWEEP_VALUES_MAX)
        return status_set(STATUS_USAGE, "%s has more than %d values", sweep_keys[key], SWEEP_VALUES_MAX);
    values[(*count)++] = value;
    return STATUS_OK;
}

enum status sweep_parse(struct sweep *sweep_ret, const char *text, enum optim_kind kind) {
    struct sweep sweep = {.count = 1};
    for (const char *at = text;;) {
        size_t length = strcspn(at, "=;,");
        if (at[length] != '=')
            return status_set(STATUS_USAGE, "'%s' is not KEY=VALUE,VALUE,...;KEY=...", text);
        enum status status = find_key(&sweep, at, length, kind);
        do {
            at += status == STATUS_OK ? length + 1 : 0;
            length = strcspn(at, ",;");
            if (status == STATUS_OK)
                status = add_value(&sweep, at, at + length);
        } while (status == STATUS_OK && at[length] == ',');
        if (status != STATUS_OK)
            return status;
        sweep.count *= sweep.keys[sweep.key_count - 1].count;
        if (sweep.count > SWEEP_MAX)
            return status_set(STATUS_USAGE, "more than %d combinations", SWEEP_MAX);
        if (at[length] == '\0')
            break;
        at += length + 1;
    }
    *sweep_ret = sweep;
    return STATUS_OK;
}

const char *sweep_odd_value(const char *text, size_t *length_ret) {
    for (const char *at = text; (at = strpbrk(at, "=,")) != NULL;) {
        at += strspn(at, "=,+-");
        if (at[0] == '0' && at[1] >= '0' && at[1] <= '9') {
            *length_ret = strcspn(at, ",;");
            return at;
        }
    }
    return NULL;
}

double sweep_value(const struct sweep *sweep, size_t index, size_t k) {
    for (size_t later = sweep->key_count - 1; later > k; later--)
        index /= sweep->keys[later].count;
    return sweep->keys[k].values[index % sweep->keys[k].count];
}

struct optim_settings sweep_settings(const struct sweep *sweep, size_t index,
                                     const struct optim_settings *base) {
    struct optim_settings settings = *base;
    for (size_t k = 0; k < sweep->key_count; k++) {
        double value = sweep_value(sweep, index, k);
        if (sweep->keys[k].key == LR)
            settings.rate = value;
        else if (sweep->keys[k].key == L2)
            settings.l2 = value;
        else
            settings.momentum = value;
    }
    return settings;
}

/* As few digits as tell the value from all others. */
static int print_value(char *text, size_t nbytes, double value) {
    int length = 0;
    for (int digits = 6; digits <= 17; digits++) {
        length = snprintf(text, nbytes, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return length;
}

char *sweep_name(const struct sweep *sweep, size_t index, char name[SWEEP_NAME]) {
    size_t used = 0;
    name[0] = '\0';
    for (size_t k = 0; k < sweep->key_count; k++) {
        used += (size_t)snprintf(name + used, SWEEP_NAME - used, "%s%s=", k > 0 ? "," : "",
                                 sweep_keys[sweep->keys[k].key]);
        used += (size_t)print_value(name + used, SWEEP_NAME - used, sweep_value(sweep, index, k));
    }
    return name;
}

void sweep_add(struct sweep_result *result, double loss, double accuracy, double val_loss,
               double val_accuracy, size_t epoch) {
    double n = (double)++result->folds, difference = val_accuracy - result->val_accuracy;
    result->loss += (loss - result->loss) / n;
    result->accuracy += (accuracy - result->accuracy) / n;
    result->val_loss += (val_loss - result->val_loss) / n;
    result->val_accuracy += difference / n;
    result->val_accuracy_squares += difference * (val_accuracy - result->val_accuracy);
    result->val_accuracy_deviation = n > 1 ? sqrt(result->val_accuracy_squares / (n - 1)) : 0;
    result->epochs += ((double)epoch - result->epochs) / n;
}

static int by_validation(const void *left, const void *right) {
    const struct sweep_result *a = left, *b = right;
    if ((a->diverged > 0) != (b->diverged > 0))
        return a->diverged > 0 ? 1 : -1;
    if (a->diverged == 0 && a->val_loss != b->val_loss)
        return a->val_loss < b->val_loss ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

void sweep_rank(struct sweep_result results[], size_t count) {
    qsort(results, count, sizeof *results, by_validation);
}
