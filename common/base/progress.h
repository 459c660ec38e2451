/* progress: how far a long job is, its rate and the time that remains, on standard error. On a terminal it is a bar;
 * elsewhere it is a line every ten seconds; it is nothing when the log is quiet. */
#ifndef COMMON_BASE_PROGRESS_H
#define COMMON_BASE_PROGRESS_H

#include <stddef.h>

/* Begins a job of `total` items. `done` of them were done before (a resumed run); the rate counts the others. `unit`
 * is a plural, as "images". One job at a time; calls come from one thread at a time. */
void progress_begin(const char *unit, size_t done, size_t total);
void progress_update(size_t done);

/* Ends the job and wipes the bar. Does nothing when no job runs. */
void progress_end(void);

/* Seconds of a clock that never goes back. */
double progress_clock(void);

/* "7 s", "3 min 20 s", "2 h 05 min" into text[24]; returns `text`. */
char *progress_duration(double seconds, char text[24]);

#endif
