/* streams: standard input, output and error of the process: opened at its start, recognised behind any name, and
 * checked at its end. It writes nothing to them. */
#ifndef COMMON_BASE_STREAMS_H
#define COMMON_BASE_STREAMS_H

#include "common/base/status.h"
#include <stdbool.h>

/* Call it before anything else is opened. Some schedulers start a program with one of the three closed. Its number
 * would go to the next file that is opened, and messages would be written into that file. So this opens such a stream
 * the wrong way round: reading or writing it fails, as if it were closed. */
void streams_init(void);

enum streams { STREAMS_NONE, STREAMS_OUTPUT, STREAMS_ERROR };

/* Whether a name leads to standard output or standard error: "-" (output), or any name of the same file, pipe or
 * terminal, such as /dev/stdout, /proc/self/fd/1, or the file to which the shell redirects. Devices that are not
 * terminals, such as /dev/null, never count. NULL is allowed: STREAMS_NONE. */
enum streams streams_of(const char *path);

/* Whether two names lead to the same one of the two. Each may be NULL. */
bool streams_same(const char *a, const char *b);

/* Flushes standard output and reports whether everything could be written to it: STATUS_PIPE when its reader is gone,
 * STATUS_IO when another reason prevented it. */
enum status streams_flush(void);

#endif
