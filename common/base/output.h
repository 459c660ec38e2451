/* output: files that appear whole or not at all. A result is written under a temporary name beside its final
 * one, synchronised to the disk, and renamed; on any failure the temporary file goes away.
 *
 * The temporary name, NAME.XXXXXX.partial, is the process's own, so that two runs that write one name do not meet:
 * each leaves a whole file, and the last one to finish wins. A name that is a symbolic link is written through:
 * the file is made beside what the link leads to, and takes its place. A file that is replaced keeps its
 * permissions, and its owner where the system lets it. */
#ifndef COMMON_BASE_OUTPUT_H
#define COMMON_BASE_OUTPUT_H

#include "common/base/status.h"
#include <stdbool.h>
#include <stdio.h>

/* The folder that a path is in, "." for a name alone, from malloc(); NULL without memory. */
char *output_folder(const char *path);

/* What a path leads to, link by link, from malloc(); it need not be there. A link to an open descriptor
 * (/proc/self/fd/3) is the end of the way. STATUS_IO when the links go round in a circle. */
enum status output_target(char **target_ret, const char *path);

/* A file being written; all zero: none. */
struct output {
    FILE *stream;  /* write here, unless a library writes `partial` */
    char *path;    /* as it was given */
    char *target;  /* what it leads to */
    char *partial; /* the temporary file; NULL when it is written directly */
    bool standard; /* standard output */
};

/* Opens `path` for writing (its folder must exist). What leads to standard output or error (streams.h) goes
 * there, and a device or a pipe is written directly. STATUS_IO with a message that says what is wrong. */
enum status output_open(struct output *output, const char *path);

/* Like output_open(), for a library that writes files by name: `partial` is there, empty, and for a regular
 * file always. */
enum status output_reserve(struct output *output, const char *path);

/* Whether all could be written so far, for long results: STATUS_IO; STATUS_PIPE when it goes to standard output
 * and nobody reads that any more. */
enum status output_check(const struct output *output);

/* Like output_check(), then synchronises and renames. On failure the temporary file is removed. Frees in any
 * case. */
enum status output_commit(struct output *output);

/* Gives up: removes the temporary file. Harmless after commit or on a zeroed struct. */
void output_abort(struct output *output);

/* Removes all temporary files that are there, in a process that is about to end. Async-signal-safe. */
void output_remove_temporaries(void);

/* Synchronises a file to the disk and gives it the final name `target`, which is no link. STATUS_IO, also when
 * that belongs to something that is no regular file. */
enum status output_publish(const char *partial, const char *target);

/* Removes what a path leads to, if it is there. */
void output_remove(const char *path);

#endif
