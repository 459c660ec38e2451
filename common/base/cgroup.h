/* cgroup: what the control groups of this process (Linux cgroups, version 1 and 2) leave it of the machine.
 */
#ifndef COMMON_BASE_CGROUP_H
#define COMMON_BASE_CGROUP_H

#include <stddef.h>

struct cgroup_limits {
    double processors;    /* the smallest quota of processor time; infinite: none */
    size_t memory_nbytes; /* the least that a limit leaves: limit less what is in use and cannot be dropped at
                             once; SIZE_MAX: no limit */
};

/* Reads the limits of the process's own groups and of all above them, below the folder `root`: "" for this
 * machine's own files (a test has others). What cannot be read limits nothing. */
struct cgroup_limits cgroup_read(const char *root);

#endif
