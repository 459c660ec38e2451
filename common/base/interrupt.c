/* interrupt: a polite stop. */
#include "common/base/interrupt.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

static volatile sig_atomic_t received;
static bool pipe_ignored; /* before interrupt_init() */

static void on_signal(int signal) {
    received = signal;
}

void interrupt_init(void) {
    signal(SIGXFSZ, SIG_IGN); /* a write past the file size limit then fails like one on a full disk */
    pipe_ignored = signal(SIGPIPE, SIG_IGN) == SIG_IGN; /* and one to a closed pipe too */
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction old, action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_RESETHAND};
        sigemptyset(&action.sa_mask);
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

int interrupt_signal(void) {
    return received;
}

void interrupt_raise_pipe(void) {
    if (pipe_ignored)
        return;
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
}
