/* output: files that appear whole or not at all. */
#include "common/base/output.h"
#include "common/base/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A device, a pipe or a folder: a rename would put a file in its place. */
static bool is_special(const char *path) {
    struct stat found;
    return stat(path, &found) == 0 && !S_ISREG(found.st_mode);
}

char *output_partial_path(const char *path) {
    char *partial = NULL;
    return asprintf(&partial, "%s.partial", path) < 0 ? NULL : partial;
}

enum status output_open(struct output *output, const char *path) {
    enum streams which = streams_of(path);
    *output = (struct output){.standard = which == STREAMS_OUTPUT};
    if (output->standard) {
        output->stream = stdout;
        return STATUS_OK;
    }
    struct stat found;
    bool link = lstat(path, &found) == 0 && S_ISLNK(found.st_mode); /* as /dev/stdout is one */
    bool direct = link || is_special(path) || which == STREAMS_ERROR;
    output->path = strdup(path);
    output->partial = direct ? NULL : output_partial_path(path);
    if (output->path == NULL || (!direct && output->partial == NULL)) {
        output_abort(output);
        return status_set_no_memory(strlen(path) + 1, path);
    }
    if (which == STREAMS_ERROR) { /* where it is, behind what stands there */
        int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
        output->stream = fd < 0 ? NULL : fdopen(fd, "w");
    } else {
        output->stream = fopen(direct ? path : output->partial, "w");
    }
    if (output->stream == NULL) {
        enum status status = status_set_errno("%s: cannot create the file", path);
        output_abort(output);
        return status;
    }
    return STATUS_OK;
}

char *output_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

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

enum status output_publish(const char *partial, const char *path) {
    if (is_special(path))
        return status_set(STATUS_IO, "%s: not a regular file; choose another name", path);
    int fd = open(partial, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return status_set_errno("%s: cannot open the file just written", partial);
    int failed = fsync(fd);
    int saved = errno;
    close(fd);
    errno = saved;
    if (failed)
        return status_set_errno("%s: cannot write to the disk", partial);
    if (rename(partial, path) != 0)
        return status_set_errno("%s: cannot rename the finished file to %s", partial, path);
    sync_folder_of(path);
    return STATUS_OK;
}

enum status output_check(const struct output *output) {
    if (output->standard)
        return streams_flush();
    if (fflush(output->stream) == 0 && !ferror(output->stream))
        return STATUS_OK;
    return status_set_errno("%s: cannot write", output->path);
}

enum status output_commit(struct output *output) {
    enum status status = output_check(output);
    if (!output->standard) {
        if (fclose(output->stream) != 0 && status == STATUS_OK)
            status = status_set_errno("%s: cannot write", output->path);
        output->stream = NULL;
        if (status == STATUS_OK && output->partial != NULL)
            status = output_publish(output->partial, output->path);
        if (status == STATUS_OK)
            free(output->partial), output->partial = NULL; /* nothing left to remove */
    }
    output_abort(output);
    return status;
}

void output_abort(struct output *output) {
    if (output->stream != NULL && !output->standard)
        fclose(output->stream);
    if (output->partial != NULL)
        unlink(output->partial);
    free(output->partial);
    free(output->path);
    *output = (struct output){0};
}
