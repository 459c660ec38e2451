/* table: what a person reads of a fit and of an evaluation, in columns. */
#include "train/results/table.h"
#include "common/base/log.h"
#include "common/base/progress.h"
#include "common/base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_ABOUT = 20 };

char *table_count(size_t count, char text[32]) {
    return text_grouped(count, text);
}

/* 1, 2, 5, 10, 20, 50, ... so that total / step is at most LINES_ABOUT. */
static size_t round_step(size_t total) {
    static const size_t factors[] = {1, 2, 5};
    for (size_t power = 1;; power *= 10)
        for (size_t i = 0; i < 3; i++)
            if (total / (power * factors[i]) <= LINES_ABOUT)
                return power * factors[i];
}

void table_epochs_begin(struct table_epochs *table, FILE *stream, size_t total, size_t every,
                        bool validation) {
    *table = (struct table_epochs){.stream = stream,
                                   .total = total,
                                   .every = every > 0 ? every : round_step(total),
                                   .validation = validation,
                                   .printed_at = progress_clock()};
    if (stream == NULL)
        return;
    fprintf(stream, "%7s %10s %9s", "epoch", "loss", "accuracy");
    if (validation)
        fprintf(stream, " %10s %13s", "val_loss", "val_accuracy");
    fprintf(stream, " %9s\n", "seconds");
}

void table_epochs_line(struct table_epochs *table, const struct fit_epoch *epoch) {
    if (table->stream == NULL)
        return;
    double now = progress_clock();
    if (epoch->epoch != 1 && epoch->epoch != table->total && epoch->epoch % table->every != 0 &&
        now - table->printed_at < 1)
        return;
    table->printed_at = now;
    log_transient_wipe();
    fprintf(table->stream, "%7zu %10.4f %9.4f", epoch->epoch, epoch->loss, epoch->accuracy);
    if (table->validation)
        fprintf(table->stream, " %10.4f %13.4f", epoch->val_loss, epoch->val_accuracy);
    fprintf(table->stream, " %9.4f\n", epoch->seconds);
    fflush(table->stream);
}

void table_epochs_end(FILE *stream, const struct fit_epoch *history, size_t count, double seconds) {
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (history[i].val_loss < history[best].val_loss)
            best = i;
    char duration[24];
    if (seconds < 100)
        snprintf(duration, sizeof duration, "%.3g s", seconds);
    else
        progress_duration(seconds, duration);
    double rate = (double)count / seconds;
    fprintf(stream, "%zu epoch%s in %s (%.*f epochs/s)", count, count == 1 ? "" : "s", duration,
            rate < 10    ? 2
            : rate < 100 ? 1
                         : 0,
            rate);
    if (!isnan(history[best].val_loss))
        fprintf(stream, "; lowest validation loss %.4f in epoch %zu", history[best].val_loss,
                history[best].epoch);
    fputs("\n\n", stream);
}

void table_sweep(FILE *stream, const struct sweep *sweep, const struct sweep_result results[], size_t count,
                 size_t folds, size_t most) {
    fprintf(stream, "%5s", "rank");
    for (size_t k = 0; k < sweep->key_count; k++)
        fprintf(stream, " %10s", sweep_keys[sweep->keys[k].key]);
    fprintf(stream, " %10s %9s %10s %13s %s%6s\n", "loss", "accuracy", "val_loss", "val_accuracy",
            folds > 1 ? "deviation " : "", "epoch");
    for (size_t i = 0; i < count && i < most; i++) {
        const struct sweep_result *result = &results[i];
        fprintf(stream, "%5zu", i + 1);
        for (size_t k = 0; k < sweep->key_count; k++)
            fprintf(stream, " %10g", sweep_value(sweep, result->index, k));
        if (result->diverged > 0) {
            fprintf(stream, "   diverged in epoch %zu\n", result->diverged);
            continue;
        }
        fprintf(stream, " %10.4f %9.4f %10.4f %13.4f", result->loss, result->accuracy, result->val_loss,
                result->val_accuracy);
        if (folds > 1)
            fprintf(stream, " %9.4f", result->val_accuracy_deviation);
        fprintf(stream, " %6.4g\n", result->epochs);
    }
    if (count > most)
        fprintf(stream, "      and %zu more\n", count - most);
}

void table_sweep_end(FILE *stream, size_t count, size_t folds, double seconds) {
    fprintf(stream, "%zu head%s", count, count == 1 ? "" : "s");
    if (folds > 1)
        fprintf(stream, " on %zu folds each", folds);
    fprintf(stream, " in %.3g s\n\n", seconds);
}

void table_result(FILE *stream, const char *name, const struct evaluate_result *result, const char *note) {
    char rows[32];
    fprintf(stream, "%-10s %9s rows   loss %.4f   accuracy %.4f%s%s\n", name, table_count(result->rows, rows),
            result->loss, result->accuracy, note[0] ? "   " : "", note);
}

static void print_matrix(FILE *stream, size_t classes, const size_t *matrix) {
    size_t largest = 0;
    for (size_t i = 0; i < classes * classes; i++)
        largest = matrix[i] > largest ? matrix[i] : largest;
    int width = snprintf(NULL, 0, "%zu", largest) + 2;
    width = width < 5 ? 5 : width;
    fprintf(stream, "%6s", "");
    for (size_t c = 0; c < classes; c++)
        fprintf(stream, "%*zu", width, c);
    fputc('\n', stream);
    for (size_t label = 0; label < classes; label++) {
        fprintf(stream, "%6zu", label);
        for (size_t c = 0; c < classes; c++) {
            if (matrix[label * classes + c] > 0)
                fprintf(stream, "%*zu", width, matrix[label * classes + c]);
            else
                fprintf(stream, "%*s", width, ".");
        }
        fputc('\n', stream);
    }
}

/* Class numbers in the order in which to list them. */
static int by_f1(const void *left, const void *right, void *per_class) {
    const struct evaluate_class *classes = *(const struct evaluate_class *const *)per_class;
    size_t a = *(const size_t *)left, b = *(const size_t *)right;
    double difference = classes[a].f1 - classes[b].f1;
    return difference < 0 ? -1 : difference > 0 ? 1 : a < b ? -1 : 1;
}

void table_order_by_f1(size_t *order, size_t count, const struct evaluate_class *per_class) {
    qsort_r(order, count, sizeof *order, by_f1, &per_class);
}

void table_confusion(FILE *stream, const char *name, size_t classes, const struct evaluate_class *per_class,
                     const size_t *matrix) {
    bool all = classes <= TABLE_MATRIX_MAX;
    size_t *order = malloc(classes * sizeof *order), listed = 0;
    if (order == NULL)
        return; /* the numbers are in the JSON, too */
    for (size_t c = 0; c < classes; c++)
        if (all || per_class[c].support + per_class[c].predicted > 0)
            order[listed++] = c;
    if (all) {
        fprintf(stream, "\nconfusion on the %s rows (line: label, column: predicted)\n", name);
        print_matrix(stream, classes, matrix);
        fputc('\n', stream);
    } else {
        size_t seen = listed;
        table_order_by_f1(order, listed, per_class);
        listed = listed > TABLE_MATRIX_MAX ? TABLE_MATRIX_MAX : listed;
        fprintf(stream, "\nthe %zu worst by F1 of the %zu classes of the %s rows\n", listed, seen, name);
    }
    fprintf(stream, "%6s %10s %9s %9s %10s\n", "class", "precision", "recall", "F1", "support");
    for (size_t i = 0; i < listed; i++) {
        const struct evaluate_class *one = &per_class[order[i]];
        char support[32];
        fprintf(stream, "%6zu %10.4f %9.4f %9.4f %10s\n", order[i], one->precision, one->recall, one->f1,
                table_count(one->support, support));
    }
    free(order);
}
