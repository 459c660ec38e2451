/* streams: standard input, output and error of the process: open from its start, known again behind any name, and
 * judged at its end. What is written to them is not its business. */
#ifndef COMMON_BASE_STREAMS_H
#define COMMON_BASE_STREAMS_H

#include "common/base/status.h"
#include <stdbool.h>

/* To be called before anything else is opened. A program that was started with one of the three closed (as
 * some schedulers do) would give its number to the next file, and messages would end up in there. Such a one is
 * opened the wrong way round here, so that reading or writing it fails as it would if it were closed. */
void streams_init(void);

enum streams { STREAMS_NONE, STREAMS_OUTPUT, STREAMS_ERROR };

/* Whether a name leads to standard output or standard error: "-" (output), or any name of the same file, pipe
 * or terminal, as /dev/stdout, /proc/self/fd/1, or that of the file into which the shell redirects. Devices that
 * are no terminals, as /dev/null, are nobody's. NULL is allowed: STREAMS_NONE. */
enum streams streams_of(const char *path);

/* Whether two names, each of which may be NULL, lead to the same of the two. */
bool streams_same(const char *a, const char *b);

/* Flushes standard output and tells how all fared that went there: STATUS_PIPE when nobody reads it any more,
 * STATUS_IO when it could not be written for another reason. */
enum status streams_flush(void);

#endif
