/* text: bytes that somebody else chose, made fit to be shown or kept. */
#include "common/base/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* The code of the character at `text`, and its bytes; 0 of them when it is none. */
static uint32_t decode(const char *text, size_t *nbytes_ret) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *at = (const unsigned char *)text;
    size_t nbytes = at[0] < 0x80 ? 1 : at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    uint32_t code = nbytes == 1 ? at[0] : at[0] & (0x7Fu >> nbytes);
    *nbytes_ret = 0;
    if (at[0] == '\0' || (at[0] >= 0x80 && at[0] < 0xC2) || at[0] > 0xF4)
        return 0;
    for (size_t i = 1; i < nbytes; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3Fu);
    }
    if (code < least[nbytes] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return 0;
    *nbytes_ret = nbytes;
    return code;
}

size_t text_character_nbytes(const char *text) {
    size_t nbytes;
    decode(text, &nbytes);
    return nbytes;
}

bool text_is_control(const char *text) {
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0x01, 0x1F},     {0x7F, 0x9F},     {0x61C, 0x61C},   {0x200E, 0x200F},
                  {0x2028, 0x202E}, {0x2066, 0x2069}, {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}};
    size_t nbytes;
    uint32_t code = decode(text, &nbytes);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

size_t text_show_character(const char *text, char shown[TEXT_SHOWN_MAX]) {
    static const char named[] = "\nn\tt\rr";
    size_t nbytes = text_character_nbytes(text), used = 0;
    const char *name = nbytes == 1 ? strchr(named, *text) : NULL;
    if (nbytes > 0 && !text_is_control(text)) {
        memcpy(shown, text, nbytes);
        shown[nbytes] = '\0';
    } else if (name != NULL && *text < ' ') {
        snprintf(shown, TEXT_SHOWN_MAX, "\\%c", name[1]);
    } else {
        for (size_t i = 0; i < (nbytes > 0 ? nbytes : 1); i++)
            used += (size_t)snprintf(shown + used, TEXT_SHOWN_MAX - used, "\\x%02x", (unsigned char)text[i]);
    }
    return nbytes > 0 ? nbytes : 1;
}

char *text_visible(const char *text, char *shown, size_t size) {
    char character[TEXT_SHOWN_MAX];
    size_t used = 0;
    while (*text != '\0') {
        text += text_show_character(text, character);
        size_t length = strlen(character);
        if (used + length >= size)
            break;
        memcpy(shown + used, character, length);
        used += length;
    }
    shown[used] = '\0';
    return shown;
}

void text_print(FILE *stream, const char *text) {
    char character[TEXT_SHOWN_MAX];
    while (*text != '\0') {
        text += text_show_character(text, character);
        fputs(character, stream);
    }
}

char *text_grouped(size_t number, char text[TEXT_GROUPED]) {
    char digits[TEXT_GROUPED], *to = text;
    int length = snprintf(digits, sizeof digits, "%zu", number);
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return text;
}

char *text_utf8(const char *text) {
    char *copy = malloc(strlen(text) * strlen(REPLACEMENT) + 1), *to = copy;
    while (copy != NULL && *text != '\0') {
        size_t nbytes = text_character_nbytes(text);
        size_t length = nbytes > 0 ? nbytes : strlen(REPLACEMENT);
        memcpy(to, nbytes > 0 ? text : REPLACEMENT, length);
        text += nbytes > 0 ? nbytes : 1;
        to += length;
    }
    if (copy != NULL)
        *to = '\0';
    return copy;
}
