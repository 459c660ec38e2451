/* output: files that appear whole or not at all. A result is written under a partial name beside its final
 * one, synchronised to the disk, and renamed; on any failure the partial file goes away. */
#ifndef COMMON_BASE_OUTPUT_H
#define COMMON_BASE_OUTPUT_H

#include "common/base/status.h"
#include <stdbool.h>
#include <stdio.h>

/* The folder that a path is in, "." for a name alone, from malloc(); NULL without memory. */
char *output_folder(const char *path);

/* A text or binary file being written; what leads to standard output or error (streams.h) goes there, and a
 * device, a pipe or a link is written directly. */
struct output {
    FILE *stream;         /* write here */
    char *path, *partial; /* partial is NULL when it is written directly */
    bool standard;
};

/* Opens `path` for writing (its folder must exist). STATUS_IO with a message that says what to do. */
enum status output_open(struct output *output, const char *path);

/* Whether all could be written so far, for long results: STATUS_IO; STATUS_PIPE when it goes to standard output
 * and nobody reads that any more. */
enum status output_check(const struct output *output);

/* Like output_check(), then synchronises and renames. On failure the partial file is removed. Frees in any case. */
enum status output_commit(struct output *output);

/* Gives up: removes the partial file. Harmless after commit or on a zeroed struct. */
void output_abort(struct output *output);

/* Like output_open/commit, for a library that writes files by name: `partial` = "PATH.partial" from malloc()
 * for the library to write, then output_publish() to synchronise it and give it the final name (STATUS_IO
 * when that belongs to something that is no regular file). */
char *output_partial_path(const char *path);
enum status output_publish(const char *partial, const char *path);

#endif
