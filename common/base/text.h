/* text: bytes that somebody else chose (names of files, what a file says of itself), made fit to be shown on a
 * terminal or kept in a format that demands UTF-8. It changes nothing of what the names stand for. */
#ifndef COMMON_BASE_TEXT_H
#define COMMON_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TEXT_SHOWN_MAX = 20 }; /* bytes of a character as it is shown, the zero included */
enum { TEXT_GROUPED = 32 };

/* Bytes of the valid UTF-8 character at `text`; 0 when there is none (the end, or other bytes). */
size_t text_character_nbytes(const char *text);

/* Whether a terminal obeys the character at `text` instead of showing it: ASCII's and Latin-1's control
 * characters, and Unicode's that turn lines round or end them. */
bool text_is_control(const char *text);

/* The first character of `text`, which is not empty, as it is shown: itself, or \n, \t, \r, or \x and two hex
 * digits for each byte of a control character, or for one byte that is no UTF-8. Returns the bytes of `text`
 * that this stands for. */
size_t text_show_character(const char *text, char shown[TEXT_SHOWN_MAX]);

/* All of `text` as it is shown, into shown[size], cut where a character ends; returns `shown`. 4 bytes for
 * each of `text`'s and one more always suffice. */
char *text_visible(const char *text, char *shown, size_t size);

/* Prints `text` as it is shown. */
void text_print(FILE *stream, const char *text);

/* 14714688 -> "14,714,688", into text[TEXT_GROUPED]; returns `text`. */
char *text_grouped(size_t number, char text[TEXT_GROUPED]);

/* A copy from malloc() in which U+FFFD stands for each byte that is no UTF-8; NULL without memory. */
char *text_utf8(const char *text);

#endif
