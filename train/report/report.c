/* report: one fit or evaluation as an HTML page. */
#include "train/report/report.h"
#include "train/report/report_parts.h"
#include "train/results/table.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool is_fit(const struct report_input *input) {
    return input->results->history != NULL;
}

/* ---- what is said of the whole ---- */

static enum status put_title(FILE *stream, const struct report_input *input) {
    if (input->results->test.rows > 0) {
        report_text_percent(stream, input->results->test.accuracy, 2);
        fputs(" \u00B7 ", stream);
    }
    report_text(stream, base_name(input->cache_path));
    return STATUS_OK;
}

static enum status put_heading(FILE *stream, const struct report_input *input) {
    fputs("<span class=\"name\">", stream);
    report_text(stream, base_name(input->head_path));
    fprintf(stream, "</span>, %s on <span class=\"name\">", is_fit(input) ? "fitted" : "evaluated");
    report_text(stream, base_name(input->cache_path));
    fputs("</span>", stream);
    return STATUS_OK;
}

/* "1.4 s" or "3 min 20 s", as the terminal has it. */
static void put_speed(FILE *stream, const struct record_results *results) {
    char text[32];
    double rate = (double)results->epochs / results->seconds;
    fprintf(stream, "<p>%s epoch%s in ", table_count(results->epochs, text), results->epochs == 1 ? "" : "s");
    if (results->seconds < 100)
        fprintf(stream, "%.3g\u00A0s", results->seconds);
    else
        fprintf(stream, "%.0f\u00A0min %02.0f\u00A0s", floor(results->seconds / 60),
                fmod(results->seconds, 60));
    if (isfinite(rate))
        fprintf(stream, ", %.*f\u00A0epochs/s", rate < 10 ? 2 : rate < 100 ? 1 : 0, rate);
    fputs("</p>\n", stream);
}

static enum status put_verdict(FILE *stream, const struct report_input *input) {
    const struct evaluate_result *test = &input->results->test;
    char all[32], wrong[32];
    if (test->rows > 0) {
        size_t right = (size_t)(test->accuracy * (double)test->rows + 0.5);
        fputs("<p class=\"big\">", stream);
        report_text_percent(stream, test->accuracy, 2);
        fprintf(stream,
                "</p>\n<p class=\"say\">of the %s test rows are classified correctly, %s are not.</p>\n",
                table_count(test->rows, all), table_count(test->rows - right, wrong));
    }
    if (is_fit(input))
        put_speed(stream, input->results);
    return STATUS_OK;
}

static void put_result(FILE *stream, const char *name, const struct evaluate_result *result,
                       const char *note) {
    char text[32];
    if (result->rows == 0)
        return;
    fprintf(stream, "<tr><th scope=\"row\">%s</th><td>%s</td><td>%.4f</td><td>", name,
            table_count(result->rows, text), result->loss);
    report_text_percent(stream, result->accuracy, 2);
    fprintf(stream, "</td><td class=\"text\">%s</td></tr>\n", note);
}

static enum status put_results(FILE *stream, const struct report_input *input) {
    const struct record_results *results = input->results;
    put_result(stream, "training", &results->train, "all training rows");
    put_result(stream, "validation", &results->validation, "held back, not fitted");
    put_result(stream, "test", &results->test, "");
    return STATUS_OK;
}

/* ---- how it was made ---- */

static void begin_pair(FILE *stream, const char *name) {
    fprintf(stream, "<tr><th scope=\"row\">%s</th><td>", name);
}

static void end_pair(FILE *stream) {
    fputs("</td></tr>\n", stream);
}

static void put_text(FILE *stream, const char *name, const char *value) {
    begin_pair(stream, name);
    report_text(stream, value);
    end_pair(stream);
}

static void put_whole(FILE *stream, const char *name, uint64_t value) {
    begin_pair(stream, name);
    fprintf(stream, "%" PRIu64, value);
    end_pair(stream);
}

static void put_real(FILE *stream, const char *name, double value) {
    begin_pair(stream, name);
    fprintf(stream, "%.6g", value);
    end_pair(stream);
}

static enum status put_options(FILE *stream, const struct report_input *input) {
    const struct settings *settings = &input->training->settings;
    const struct option_row *row;
    char text[32];
    for (size_t i = 0; (row = settings_reported(settings, i)) != NULL; i++) {
        settings_text(settings, row, text);
        if (row->type == OPTION_REAL)
            put_real(stream, row->label, strtod(text, NULL));
        else if (row->type == OPTION_FLAG)
            put_text(stream, row->label, text[0] == '1' ? "yes" : "no");
        else
            put_text(stream, row->label, text);
    }
    put_text(stream, "instruction set", input->training->isa);
    return STATUS_OK;
}

static enum status put_provenance(FILE *stream, const struct report_input *input) {
    char value[CACHE_SOURCE], rows[32];
    put_text(stream, "cache", base_name(input->cache_path));
    for (size_t i = 0; i < cache_provenance_count(); i++) {
        const char *name = cache_provenance(input->info, i, value);
        put_text(stream, name, value);
    }
    put_whole(stream, "features", input->info->dim);
    for (int s = 0; s < CACHE_SPLITS; s++) {
        const struct cache_split_info *split = &input->info->splits[s];
        begin_pair(stream, cache_split_names[s]);
        fprintf(stream, "%s rows, images ", table_count(split->rows, rows));
        report_text(stream, split->images_sha256);
        end_pair(stream);
    }
    return STATUS_OK;
}

static enum status put_command(FILE *stream, const struct report_input *input) {
    for (size_t i = 0; input->argv[i] != NULL; i++) {
        fputs(i > 0 ? " <span>" : "<span>", stream);
        report_text_quoted(stream, input->argv[i]);
        fputs("</span>", stream);
    }
    return STATUS_OK;
}

static enum status put_version(FILE *stream, const struct report_input *input) {
    (void)input;
    fputs("vggcache " VGGCACHE_VERSION, stream);
    return STATUS_OK;
}

/* ---- the history for programs, and for the script: numbers alone, so that nothing needs escaping ---- */

static void put_number(FILE *stream, double value) {
    if (isfinite(value))
        fprintf(stream, "%.9g", value);
    else
        fputs("null", stream);
}

static void put_column(FILE *stream, const char *name, const struct report_input *input, size_t offset) {
    const struct fit_epoch *history = input->results->history;
    fprintf(stream, ",\n\"%s\":[", name);
    for (size_t i = 0; i < input->results->epochs; i++) {
        fputs(i > 0 ? "," : "", stream);
        put_number(stream, *(const double *)(const void *)((const char *)&history[i] + offset));
    }
    fputc(']', stream);
}

static enum status put_data(FILE *stream, const struct report_input *input) {
    if (!is_fit(input)) {
        fputs("null", stream);
        return STATUS_OK;
    }
    fprintf(stream, "{\"kept\":%zu,\n\"epoch\":[", input->kept);
    for (size_t i = 0; i < input->results->epochs; i++)
        fprintf(stream, "%s%zu", i > 0 ? "," : "", input->results->history[i].epoch);
    fputc(']', stream);
    put_column(stream, "loss", input, offsetof(struct fit_epoch, loss));
    put_column(stream, "accuracy", input, offsetof(struct fit_epoch, accuracy));
    put_column(stream, "val_loss", input, offsetof(struct fit_epoch, val_loss));
    put_column(stream, "val_accuracy", input, offsetof(struct fit_epoch, val_accuracy));
    put_column(stream, "learning_rate", input, offsetof(struct fit_epoch, learning_rate));
    fputc('}', stream);
    return STATUS_OK;
}

/* ---- the page ---- */

static enum status put_sections(FILE *stream, const struct report_input *input) {
    report_chart_section(stream, input);
    report_tables_sweep(stream, input);
    if (input->results->test.rows == 0)
        return STATUS_OK;
    report_tables_confusion(stream, input);
    enum status status = report_tables_classes(stream, input);
    return status == STATUS_OK ? report_mistakes_section(stream, input) : status;
}

/* What stands in report.html as {{name}}. */
static const struct place {
    const char *name;
    enum status (*put)(FILE *stream, const struct report_input *input);
} places[] = {
    {"title", put_title},     {"heading", put_heading},       {"verdict", put_verdict},
    {"results", put_results}, {"sections", put_sections},     {"options", put_options},
    {"command", put_command}, {"provenance", put_provenance}, {"version", put_version},
    {"data", put_data},
};

static const struct place *find_place(const char *name, size_t length) {
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (strlen(places[i].name) == length && strncmp(places[i].name, name, length) == 0)
            return &places[i];
    return NULL;
}

enum status report_write(FILE *stream, const struct report_input *input) {
    enum status status = STATUS_OK;
    const char *at = report_page, *brace;
    while (status == STATUS_OK && (brace = strstr(at, "{{")) != NULL) {
        const char *name = brace + 2, *end = name + strcspn(name, "}");
        const struct place *place = find_place(name, (size_t)(end - name));
        fwrite(at, 1, (size_t)(brace - at), stream);
        assert(place != NULL); /* report.html is part of the program */
        status = place->put(stream, input);
        at = end + 2;
    }
    if (status == STATUS_OK)
        fputs(at, stream);
    return status;
}
