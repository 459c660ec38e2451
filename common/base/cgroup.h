/* cgroup: how much of the machine the control groups (Linux cgroups, version 1 and 2) leave to this process. */
#ifndef COMMON_BASE_CGROUP_H
#define COMMON_BASE_CGROUP_H

#include <stddef.h>

/* A limit of memory leaves what is not in use, and what can be dropped at once. */
struct cgroup_limits {
    double processors;    /* the smallest quota of processor time; infinite: none */
    size_t memory_nbytes; /* the least that a limit leaves; SIZE_MAX: no limit */
};

/* Reads the limits of the process's own groups and of all groups above them. `root` is a folder before all paths: ""
 * for this machine's own files (a test has others). What cannot be read does not limit. */
struct cgroup_limits cgroup_read(const char *root);

#endif
