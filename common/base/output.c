/* output: files that appear whole or not at all. */
#include "common/base/output.h"
#include "common/base/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

enum { LINKS_MAX = 40, TRIES = 1000, REMEMBERED = 32 };

/* A device, a pipe or a folder: a rename would put a file in its place. */
static bool is_special(const char *path) {
    struct stat found;
    return stat(path, &found) == 0 && !S_ISREG(found.st_mode);
}

char *output_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* ---- links ---- */

/* Whether a link is /proc's word for an open descriptor: there, its text is for people. */
static bool is_descriptor(const char *path) {
    struct statfs system;
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    bool found = fd >= 0 && fstatfs(fd, &system) == 0 && system.f_type == PROC_SUPER_MAGIC;
    if (fd >= 0)
        close(fd);
    return found;
}

/* Where the link `path` with such a text leads to, from malloc(). */
static char *follow(const char *path, const char *text) {
    const char *slash = text[0] == '/' ? NULL : strrchr(path, '/');
    char *next = NULL;
    int folder = slash == NULL ? 0 : (int)(slash + 1 - path);
    return asprintf(&next, "%.*s%s", folder, path, text) < 0 ? NULL : next;
}

enum status output_target(char **target_ret, const char *path) {
    char text[PATH_MAX];
    char *at = strdup(path);
    for (int links = 0; at != NULL && links < LINKS_MAX; links++) {
        ssize_t length = readlink(at, text, sizeof text - 1);
        if (length < 0 || is_descriptor(at)) {
            *target_ret = at;
            return STATUS_OK;
        }
        text[length] = '\0';
        char *next = follow(at, text);
        free(at);
        at = next;
    }
    if (at == NULL)
        return status_set_no_memory(strlen(path) + 1, path);
    free(at);
    errno = ELOOP;
    return status_set_errno("%s: cannot be written", path);
}

void output_remove(const char *path) {
    char *target = NULL;
    if (output_target(&target, path) == STATUS_OK)
        unlink(target);
    free(target);
}

/* ---- temporary files ---- */

static const char *volatile remembered[REMEMBERED]; /* those that are there */

static void replace_remembered(const char *old, const char *new) {
    for (size_t i = 0; i < REMEMBERED; i++)
        if (remembered[i] == old) {
            remembered[i] = new;
            return;
        }
}

void output_remove_temporaries(void) {
    for (size_t i = 0; i < REMEMBERED; i++)
        if (remembered[i] != NULL)
            unlink(remembered[i]);
}

/* Bytes of a name that leave room for `more` in its folder's file system, at the end of a character. */
static size_t cut_name(const char *target, const char *name, size_t more) {
    char *folder = output_folder(target);
    long most = folder != NULL ? pathconf(folder, _PC_NAME_MAX) : -1;
    size_t length = strlen(name), room = most > 0 ? (size_t)most : NAME_MAX;
    room = room > more ? room - more : 1;
    free(folder);
    if (length <= room)
        return length;
    for (length = room; length > 0 && ((unsigned char)name[length] & 0xC0) == 0x80; length--)
        ;
    return length;
}

/* Makes a file that was not there beside `target`: NAME.XXXXXX.partial. Its descriptor, or -1 with errno. */
static int create_temporary(const char *target, mode_t mode, char **partial_ret) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789", pattern[] = ".XXXXXX.partial";
    const char *slash = strrchr(target, '/'), *name = slash == NULL ? target : slash + 1;
    if (*name == '\0') { /* what is made for it could have no name in the end */
        errno = ENOENT;
        return -1;
    }
    int kept = (int)(name - target + (ptrdiff_t)cut_name(target, name, strlen(pattern)));
    for (int tries = 0; tries < TRIES; tries++) {
        struct timespec now;
        char *partial = NULL;
        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t number =
            ((uint64_t)getpid() << 32) + (uint64_t)now.tv_nsec + (uint64_t)now.tv_sec * 1000003u;
        if (asprintf(&partial, "%.*s%s", kept, target, pattern) < 0) {
            errno = ENOMEM;
            return -1;
        }
        number = (number + (uint64_t)tries) * 0x9E3779B97F4A7C15u; /* its high bits mix all of it */
        for (char *at = partial + kept + 1; *at == 'X'; at++) {
            *at = letters[(number >> 40) % 36];
            number = number * 6364136223846793005u + 1;
        }
        int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd >= 0) {
            replace_remembered(NULL, partial);
            *partial_ret = partial;
            return fd;
        }
        free(partial);
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

/* The names in *output, of which nothing is made yet. */
static enum status name_output(struct output *output, const char *path) {
    *output = (struct output){.path = strdup(path)};
    return output->path == NULL ? status_set_no_memory(strlen(path) + 1, path)
                                : output_target(&output->target, path);
}

static enum status fail_to_create(const struct output *output) {
    bool link = strcmp(output->path, output->target) != 0;
    return status_set_errno("%s%s%s: cannot create the file", output->path, link ? " -> " : "",
                            link ? output->target : "");
}

/* Makes the temporary file. Its descriptor, or -1 with errno. */
static int reserve(struct output *output) {
    struct stat old;
    /* At no time may anybody read it who could not read the file that it replaces. */
    bool found = stat(output->target, &old) == 0, replaces = found && S_ISREG(old.st_mode);
    if (!found && errno == ENAMETOOLONG) /* the temporary name may not be */
        return -1;
    mode_t mode = replaces ? (old.st_mode & 0777) | S_IRUSR | S_IWUSR : 0666;
    return create_temporary(output->target, mode, &output->partial);
}

enum status output_reserve(struct output *output, const char *path) {
    enum status status = name_output(output, path);
    int fd = status == STATUS_OK ? reserve(output) : -1;
    if (fd >= 0)
        close(fd);
    else if (status == STATUS_OK)
        status = fail_to_create(output);
    if (status != STATUS_OK)
        output_abort(output);
    return status;
}

/* ---- streams ---- */

enum status output_open(struct output *output, const char *path) {
    enum streams which = streams_of(path);
    int fd = -1;
    if (which == STREAMS_OUTPUT) {
        *output = (struct output){.stream = stdout, .standard = true};
        return STATUS_OK;
    }
    enum status status = name_output(output, path);
    if (status == STATUS_OK && which == STREAMS_ERROR) /* where it is, behind what stands there */
        fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    else if (status == STATUS_OK && (is_special(output->target) || is_descriptor(output->target)))
        fd = open(output->target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    else if (status == STATUS_OK)
        fd = reserve(output);
    output->stream = fd < 0 ? NULL : fdopen(fd, "w");
    if (status == STATUS_OK && output->stream == NULL)
        status = fail_to_create(output);
    if (status != STATUS_OK && fd >= 0)
        close(fd);
    if (status != STATUS_OK)
        output_abort(output);
    return status;
}

enum status output_check(const struct output *output) {
    if (output->standard)
        return streams_flush();
    if (fflush(output->stream) == 0 && !ferror(output->stream))
        return STATUS_OK;
    return status_set_errno("%s: cannot write", output->path);
}

/* ---- the end ---- */

/* The name itself is only safe once the folder is on the disk. */
static void sync_folder_of(const char *path) {
    char *folder = output_folder(path);
    int fd = folder == NULL ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd); /* some file systems refuse this; the rename stands all the same */
        close(fd);
    }
    free(folder);
}

/* Gives an open file the owner and permissions of the one that it replaces, as far as we may. */
static void keep_permissions(int fd, const char *path) {
    struct stat old;
    if (stat(path, &old) != 0)
        return;
    if (fchown(fd, old.st_uid, old.st_gid) != 0) /* others' files cannot be given back */
        (void)!fchown(fd, (uid_t)-1, old.st_gid);
    (void)fchmod(fd, old.st_mode & 0777);
}

enum status output_publish(const char *partial, const char *target) {
    if (is_special(target))
        return status_set(STATUS_IO, "%s: not a regular file; choose another name", target);
    int fd = open(partial, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return status_set_errno("%s: cannot open the file just written", partial);
    keep_permissions(fd, target);
    int failed = fsync(fd);
    int saved = errno;
    close(fd);
    errno = saved;
    if (failed)
        return status_set_errno("%s: cannot write to the disk", partial);
    if (rename(partial, target) != 0)
        return status_set_errno("%s: cannot rename the finished file to %s", partial, target);
    sync_folder_of(target);
    return STATUS_OK;
}

enum status output_commit(struct output *output) {
    enum status status = output->stream != NULL ? output_check(output) : STATUS_OK;
    if (output->stream != NULL && !output->standard) {
        if (fclose(output->stream) != 0 && status == STATUS_OK)
            status = status_set_errno("%s: cannot write", output->path);
        output->stream = NULL;
    }
    if (status == STATUS_OK && output->partial != NULL)
        status = output_publish(output->partial, output->target);
    if (status == STATUS_OK && output->partial != NULL) { /* nothing left to remove */
        replace_remembered(output->partial, NULL);
        free(output->partial);
        output->partial = NULL;
    }
    output_abort(output);
    return status;
}

void output_abort(struct output *output) {
    if (output->stream != NULL && !output->standard)
        fclose(output->stream);
    if (output->partial != NULL) {
        unlink(output->partial);
        replace_remembered(output->partial, NULL);
    }
    free(output->partial);
    free(output->target);
    free(output->path);
    *output = (struct output){0};
}
