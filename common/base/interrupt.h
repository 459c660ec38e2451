/* interrupt: a polite stop. SIGINT, SIGTERM and SIGHUP only set a flag, which long loops ask for; a second
 * one of them ends the process at once. */
#ifndef COMMON_BASE_INTERRUPT_H
#define COMMON_BASE_INTERRUPT_H

/* Installs the handlers. A signal that was ignored at start (nohup) stays ignored. Writes
 * that a file size limit or a closed pipe forbids fail with errno from here on, instead of a signal. */
void interrupt_init(void);

/* The signal that asked to stop, or 0. Async-signal-safe, from any thread. */
int interrupt_signal(void);

/* Ends the process as a write to a closed pipe ends one that does not care: by SIGPIPE, without a word. Returns
 * when SIGPIPE was ignored at start: then the caller says what is wrong. */
void interrupt_raise_pipe(void);

#endif
