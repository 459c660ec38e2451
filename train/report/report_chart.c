/* report_chart: the curves of loss and accuracy by epoch, as SVG that stretches to its place, with labels
 * beside it that do not. */
#include "train/report/report_parts.h"
#include "train/results/table.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum {
    SIDE = 1000,   /* units of the plot's width and height */
    POINTS = 1500, /* drawn as they are; of more, the lowest and the highest of each of POINTS / 2 groups */
    TICKS_MAX = 24,
    LOG_RATIO = 30 /* highest / lowest loss from which on the logarithmic scale comes first */
};

/* From `low` at the bottom to `high` at the top. */
struct axis {
    double low, high, ticks[TICKS_MAX];
    size_t tick_count;
    int decimals;
    bool logarithmic, percent;
};

/* What is drawn in one figure: two columns of the history. */
struct quantity {
    const char *name, *title;
    size_t training, validation; /* offsets in struct fit_epoch */
    bool percent;
};
static const struct quantity quantities[] = {
    {"loss", "Loss", offsetof(struct fit_epoch, loss), offsetof(struct fit_epoch, val_loss), false},
    {"accuracy", "Accuracy", offsetof(struct fit_epoch, accuracy), offsetof(struct fit_epoch, val_accuracy),
     true},
};

static double value_of(const struct fit_epoch *epoch, size_t offset) {
    return *(const double *)(const void *)((const char *)epoch + offset);
}

/* 1, 2 or 5 times a power of ten, at least `least`. */
static double round_step(double least) {
    double power = pow(10, floor(log10(least))), factor = least / power;
    return power * (factor <= 1 + 1e-9 ? 1 : factor <= 2 + 1e-9 ? 2 : factor <= 5 + 1e-9 ? 5 : 10);
}

static struct axis linear_axis(double low, double high, bool percent) {
    struct axis axis = {.percent = percent};
    if (!(high - low > 1e-6 * fabs(high)))
        low -= fmax(fabs(low) * 0.1, 1e-3), high += fmax(fabs(high) * 0.1, 1e-3);
    if (!percent && low < 0.5 * high)
        low = 0;
    low = fmax(low, 0);
    high = percent ? fmin(high, 1) : high;
    double step = round_step((high - low) / 5);
    axis.low = step * floor(low / step + 1e-6);
    axis.high = step * ceil(high / step - 1e-6);
    axis.decimals = (int)fmax(0, ceil(-log10(percent ? 100 * step : step) - 1e-6));
    for (int i = 0; i < TICKS_MAX && axis.low + i * step < axis.high + step / 2; i++)
        axis.ticks[axis.tick_count++] = axis.low + i * step;
    return axis;
}

/* `low` > 0. The ends are 1, 2 or 5 times a power of ten; ticks are all of these, or of many only the powers.
 */
static struct axis logarithmic_axis(double low, double high) {
    static const double factors[] = {1, 2, 5};
    double power = pow(10, floor(log10(low))), factor = low / power;
    struct axis axis = {.logarithmic = true,
                        .low = power * (factor >= 5   ? 5
                                        : factor >= 2 ? 2
                                                      : 1),
                        .high = round_step(high)};
    int first = (int)floor(log10(axis.low) + 1e-9), last = (int)floor(log10(axis.high) + 1e-9),
        span = last - first;
    for (int p = first; p <= last; p++)
        for (int f = 0; f < (span <= 2 ? 3 : 1); f++) {
            double tick = factors[f] * pow(10, p);
            if (p % (span / 8 + 1) == 0 && tick >= axis.low * (1 - 1e-9) && tick <= axis.high * (1 + 1e-9) &&
                axis.tick_count < TICKS_MAX)
                axis.ticks[axis.tick_count++] = tick;
        }
    return axis;
}

/* 0 at the bottom to 1 at the top. */
static double place_on(const struct axis *axis, double value) {
    return axis->logarithmic ? (log(value) - log(axis->low)) / (log(axis->high) - log(axis->low))
                             : (value - axis->low) / (axis->high - axis->low);
}

static double place_of_epoch(size_t index, size_t count) {
    return count == 1 ? 0.5 : (double)index / (double)(count - 1);
}

static void put_value(FILE *stream, const struct quantity *quantity, double value) {
    if (quantity->percent)
        report_text_percent(stream, value, 2);
    else
        fprintf(stream, value != 0 && (value < 0.01 || value >= 1e5) ? "%.3g" : "%.4f", value);
}

static void put_tick(FILE *stream, const struct axis *axis, double tick) {
    if (axis->percent)
        report_text_percent(stream, tick, axis->decimals);
    else if (axis->logarithmic || axis->decimals > 4 || axis->high >= 1e5)
        fprintf(stream, "%.3g", tick);
    else
        fprintf(stream, "%.*f", axis->decimals, tick);
}

/* One point of a path. */
static void put_point(FILE *stream, const struct axis *axis, size_t index, size_t count, double value,
                      bool *down) {
    if (!isfinite(value) || (axis->logarithmic && value <= 0)) {
        *down = false;
        return;
    }
    fprintf(stream, "%c%.5g %.5g", *down ? 'L' : 'M', SIDE * place_of_epoch(index, count),
            SIDE * (1 - place_on(axis, value)));
    *down = true;
}

static void put_curve(FILE *stream, const struct axis *axis, const char *class,
                      const struct fit_epoch *history, size_t count, size_t offset) {
    bool down = false;
    size_t groups = count <= POINTS ? count : POINTS / 2;
    fprintf(stream, "<path class=\"%s%s\" d=\"", class, count == 1 ? " single" : "");
    for (size_t g = 0; g < groups; g++) {
        size_t first = g * count / groups, end = (g + 1) * count / groups, low = first, high = first;
        for (size_t i = first; i < end; i++) {
            low = value_of(&history[i], offset) < value_of(&history[low], offset) ? i : low;
            high = value_of(&history[i], offset) > value_of(&history[high], offset) ? i : high;
        }
        size_t before = low < high ? low : high, after = low < high ? high : low;
        put_point(stream, axis, before, count, value_of(&history[before], offset), &down);
        if (after > before)
            put_point(stream, axis, after, count, value_of(&history[after], offset), &down);
    }
    fputs(count == 1 ? "h0\"/>" : "\"/>", stream); /* a line of no length is a dot: its ends are round */
}

/* Labels and grid lines for some epochs. */
static void put_epoch_ticks(FILE *stream, size_t count) {
    size_t step = count < 2 ? 1 : (size_t)round_step(fmax(1, (double)count / 5.5));
    for (size_t epoch = 1; epoch <= count; epoch = epoch == 1 && step > 1 ? step : epoch + step) {
        double place = 100 * place_of_epoch(epoch - 1, count);
        char text[32];
        if (epoch != 1 && place < 8) /* it would touch the first */
            continue;
        fprintf(stream, "<span class=\"x\" style=\"left:%.5g%%\">%s</span>", place, table_count(epoch, text));
    }
}

/* The sentence that stands for the picture. */
static void put_summary(FILE *stream, const struct quantity *quantity, const struct fit_epoch *history,
                        size_t count) {
    const struct fit_epoch *last = &history[count - 1];
    fprintf(stream, "%s by epoch, %zu epoch%s: training from ", quantity->title, count,
            count == 1 ? "" : "s");
    put_value(stream, quantity, value_of(history, quantity->training));
    fputs(" to ", stream);
    put_value(stream, quantity, value_of(last, quantity->training));
    if (isnan(value_of(last, quantity->validation)))
        return;
    fputs(", validation from ", stream);
    put_value(stream, quantity, value_of(history, quantity->validation));
    fputs(" to ", stream);
    put_value(stream, quantity, value_of(last, quantity->validation));
}

static void put_plot(FILE *stream, const struct quantity *quantity, const struct axis *axis,
                     const struct report_input *input) {
    const struct fit_epoch *history = input->results->history;
    size_t count = input->results->epochs;
    fprintf(stream,
            "<div class=\"plot %s\" data-quantity=\"%s\" data-low=\"%.17g\" data-high=\"%.17g\" role=\"img\" "
            "tabindex=\"0\" aria-label=\"",
            axis->logarithmic ? "log" : "lin", quantity->name, axis->low, axis->high);
    put_summary(stream, quantity, history, count);
    fprintf(stream, "\">\n<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
            SIDE, SIDE);
    for (size_t i = 0; i < axis->tick_count; i++)
        fprintf(stream, "<path class=\"grid\" d=\"M0 %.5gH%d\"/>",
                SIDE * (1 - place_on(axis, axis->ticks[i])), SIDE);
    if (input->kept + 1 < count)
        fprintf(stream, "<path class=\"kept\" d=\"M%.5g 0V%d\"/>", SIDE * place_of_epoch(input->kept, count),
                SIDE);
    put_curve(stream, axis, "training", history, count, quantity->training);
    if (!isnan(value_of(history, quantity->validation)))
        put_curve(stream, axis, "validation", history, count, quantity->validation);
    fputs("</svg>\n", stream);
    for (size_t i = 0; i < axis->tick_count; i++) {
        fprintf(stream, "<span class=\"y\" style=\"bottom:%.5g%%\">", 100 * place_on(axis, axis->ticks[i]));
        put_tick(stream, axis, axis->ticks[i]);
        fputs("</span>", stream);
    }
    put_epoch_ticks(stream, count);
    fputs("<i class=\"cursor\" hidden></i><i class=\"dot training\" hidden></i>"
          "<i class=\"dot validation\" hidden></i></div>\n",
          stream);
}

/* The lowest and the highest of both columns. */
static void range_of(const struct quantity *quantity, const struct fit_epoch *history, size_t count,
                     double *low_ret, double *high_ret) {
    const size_t offsets[] = {quantity->training, quantity->validation};
    *low_ret = INFINITY;
    *high_ret = -INFINITY;
    for (size_t i = 0; i < count; i++)
        for (size_t o = 0; o < 2; o++) {
            double value = value_of(&history[i], offsets[o]);
            *low_ret = isfinite(value) && value < *low_ret ? value : *low_ret;
            *high_ret = isfinite(value) && value > *high_ret ? value : *high_ret;
        }
    if (*low_ret > *high_ret)
        *low_ret = 0, *high_ret = 1;
}

/* The values of an epoch; the script puts those under the pointer in their place. */
static void put_read_out(FILE *stream, const struct quantity *quantity, const struct report_input *input) {
    const struct fit_epoch *epoch = &input->results->history[input->kept];
    bool validation = !isnan(value_of(epoch, quantity->validation));
    fputs("<p class=\"read\"><span class=\"key training\">training <b>", stream);
    put_value(stream, quantity, value_of(epoch, quantity->training));
    fputs("</b></span> ", stream);
    if (validation) {
        fputs("<span class=\"key validation\">validation <b>", stream);
        put_value(stream, quantity, value_of(epoch, quantity->validation));
        fputs("</b></span> ", stream);
    }
    fprintf(stream, "<span class=\"epoch\">epoch <b>%zu</b></span></p>\n", epoch->epoch);
}

static void put_figure(FILE *stream, const struct quantity *quantity, const struct report_input *input) {
    double low, high;
    range_of(quantity, input->results->history, input->results->epochs, &low, &high);
    bool both = !quantity->percent && low > 0 && high > 1.5 * low, log_first = both && high > LOG_RATIO * low;
    fprintf(stream, "<figure class=\"chart card\">\n<figcaption><h3>%s</h3></figcaption>\n", quantity->title);
    if (both)
        fprintf(stream,
                "<fieldset><legend>Scale of the %s</legend>\n"
                "<label><input type=\"radio\" name=\"scale\" value=\"lin\"%s> linear</label> "
                "<label><input type=\"radio\" name=\"scale\" value=\"log\"%s> "
                "logarithmic</label></fieldset>\n",
                quantity->name, log_first ? "" : " checked", log_first ? " checked" : "");
    put_read_out(stream, quantity, input);
    struct axis axis = linear_axis(low, high, quantity->percent);
    put_plot(stream, quantity, &axis, input);
    if (both) {
        axis = logarithmic_axis(low, high);
        put_plot(stream, quantity, &axis, input);
    }
    fputs("<p class=\"axis\" aria-hidden=\"true\">epoch</p>\n</figure>\n", stream);
}

void report_chart_section(FILE *stream, const struct report_input *input) {
    if (input->results->history == NULL || input->results->epochs == 0)
        return;
    fputs("<section aria-labelledby=\"curves\">\n<h2 id=\"curves\">Curves</h2>\n<div class=\"pair\">\n",
          stream);
    for (size_t q = 0; q < sizeof quantities / sizeof quantities[0]; q++)
        put_figure(stream, &quantities[q], input);
    fputs("</div>\n", stream);
    if (input->kept + 1 < input->results->epochs)
        fprintf(stream,
                "<p class=\"note\">The dotted line is epoch %zu, the lowest validation loss: the head has "
                "the weights of "
                "that epoch.</p>\n",
                input->results->history[input->kept].epoch);
    fputs(input->training->settings.optimizer == OPTIM_LBFGS ? "<p class=\"note\">An epoch is one iteration "
                                                               "over all rows; its values are measured after "
                                                               "it.</p>\n"
                                                             : "<p class=\"note\">Training is a running mean "
                                                               "within the epoch, each batch measured before "
                                                               "its update; "
                                                               "validation is measured after it.</p>\n",
          stream);
    report_tables_epochs(stream, input);
    fputs("</section>\n", stream);
}
