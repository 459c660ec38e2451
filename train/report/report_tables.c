/* report_tables: what a page shows in rows and columns: epochs, settings that were tried, confusion, classes.
 */
#include "train/report/report_parts.h"
#include "train/results/table.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { EPOCHS_MAX = 40, TRIED_MAX = 40 }; /* lines */

static void put_cell(FILE *stream, double value, bool percent) {
    fputs("<td>", stream);
    if (!isfinite(value))
        fputs("\u2013", stream);
    else if (percent)
        report_text_percent(stream, value, 2);
    else
        fprintf(stream, value < 1e5 ? "%.4f" : "%.6g", value);
    fputs("</td>", stream);
}

static void put_general(FILE *stream, double value) {
    if (isfinite(value))
        fprintf(stream, "<td>%.6g</td>", value);
    else
        fputs("<td>\u2013</td>", stream);
}

void report_tables_epochs(FILE *stream, const struct report_input *input) {
    const struct fit_epoch *history = input->results->history;
    size_t count = input->results->epochs, lines = count < EPOCHS_MAX ? count : EPOCHS_MAX;
    char text[32];
    fprintf(stream,
            "<details>\n<summary>Epochs in numbers%s</summary>\n<div class=\"scroll\" tabindex=\"0\" "
            "role=\"region\" "
            "aria-label=\"Epochs\"><table>\n<thead><tr><th scope=\"col\">epoch</th><th "
            "scope=\"col\">loss</th>"
            "<th scope=\"col\">accuracy</th><th scope=\"col\">val. loss</th><th scope=\"col\">val. "
            "accuracy</th>"
            "<th scope=\"col\">learning rate</th><th scope=\"col\">seconds</th></tr></thead>\n<tbody>\n",
            lines < count ? ", some of them" : "");
    for (size_t line = 0, last = SIZE_MAX; line < lines; line++) {
        size_t i = lines == 1 ? 0 : line * (count - 1) / (lines - 1);
        if (i > input->kept && last != SIZE_MAX && last < input->kept)
            i = input->kept, line--; /* the epoch that was kept is always among them */
        const struct fit_epoch *epoch = &history[i];
        bool kept = i == input->kept && input->kept + 1 < count;
        fprintf(stream, "<tr%s><th scope=\"row\">%s%s</th>", kept ? " class=\"best\"" : "",
                table_count(epoch->epoch, text), kept ? ", kept" : "");
        put_cell(stream, epoch->loss, false);
        put_cell(stream, epoch->accuracy, true);
        put_cell(stream, epoch->val_loss, false);
        put_cell(stream, epoch->val_accuracy, true);
        put_general(stream, epoch->learning_rate);
        fprintf(stream, "<td>%.4f</td></tr>\n", epoch->seconds);
        last = i;
    }
    fputs("</tbody></table></div>\n</details>\n", stream);
}

void report_tables_sweep(FILE *stream, const struct report_input *input) {
    const struct record_sweep *sweep = &input->results->sweep;
    if (sweep->count == 0)
        return;
    char text[32];
    bool folds = sweep->folds > 1;
    fprintf(stream,
            "<section aria-labelledby=\"sweep\">\n<h2 id=\"sweep\">Settings that were tried</h2>\n<p>%s",
            table_count(sweep->count, text));
    if (folds)
        fprintf(stream, " on %zu folds each", sweep->folds);
    fprintf(stream,
            ", ranked by validation loss%s.</p>\n<div class=\"scroll card\" tabindex=\"0\" role=\"region\" "
            "aria-label=\"Settings that were tried\"><table>\n<thead><tr><th scope=\"col\">rank</th>"
            "<th scope=\"col\">learning rate</th><th scope=\"col\">l2</th><th scope=\"col\">momentum</th>"
            "<th scope=\"col\">loss</th><th scope=\"col\">accuracy</th><th scope=\"col\">val. loss</th>"
            "<th scope=\"col\">val. accuracy</th>%s<th scope=\"col\">epoch</th></tr></thead>\n<tbody>\n",
            sweep->count > TRIED_MAX ? "; the first 40" : "",
            folds ? "<th scope=\"col\">\u00B1 between folds</th>" : "");
    for (size_t i = 0; i < sweep->count && i < TRIED_MAX; i++) {
        const struct sweep_result *one = &sweep->ranked[i];
        fprintf(stream, "<tr%s><th scope=\"row\">%zu</th>", i == 0 ? " class=\"best\"" : "", i + 1);
        put_general(stream, one->optim.rate > 0 ? one->optim.rate : NAN);
        put_general(stream, one->optim.l2);
        put_general(stream, one->optim.momentum);
        if (one->diverged > 0) {
            fprintf(stream, "<td colspan=\"%d\" class=\"text\">diverged in epoch %zu</td></tr>\n",
                    folds ? 6 : 5, one->diverged);
            continue;
        }
        put_cell(stream, one->loss, false);
        put_cell(stream, one->accuracy, true);
        put_cell(stream, one->val_loss, false);
        put_cell(stream, one->val_accuracy, true);
        if (folds)
            put_cell(stream, one->val_accuracy_deviation, true);
        put_general(stream, one->epochs);
        fputs("</tr>\n", stream);
    }
    fputs("</tbody></table></div>\n</section>\n", stream);
}

/* One count of the matrix. The strength of its colour is its share of the label's rows on the diagonal,
 * elsewhere its share of the most frequent confusion. */
static void put_count(FILE *stream, const struct report_input *input, size_t label, size_t predicted,
                      size_t most) {
    size_t count = input->matrix[label * input->classes + predicted],
           support = input->per_class[label].support;
    if (count == 0) {
        fputs("<td class=\"none\">0</td>", stream);
        return;
    }
    double share = (double)count / (double)support;
    fprintf(stream,
            "<td class=\"%s\" style=\"--a:%.3f\" title=\"label %zu, predicted %zu: %zu of %zu rows, %.1f "
            "%%\">%zu</td>",
            label == predicted ? "right" : "wrong", label == predicted ? share : (double)count / (double)most,
            label, predicted, count, support, 100 * share, count);
}

void report_tables_confusion(FILE *stream, const struct report_input *input) {
    size_t classes = input->classes, most = 1;
    if (classes > TABLE_MATRIX_MAX || input->matrix == NULL || input->results->test.rows == 0)
        return;
    for (size_t i = 0; i < classes * classes; i++)
        if (i / classes != i % classes && input->matrix[i] > most)
            most = input->matrix[i];
    fprintf(stream,
            "<section aria-labelledby=\"confusion\">\n<h2 id=\"confusion\">Confusion</h2>\n"
            "<div class=\"scroll card\" tabindex=\"0\" role=\"region\" aria-label=\"Confusion matrix\">"
            "<table class=\"matrix\" style=\"--n:%zu\">\n<caption>Test rows by their label (down) and by the "
            "class that was "
            "predicted "
            "(across)</caption>\n<thead><tr><td class=\"corner\"></td><th scope=\"colgroup\" colspan=\"%zu\">"
            "predicted</th></tr>\n<tr><th scope=\"col\">label</th>",
            classes, classes);
    for (size_t c = 0; c < classes; c++)
        fprintf(stream, "<th scope=\"col\">%zu</th>", c);
    fputs("</tr></thead>\n<tbody>\n", stream);
    for (size_t label = 0; label < classes; label++) {
        fprintf(stream, "<tr><th scope=\"row\">%zu</th>", label);
        for (size_t c = 0; c < classes; c++)
            put_count(stream, input, label, c, most);
        fputs("</tr>\n", stream);
    }
    fputs("</tbody></table></div>\n<p class=\"legend\"><span><i class=\"right\"></i> right</span> "
          "<span><i class=\"wrong\"></i> mistaken; the stronger, the more rows</span></p>\n</section>\n",
          stream);
}

/* The classes to list, in order; for many classes the worst of those that occur. Returns how many; *all_ret
 * is how many there were to choose from. */
static size_t choose_classes(const struct report_input *input, size_t *order, size_t *all_ret) {
    size_t classes = input->classes, count = 0;
    bool all = classes <= TABLE_MATRIX_MAX;
    for (size_t c = 0; c < classes; c++)
        if (all || input->per_class[c].support + input->per_class[c].predicted > 0)
            order[count++] = c;
    *all_ret = count;
    if (all)
        return count;
    table_order_by_f1(order, count, input->per_class);
    return count < TABLE_MATRIX_MAX ? count : TABLE_MATRIX_MAX;
}

static void put_share(FILE *stream, double share) {
    fprintf(stream, "<td class=\"bar\" style=\"--w:%.1f%%\">%.4f</td>", 100 * share, share);
}

enum status report_tables_classes(FILE *stream, const struct report_input *input) {
    size_t *order = malloc((input->classes + 1) * sizeof *order), all = 0;
    if (order == NULL)
        return status_set_no_memory(input->classes * sizeof *order, "the table of classes");
    size_t count = choose_classes(input, order, &all);
    char text[32];
    fputs("<section aria-labelledby=\"classes\">\n<h2 id=\"classes\">Classes</h2>\n", stream);
    if (count < all)
        fprintf(stream, "<p>The %zu worst by F1 of the %s classes of the test rows.</p>\n", count,
                table_count(all, text));
    fputs("<div class=\"scroll card\" tabindex=\"0\" role=\"region\" aria-label=\"Classes\"><table "
          "class=\"classes\">\n"
          "<caption>How each class fared on the test rows</caption>\n<thead><tr><th scope=\"col\">class</th>"
          "<th scope=\"col\">precision</th><th scope=\"col\">recall</th><th scope=\"col\">F1</th>"
          "<th scope=\"col\">support</th></tr></thead>\n<tbody>\n",
          stream);
    for (size_t i = 0; i < count; i++) {
        const struct evaluate_class *one = &input->per_class[order[i]];
        fprintf(stream, "<tr><th scope=\"row\">%zu</th>", order[i]);
        put_share(stream, one->precision);
        put_share(stream, one->recall);
        put_share(stream, one->f1);
        fprintf(stream, "<td>%s</td></tr>\n", table_count(one->support, text));
    }
    fputs("</tbody></table></div>\n</section>\n", stream);
    free(order);
    return STATUS_OK;
}
