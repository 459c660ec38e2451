/* record: what a program reads of a fit and of an evaluation: CSV and JSON. */
#include "train/results/record.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

void record_history(FILE *stream, const struct fit_epoch *history, size_t count) {
    fputs("epoch,loss,accuracy,val_loss,val_accuracy,seconds,learning_rate\n", stream);
    for (size_t i = 0; i < count; i++) {
        const struct fit_epoch *epoch = &history[i];
        fprintf(stream, "%zu,%.9g,%.9g,", epoch->epoch, epoch->loss, epoch->accuracy);
        if (isnan(epoch->val_loss))
            fputs(",,", stream);
        else
            fprintf(stream, "%.9g,%.9g,", epoch->val_loss, epoch->val_accuracy);
        fprintf(stream, "%.6f,", epoch->seconds);
        if (!isnan(epoch->learning_rate))
            fprintf(stream, "%.9g", epoch->learning_rate);
        fputc('\n', stream);
    }
}

/* cJSON writes what is not a number as null. */
static void add_result(cJSON *json, const char *name, const struct evaluate_result *result) {
    if (result->rows == 0) {
        cJSON_AddNullToObject(json, name);
        return;
    }
    cJSON *object = cJSON_AddObjectToObject(json, name);
    cJSON_AddNumberToObject(object, "loss", result->loss);
    cJSON_AddNumberToObject(object, "accuracy", result->accuracy);
    cJSON_AddNumberToObject(object, "rows", (double)result->rows);
}

static void add_history(cJSON *json, const struct fit_epoch *history, size_t count) {
    cJSON *list = cJSON_AddArrayToObject(json, "history");
    for (size_t i = 0; i < count; i++) {
        cJSON *epoch = cJSON_CreateObject();
        cJSON_AddItemToArray(list, epoch);
        cJSON_AddNumberToObject(epoch, "epoch", (double)history[i].epoch);
        cJSON_AddNumberToObject(epoch, "loss", history[i].loss);
        cJSON_AddNumberToObject(epoch, "accuracy", history[i].accuracy);
        cJSON_AddNumberToObject(epoch, "val_loss", history[i].val_loss);
        cJSON_AddNumberToObject(epoch, "val_accuracy", history[i].val_accuracy);
        cJSON_AddNumberToObject(epoch, "seconds", history[i].seconds);
        cJSON_AddNumberToObject(epoch, "learning_rate", history[i].learning_rate);
    }
}

static void add_sweep(cJSON *json, const struct record_sweep *sweep) {
    cJSON *list = cJSON_AddArrayToObject(json, "sweep");
    for (size_t i = 0; i < sweep->count; i++) {
        const struct sweep_result *result = &sweep->ranked[i];
        cJSON *object = cJSON_CreateObject();
        cJSON_AddItemToArray(list, object);
        cJSON_AddNumberToObject(object, "learning_rate", result->optim.rate > 0 ? result->optim.rate : NAN);
        cJSON_AddNumberToObject(object, "l2", result->optim.l2);
        cJSON_AddNumberToObject(object, "momentum", result->optim.momentum);
        cJSON_AddNumberToObject(object, "folds", (double)sweep->folds);
        bool measured = result->diverged == 0;
        cJSON_AddNumberToObject(object, "loss", measured ? result->loss : NAN);
        cJSON_AddNumberToObject(object, "accuracy", measured ? result->accuracy : NAN);
        cJSON_AddNumberToObject(object, "val_loss", measured ? result->val_loss : NAN);
        cJSON_AddNumberToObject(object, "val_accuracy", measured ? result->val_accuracy : NAN);
        cJSON_AddNumberToObject(object, "val_accuracy_deviation",
                                measured && sweep->folds > 1 ? result->val_accuracy_deviation : NAN);
        cJSON_AddNumberToObject(object, "epoch", measured ? result->epochs : NAN);
        cJSON_AddNumberToObject(object, "diverged", measured ? NAN : (double)result->diverged);
    }
}

/* The settings by their names in the head's file. */
static void add_settings(cJSON *json, const struct settings *settings) {
    cJSON *object = cJSON_AddObjectToObject(json, "settings");
    char text[32];
    for (const struct option_row *row = settings_rows; row->name != NULL; row++) {
        settings_text(settings, row, text);
        if (settings_left_out(settings, row))
            continue;
        if (row->type == OPTION_CHOICE)
            cJSON_AddStringToObject(object, row->attribute, text);
        else if (row->type == OPTION_FLAG)
            cJSON_AddBoolToObject(object, row->attribute, text[0] == '1');
        else
            cJSON_AddNumberToObject(object, row->attribute, strtod(text, NULL));
    }
}

enum status record_json(FILE *stream, const struct record_results *results) {
    cJSON *json = cJSON_CreateObject();
    if (results->settings != NULL)
        add_settings(json, results->settings);
    if (results->history != NULL) {
        cJSON_AddNumberToObject(json, "epochs", (double)results->epochs);
        cJSON_AddNumberToObject(json, "seconds", results->seconds);
        add_history(json, results->history, results->epochs);
    }
    if (results->sweep.count > 0)
        add_sweep(json, &results->sweep);
    add_result(json, "train", &results->train);
    if (results->history != NULL)
        add_result(json, "validation", &results->validation);
    add_result(json, "test", &results->test);
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    if (text == NULL)
        return status_set_no_memory(results->epochs * 100, "JSON");
    fprintf(stream, "%s\n", text);
    free(text);
    return STATUS_OK;
}

void record_predictions_header(FILE *stream, size_t classes) {
    fputs("split,row,label,predicted", stream);
    for (size_t c = 0; c < classes; c++)
        fprintf(stream, ",p%zu", c);
    fputc('\n', stream);
}

void record_predictions(FILE *stream, const char *split, size_t first, size_t count, size_t classes,
                        const uint16_t *labels, const uint16_t *predicted, const float *probabilities) {
    for (size_t i = 0; i < count; i++) {
        fprintf(stream, "%s,%zu,%u,%u", split, first + i, labels[i], predicted[i]);
        for (size_t c = 0; c < classes; c++)
            fprintf(stream, ",%.9g", (double)probabilities[i * classes + c]);
        fputc('\n', stream);
    }
}
