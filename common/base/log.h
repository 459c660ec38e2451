/* log: messages for people while a program works, on standard error. Results go to standard output, not through
 * here. */
#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

enum log_level { LOG_QUIET = 0, LOG_NORMAL = 1, LOG_VERBOSE = 2 };

/* Sets the name that begins each line, and how much is printed (-q: quiet, -v: verbose). `program` must outlive the
 * use of log. */
void log_init(const char *program, enum log_level level);
enum log_level log_level(void);

/* Prints a line on standard error: log_error always; log_warning always, with "warning: "; log_info unless quiet;
 * log_detail only when verbose. It wipes a transient line first. Control characters, which file names may have, are
 * made visible (text.h). */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line of a terminal that the next line replaces, as a progress bar. log_transient() shows `text`, cut to the
 * terminal's width. The functions above and log_transient_wipe() wipe it. */
void log_transient(const char *text);
void log_transient_wipe(void);

#endif
