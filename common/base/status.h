/* status: the one list of outcomes, and the one message that goes with a failure.
 *
 * A function that can fail for reasons outside the program (files, arguments, memory, signals) returns an enum
 * status. If that is not STATUS_OK, the function has set one message: what failed, where, and what to do. Only the
 * two main.c print it and exit. Bugs are not statuses: they are asserted. */
#ifndef COMMON_BASE_STATUS_H
#define COMMON_BASE_STATUS_H

#include <stddef.h>

enum status {
    STATUS_OK = 0,
    STATUS_USAGE,       /* the command line is wrong */
    STATUS_NO_MEMORY,   /* an allocation failed */
    STATUS_IO,          /* the operating system refused: a file is missing, no permission, no space */
    STATUS_FORMAT,      /* a file is not what it must be */
    STATUS_CORRUPT,     /* a checksum does not fit its data */
    STATUS_MISMATCH,    /* two things that must agree were made in different ways */
    STATUS_BUSY,        /* another process is at work on the same file */
    STATUS_UNSUPPORTED, /* asked for by name, but not available here */
    STATUS_NOT_FINITE,  /* a computation gave NaN or an infinity */
    STATUS_INTERRUPTED, /* a signal asked the program to stop; what was done is kept */
    STATUS_PIPE,        /* the reader of standard output is gone */
    STATUS_COUNT
};

/* The name of a status, as "no memory"; never NULL. */
const char *status_name(enum status status);

/* Sets the message of this process (at most 1023 bytes; a longer one is cut) and returns `status`, so that a
 * caller can write `return status_set(STATUS_FORMAT, "%s: ...", path)`. The last message set stays. May be called
 * from any thread. */
enum status status_set(enum status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Like status_set(STATUS_IO, ...), but adds ": " and the text of `errno` to the message. */
enum status status_set_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Like status_set(STATUS_NO_MEMORY, ...); the message names what the `nbytes` were for. */
enum status status_set_no_memory(size_t nbytes, const char *what);

/* The message of the last failure; "" when there was none. Valid until the next status_set*(). */
const char *status_message(void);

#endif
