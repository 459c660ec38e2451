/* text: makes bytes from outside (names of files, texts in files) fit for a terminal, or for a format that demands
 * UTF-8; and numbers for people. It does not change what the names mean. */
#ifndef COMMON_BASE_TEXT_H
#define COMMON_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TEXT_SHOWN_MAX = 20 }; /* bytes of a shown character, with the terminator */
enum { TEXT_GROUPED = 32 };   /* bytes of any number that is grouped */

/* The bytes of the valid UTF-8 character at `text`; 0 when there is none (the end, or other bytes). */
size_t text_character_nbytes(const char *text);

/* Whether the character at `text` controls a terminal: ASCII's and Latin-1's control characters, and those of Unicode
 * that turn the direction of lines or end them. */
bool text_is_control(const char *text);

/* Shows the first character of `text`, which is not empty: itself, or \n, \t, \r, or \x and two hex digits for
 * each byte of a control character or for one byte that is not UTF-8. Returns the number of bytes of `text` that
 * this stands for. */
size_t text_show_character(const char *text, char shown[TEXT_SHOWN_MAX]);

/* Shows all of `text` in shown[size], cut where a character ends; returns `shown`. Four bytes for each byte of
 * `text`, and one more, are always enough. */
char *text_visible(const char *text, char *shown, size_t size);

/* Prints `text` as text_visible() shows it. */
void text_print(FILE *stream, const char *text);

/* 14714688 -> "14,714,688", into text[TEXT_GROUPED]; returns `text`. */
char *text_grouped(size_t number, char text[TEXT_GROUPED]);

/* A copy from malloc() in which U+FFFD replaces each byte that is not UTF-8; NULL without memory. */
char *text_utf8(const char *text);

#endif
