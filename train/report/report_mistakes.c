/* report_mistakes: the test rows that were mistaken with the most confidence, and their pictures. */
#include "train/report/report_parts.h"
#include "train/results/table.h"

#include <stdlib.h>
#include <string.h>

struct report_mistakes report_mistakes_find(const struct report_input *input) {
    struct report_mistakes found = {0};
    const float *probabilities = input->probabilities;
    for (size_t row = 0; row < input->results->test.rows; row++) {
        if (input->labels[row] == input->predicted[row])
            continue;
        found.all++;
        size_t at = found.count;
        while (at > 0 && probabilities[row] > probabilities[found.rows[at - 1]])
            at--;
        if (at == REPORT_MISTAKES)
            continue;
        found.count += found.count < REPORT_MISTAKES;
        memmove(&found.rows[at + 1], &found.rows[at], (found.count - at - 1) * sizeof found.rows[0]);
        found.rows[at] = row;
    }
    return found;
}

static void put_mistake(FILE *stream, const struct report_input *input, size_t row, const char *uri) {
    char text[32];
    unsigned label = input->labels[row], predicted = input->predicted[row];
    fprintf(stream, "<li data-row=\"%zu\" data-label=\"%u\" data-predicted=\"%u\">", row, label, predicted);
    if (uri != NULL)
        fprintf(stream, "<img src=\"%s\" width=\"%zu\" height=\"%zu\" alt=\"test row %zu\">", uri,
                report_images_width(input->images), report_images_height(input->images), row);
    fprintf(stream,
            "<p><span class=\"hidden\">label </span><b class=\"right\">%u</b> <span "
            "aria-hidden=\"true\">\u2192</span>"
            "<span class=\"hidden\">, predicted </span> <b class=\"wrong\">%u</b></p><p>",
            label, predicted);
    report_text_percent(stream, (double)input->probabilities[row], 1);
    fprintf(stream, "</p><p class=\"small\">%u: ", label);
    report_text_percent(stream, (double)input->label_probabilities[row], 1);
    fprintf(stream, "<br>row %s</p></li>\n", table_count(row, text));
}

enum status report_mistakes_section(FILE *stream, const struct report_input *input) {
    struct report_mistakes mistakes = report_mistakes_find(input);
    char *uris[REPORT_MISTAKES] = {NULL}, listed[32], all[32];
    if (input->images != NULL && mistakes.count > 0) {
        enum status status = report_images_read(input->images, mistakes.rows, mistakes.count, uris);
        if (status != STATUS_OK)
            return status;
    }
    fputs("<section aria-labelledby=\"mistakes\">\n<h2 id=\"mistakes\">Most confident mistakes</h2>\n",
          stream);
    if (mistakes.count == 0) {
        fputs("<p>No test row was mistaken.</p>\n</section>\n", stream);
        return STATUS_OK;
    }
    fprintf(stream,
            "<p>%s of the %s test rows that were mistaken: label \u2192 predicted, the probability of what "
            "was predicted, "
            "that of the label, and the row, from 0.</p>\n<ol class=\"mistakes%s%s\">\n",
            table_count(mistakes.count, listed), table_count(mistakes.all, all),
            input->images != NULL ? " pictures" : "", input->classes > 100 ? " many" : "");
    for (size_t i = 0; i < mistakes.count; i++) {
        put_mistake(stream, input, mistakes.rows[i], uris[i]);
        free(uris[i]);
    }
    fputs("</ol>\n</section>\n", stream);
    return STATUS_OK;
}
