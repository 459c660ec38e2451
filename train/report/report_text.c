/* report_text: untrusted bytes into HTML. */
#include "common/base/text.h"
#include "train/report/report_parts.h"

#include <stdbool.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* Writes the character at `text` and returns where the next one is. */
static const char *put_character(FILE *stream, const char *text) {
    char shown[TEXT_SHOWN_MAX];
    if (text_character_nbytes(text) == 0) {
        fputs(REPLACEMENT, stream);
        return text + 1;
    }
    if (strchr("<>&\"'", *text) != NULL) {
        fprintf(stream, "&#%d;", *text);
        return text + 1;
    }
    size_t nbytes = text_show_character(text, shown);
    fputs(shown, stream);
    return text + nbytes;
}

void report_text(FILE *stream, const char *text) {
    while (*text != '\0')
        text = put_character(stream, text);
}

/* Whether a shell reads the argument as it stands. */
static bool is_plain(const char *argument) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    return argument[0] != '\0' && argument[strspn(argument, plain)] == '\0';
}

/* Whether the character at `text` can be seen, and so be pasted. */
static bool is_visible(const char *text) {
    return text_character_nbytes(text) > 0 && !text_is_control(text);
}

static bool is_all_visible(const char *argument) {
    while (*argument != '\0' && is_visible(argument))
        argument += text_character_nbytes(argument);
    return *argument == '\0';
}

void report_text_quoted(FILE *stream, const char *argument) {
    if (is_plain(argument)) {
        report_text(stream, argument);
        return;
    }
    bool visible = is_all_visible(argument);
    report_text(stream, visible ? "'" : "$'");
    while (*argument != '\0') {
        if (visible && *argument == '\'') {
            report_text(stream, "'\\''");
            argument++;
        } else if (visible || (is_visible(argument) && *argument != '\'' && *argument != '\\')) {
            argument = put_character(stream, argument);
        } else {
            size_t nbytes = text_character_nbytes(argument);
            for (size_t i = 0; i < (nbytes > 0 ? nbytes : 1); i++)
                fprintf(stream, "\\%03o", (unsigned char)argument[i]);
            argument += nbytes > 0 ? nbytes : 1;
        }
    }
    report_text(stream, "'");
}

void report_text_percent(FILE *stream, double share, int decimals) {
    fprintf(stream, "%.*f\u00A0%%", decimals, 100 * share);
}
