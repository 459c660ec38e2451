/* report_text: untrusted bytes into HTML. */
#include "train/report/report_parts.h"

#include <stdbool.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* Bytes of the valid UTF-8 character that stands here; 0: there is none. */
static size_t character_nbytes(const unsigned char *at) {
    size_t nbytes = at[0] < 0x80 ? 1 : at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    uint32_t value = nbytes == 1 ? at[0] : at[0] & (0x7Fu >> nbytes);
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if ((at[0] >= 0x80 && at[0] < 0xC2) || at[0] > 0xF4)
        return 0;
    for (size_t i = 1; i < nbytes; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (at[i] & 0x3F);
    }
    return value < least[nbytes] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000) ? 0 : nbytes;
}

static bool is_control(unsigned char byte) {
    return byte < 0x20 || byte == 0x7F;
}

/* Writes the character at `text` and returns where the next one is. */
static const char *put_character(FILE *stream, const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    size_t nbytes = character_nbytes(at);
    if (nbytes == 0 || (is_control(at[0]) && at[0] != '\n' && at[0] != '\t')) {
        fputs(REPLACEMENT, stream);
        return text + 1;
    }
    if (strchr("<>&\"'", at[0]) != NULL)
        fprintf(stream, "&#%d;", at[0]);
    else
        fwrite(text, 1, nbytes, stream);
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

/* Whether all of it can be seen, and so be pasted. */
static bool is_visible(const char *argument) {
    const unsigned char *at = (const unsigned char *)argument;
    for (size_t nbytes; *at != '\0'; at += nbytes) {
        nbytes = character_nbytes(at);
        if (nbytes == 0 || is_control(*at))
            return false;
    }
    return true;
}

void report_text_quoted(FILE *stream, const char *argument) {
    if (is_plain(argument)) {
        report_text(stream, argument);
        return;
    }
    bool visible = is_visible(argument);
    report_text(stream, visible ? "'" : "$'");
    while (*argument != '\0') {
        const unsigned char *at = (const unsigned char *)argument;
        if (visible && *at == '\'') {
            report_text(stream, "'\\''");
            argument++;
        } else if (!visible && (is_control(*at) || *at == '\'' || *at == '\\' || character_nbytes(at) == 0)) {
            fprintf(stream, "\\%03o", *at);
            argument++;
        } else {
            argument = put_character(stream, argument);
        }
    }
    report_text(stream, "'");
}

void report_text_percent(FILE *stream, double share, int decimals) {
    fprintf(stream, "%.*f\u00A0%%", decimals, 100 * share);
}
