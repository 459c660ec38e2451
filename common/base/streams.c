/* streams: standard input, output and error. */
#include "common/base/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STREAMS = 3 };

static bool was_closed[STREAMS];

void streams_init(void) {
    static const int wrong[STREAMS] = {
        [STDIN_FILENO] = O_WRONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_RDONLY};
    for (int fd = 0; fd < STREAMS; fd++) {
        was_closed[fd] = fcntl(fd, F_GETFD) == -1 && errno == EBADF;
        /* The lowest number that is free is this one. /dev/null is somebody's --json=/dev/null. */
        if (was_closed[fd] && open("/dev/full", wrong[fd]) < 0)
            (void)!open("/dev/null", wrong[fd]);
    }
}

static bool leads_to(const struct stat *named, int fd) {
    struct stat opened;
    return fstat(fd, &opened) == 0 && opened.st_dev == named->st_dev && opened.st_ino == named->st_ino &&
           (!S_ISCHR(opened.st_mode) || was_closed[fd] || isatty(fd));
}

enum streams streams_of(const char *path) {
    struct stat named;
    if (path != NULL && strcmp(path, "-") == 0)
        return STREAMS_OUTPUT;
    if (path == NULL || stat(path, &named) != 0)
        return STREAMS_NONE;
    return leads_to(&named, STDOUT_FILENO)   ? STREAMS_OUTPUT
           : leads_to(&named, STDERR_FILENO) ? STREAMS_ERROR
                                             : STREAMS_NONE;
}

bool streams_same(const char *a, const char *b) {
    enum streams first = streams_of(a);
    return first != STREAMS_NONE && first == streams_of(b);
}

/* Whether what standard output leads to has no other end any more. */
static bool is_pipe_closed(void) {
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

enum status streams_flush(void) {
    int reason = fflush(stdout) != 0 ? errno : ferror(stdout) ? EIO : 0;
    if (reason == 0)
        return STATUS_OK;
    if (is_pipe_closed()) /* errno tells nothing of a write before this one */
        reason = EPIPE;
    errno = reason;
    enum status status = status_set_errno("standard output: cannot write");
    return reason == EPIPE ? STATUS_PIPE : status;
}
