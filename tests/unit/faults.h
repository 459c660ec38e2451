/* faults: the system calls that write files. Each of them can be made to fail, or to be the moment of a SIGKILL.
 * They are functions of the same names in the test's program, and the libraries then use these. Only one file of a
 * program includes this. */
#ifndef TESTS_UNIT_FAULTS_H
#define TESTS_UNIT_FAULTS_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum fault { FAULT_NONE, FAULT_FAIL, FAULT_FAIL_FOR_GOOD, FAULT_KILL };

static enum fault fault;
static long countdown, calls;

/* Whether the call that is about to be made shall fail; or no return at all. */
static bool strikes(void) {
    calls++;
    if (fault == FAULT_NONE || countdown == 0 || --countdown > 0)
        return false;
    if (fault == FAULT_KILL)
        raise(SIGKILL);
    if (fault == FAULT_FAIL_FOR_GOOD)
        countdown = 1;
    errno = ENOSPC;
    return true;
}

ssize_t pwrite64(int fd, const void *data, size_t nbytes, off64_t offset) {
    return strikes() ? -1 : syscall(SYS_pwrite64, fd, data, nbytes, offset);
}

ssize_t pwrite(int fd, const void *data, size_t nbytes, off_t offset) {
    return strikes() ? -1 : syscall(SYS_pwrite64, fd, data, nbytes, offset);
}

int ftruncate64(int fd, off64_t nbytes) {
    return strikes() ? -1 : (int)syscall(SYS_ftruncate, fd, nbytes);
}

int ftruncate(int fd, off_t nbytes) {
    return strikes() ? -1 : (int)syscall(SYS_ftruncate, fd, nbytes);
}

int fsync(int fd) {
    return strikes() ? -1 : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to) {
    return strikes() ? -1 : (int)syscall(SYS_rename, from, to);
}

#endif
