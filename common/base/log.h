/* log: what a person reads while a program works, on standard error. Results are not its business: they go
 * to standard output. */
#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

enum log_level { LOG_QUIET = 0, LOG_NORMAL = 1, LOG_VERBOSE = 2 };

/* Sets the name that stands before each line, and how much is said (-q: quiet, -v: verbose). `program`
 * must outlive the process's use of log. */
void log_init(const char *program, enum log_level level);
enum log_level log_level(void);

/* A line on standard error: log_error always, log_warning always and with "warning: ", log_info unless quiet,
 * log_detail only when verbose. A transient line that stands on the terminal is wiped first. Control characters, which names of files may
 * have, are shown (text.h). */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line of a terminal that the next one replaces, as a progress bar: log_transient() puts `text` there, cut to
 * the terminal's width. The lines above and log_transient_wipe() wipe it. */
void log_transient(const char *text);
void log_transient_wipe(void);

#endif
