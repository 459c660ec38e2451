/* report_parts: what the files of report need of each other. */
#ifndef TRAIN_REPORT_REPORT_PARTS_H
#define TRAIN_REPORT_REPORT_PARTS_H

#include "train/report/report_input.h"

/* ---- report_text: untrusted bytes into HTML ---- */

/* Text, with control characters shown (text.h) and what is no UTF-8 replaced by U+FFFD; good between tags and
 * within quoted attributes. */
void report_text(FILE *stream, const char *text);

/* Like report_text(), but quoted for a shell where it must be: pasted, it is `argument` again, whatever its
 * bytes. */
void report_text_quoted(FILE *stream, const char *argument);

/* "98.12 %", the space one that does not break. */
void report_text_percent(FILE *stream, double share, int decimals);

/* ---- report_page: report.html ---- */

extern const char report_page[]; /* ends with a zero */

/* ---- sections, each with its heading, or nothing when there is nothing to show ---- */

void report_chart_section(FILE *stream, const struct report_input *input);
void report_tables_epochs(FILE *stream,
                          const struct report_input *input); /* no section: goes with the curves */
void report_tables_sweep(FILE *stream, const struct report_input *input);
void report_tables_confusion(FILE *stream, const struct report_input *input);
enum status report_tables_classes(FILE *stream, const struct report_input *input);

/* Test rows that were mistaken. */
struct report_mistakes {
    size_t all, count; /* in all; listed */
    size_t rows[REPORT_MISTAKES];
};

/* The most confident first; of equally confident ones the first rows. */
struct report_mistakes report_mistakes_find(const struct report_input *input);
enum status report_mistakes_section(FILE *stream, const struct report_input *input);

/* ---- report_images: pictures ---- */

/* Pictures of `count` rows as values of an image's src, "data:image/png;base64,...", pixel for pixel; each
 * from malloc(), NULL for those beyond REPORT_PIXELS_MAX. STATUS_NO_MEMORY, what idx_read() says; then all
 * are NULL. */
enum status report_images_read(struct report_images *images, const size_t rows[], size_t count,
                               char *uris_ret[]);
size_t report_images_height(const struct report_images *images);
size_t report_images_width(const struct report_images *images);

#endif
