/* interrupt: a stop that keeps what was done. SIGINT, SIGTERM and SIGHUP only set a flag, which long loops check; a
 * second one ends the process at once. */
#ifndef COMMON_BASE_INTERRUPT_H
#define COMMON_BASE_INTERRUPT_H

/* Installs the handlers. A signal that was ignored at start (nohup) stays ignored. From here on, a write that a file
 * size limit or a closed pipe forbids fails with errno and raises no signal. */
void interrupt_init(void);

/* The signal that asked to stop, or 0. Async-signal-safe, from any thread. */
int interrupt_signal(void);

/* Ends the process by SIGPIPE, without a message, as a write to a closed pipe does by default. Returns when SIGPIPE
 * was ignored at start; then the caller reports the failure. */
void interrupt_raise_pipe(void);

#endif
