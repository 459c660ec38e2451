/* cgroup: how much of the machine the control groups leave to this process.
 *
 * /proc/self/cgroup names the group in each hierarchy, as "4:memory:/a/b" (version 1: controllers by name) or
 * "0::/a/b" (version 2). /proc/self/mountinfo says where a hierarchy is mounted, and which group is the mount's root;
 * in a container this is often not "/". The limits of a group and of each group above it hold together.
 *
 *     version 2   cpu.max "QUOTA PERIOD", "max" for none; memory.max, memory.high; memory.current
 *     version 1   cpu.cfs_quota_us, -1 for none, cpu.cfs_period_us; memory.limit_in_bytes; memory.usage_in_bytes
 *
 * (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of Linux; proc(5).) */
#include "common/base/cgroup.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The files of one version, and how its hierarchies are mounted. `dropped` is the line of memory.stat for the memory
 * that the kernel drops first. */
static const struct version {
    const char *filesystem, *usage, *dropped;
    const char *limits[2];
} versions[] = {
    {"cgroup", "memory.usage_in_bytes", "total_inactive_file", {"memory.limit_in_bytes", NULL}},
    {"cgroup2", "memory.current", "inactive_file", {"memory.max", "memory.high"}},
};

/* Reads the first line of FOLDER/NAME into text[size]; false when there is none. */
static bool read_line(const char *folder, const char *name, char *text, int size) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    FILE *file = fopen(path, "re");
    bool found = file != NULL && fgets(text, size, file) != NULL;
    if (file != NULL)
        fclose(file);
    return found;
}

/* Reads a number of bytes; false for "max" and when there is none. */
static bool read_nbytes(const char *folder, const char *name, uint64_t *nbytes_ret) {
    char line[64], *end = line;
    if (!read_line(folder, name, line, sizeof line))
        return false;
    *nbytes_ret = strtoull(line, &end, 10);
    return end != line && line[0] != '-';
}

/* The memory that the kernel drops before it is short of memory: files read once, such as a cache. */
static uint64_t dropped_nbytes(const char *folder, const char *name) {
    char path[PATH_MAX], line[128];
    unsigned long long nbytes = 0;
    size_t length = strlen(name);
    if (snprintf(path, sizeof path, "%s/memory.stat", folder) >= (int)sizeof path)
        return 0;
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, length) == 0 && line[length] == ' ')
            nbytes = strtoull(line + length, NULL, 10);
    if (file != NULL)
        fclose(file);
    return nbytes;
}

static void apply_memory(const struct version *version, const char *folder, struct cgroup_limits *limits) {
    uint64_t limit, used = 0;
    for (size_t i = 0; i < 2 && version->limits[i] != NULL; i++) {
        if (!read_nbytes(folder, version->limits[i], &limit))
            continue;
        (void)read_nbytes(folder, version->usage, &used);
        uint64_t dropped = dropped_nbytes(folder, version->dropped);
        used = used > dropped ? used - dropped : 0;
        uint64_t left = limit > used ? limit - used : 0;
        if (left < limits->memory_nbytes)
            limits->memory_nbytes = (size_t)left;
    }
}

static void apply_processors(const char *folder, struct cgroup_limits *limits) {
    char line[64], period_line[64];
    double quota = -1, period = -1;
    if (read_line(folder, "cpu.max", line, sizeof line)) {
        if (sscanf(line, "%lf %lf", &quota, &period) != 2)
            return; /* "max 100000" */
    } else if (read_line(folder, "cpu.cfs_quota_us", line, sizeof line) &&
               read_line(folder, "cpu.cfs_period_us", period_line, sizeof period_line)) {
        quota = strtod(line, NULL);
        period = strtod(period_line, NULL);
    }
    if (quota > 0 && period > 0)
        limits->processors = fmin(limits->processors, quota / period);
}

/* Replaces the octal escapes of mountinfo ("\040" is a space), in place. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        unsigned code;
        if (*from == '\\' && sscanf(from, "\\%3o", &code) == 1) {
            *to++ = (char)code;
            from += 3;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

/* Whether a word is in a list with commas. */
static bool lists(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length)
        if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
            return true;
    return false;
}

/* A hierarchy's mount: its place, and the group that is its root. */
struct mount {
    char point[PATH_MAX], root[PATH_MAX];
};

/* Finds the mount of a version's hierarchy with a controller ("" for version 2). */
static bool find_mount(const char *top, const struct version *version, const char *controller,
                       struct mount *mount) {
    char path[PATH_MAX], *line = NULL;
    size_t size = 0;
    bool found = false;
    snprintf(path, sizeof path, "%.*s/proc/self/mountinfo", PATH_MAX - 32, top);
    FILE *file = fopen(path, "re");
    while (file != NULL && !found && getline(&line, &size, file) > 0) {
        char type[64] = "", options[512] = "";
        const char *rest = strstr(line, " - ");
        if (rest == NULL || sscanf(rest, " - %63s %*s %511s", type, options) != 2 ||
            sscanf(line, "%*s %*s %*s %4095s %4095s", mount->root, mount->point) != 2)
            continue;
        found = strcmp(type, version->filesystem) == 0 && (*controller == '\0' || lists(options, controller));
    }
    free(line);
    if (file != NULL)
        fclose(file);
    unescape(mount->root);
    unescape(mount->point);
    return found;
}

/* Applies the limits of a group and of all groups above it that the mount shows. */
static void apply_group(const char *top, const struct version *version, const struct mount *mount,
                        const char *group, const char *controller, struct cgroup_limits *limits) {
    char folder[2 * PATH_MAX];
    size_t root = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);
    bool below = strncmp(group, mount->root, root) == 0 && (group[root] == '/' || group[root] == '\0');
    size_t base = (size_t)snprintf(folder, sizeof folder, "%s%s", top, mount->point);
    size_t length =
        base + (size_t)snprintf(folder + base, sizeof folder - base, "%s", below ? group + root : "");
    if (length >= sizeof folder)
        return;
    for (;;) {
        if (strcmp(controller, "cpu") != 0)
            apply_memory(version, folder, limits);
        if (strcmp(controller, "memory") != 0)
            apply_processors(folder, limits);
        while (length > base && folder[length - 1] != '/')
            length--;
        if (length <= base)
            return;
        folder[--length] = '\0';
    }
}

struct cgroup_limits cgroup_read(const char *root) {
    struct cgroup_limits limits = {INFINITY, SIZE_MAX};
    static const char *const controllers[] = {"memory", "cpu"};
    char path[PATH_MAX], *line = NULL;
    size_t size = 0;
    struct mount mount;
    snprintf(path, sizeof path, "%.*s/proc/self/cgroup", PATH_MAX - 32, root);
    FILE *file = fopen(path, "re");
    while (file != NULL && getline(&line, &size, file) > 0) {
        char *list = strchr(line, ':'), *group = list != NULL ? strchr(list + 1, ':') : NULL;
        if (group == NULL)
            continue;
        list++;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        if (*list == '\0' && find_mount(root, &versions[1], "", &mount))
            apply_group(root, &versions[1], &mount, group, "", &limits);
        for (size_t i = 0; i < 2; i++)
            if (lists(list, controllers[i]) && find_mount(root, &versions[0], controllers[i], &mount))
                apply_group(root, &versions[0], &mount, group, controllers[i], &limits);
    }
    free(line);
    if (file != NULL)
        fclose(file);
    return limits;
}
