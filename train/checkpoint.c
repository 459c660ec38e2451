/* checkpoint: the state of a fit in a file. */
#include "train/checkpoint.h"
#include "common/h5.h"
#include "common/mem.h"
#include "common/output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SETTINGS_NBYTES = 1 << 15, COLUMNS = 7, ARRAYS = 8 };

static const char format_name[] = "vggcache-checkpoint";

/* One array of a head's state; those that the fit does not need are NULL. */
struct array {
    const char *name;
    float *values;
    size_t count;
};

static void arrays_of(const struct learner *learner, struct array arrays[ARRAYS]) {
    const struct head *head = learner->head;
    size_t weights = head_weights(head), columns = head->columns;
    const struct array all[ARRAYS] = {
        {"kernel", head->kernel, weights},
        {"bias", head->bias, columns},
        {"kernel_moment_1", learner->kernel_optim.slots[0], weights},
        {"kernel_moment_2", learner->kernel_optim.slots[1], weights},
        {"bias_moment_1", learner->bias_optim.slots[0], columns},
        {"bias_moment_2", learner->bias_optim.slots[1], columns},
        {"best_kernel", learner->patience.kernel, weights},
        {"best_bias", learner->patience.bias, columns},
    };
    memcpy(arrays, all, sizeof all);
}

static void to_columns(const struct fit_epoch *epoch, double columns[COLUMNS]) {
    const double all[COLUMNS] = {(double)epoch->epoch, epoch->loss,    epoch->accuracy,     epoch->val_loss,
                                 epoch->val_accuracy,  epoch->seconds, epoch->learning_rate};
    memcpy(columns, all, sizeof all);
}

/* The epochs of a head's history, with that in which it diverged. */
static size_t history_rows(const struct fit_head *head) {
    return head->diverged > 0 ? head->diverged : head->done;
}

static enum status write_head(hid_t file, size_t index, const struct fit_head *head,
                              const struct learner *learner) {
    char name[32];
    hid_t group = H5I_INVALID_HID;
    size_t rows = history_rows(head);
    const hsize_t dims[2] = {rows, COLUMNS};
    struct array arrays[ARRAYS];
    double *history = mem_alloc(rows, COLUMNS * sizeof *history);
    if (history == NULL)
        return status_set_no_memory(rows * COLUMNS * sizeof *history, "the history");
    for (size_t i = 0; i < rows; i++)
        to_columns(&head->history[i], history + i * COLUMNS);
    snprintf(name, sizeof name, "head_%zu", index);
    enum status status = h5_create_group(&group, file, name);
    if (status == STATUS_OK)
        status = h5_write_whole(group, "done", head->done);
    if (status == STATUS_OK)
        status = h5_write_whole(group, "diverged", head->diverged);
    if (status == STATUS_OK)
        status = h5_write_whole(group, "over", learner->over);
    if (status == STATUS_OK)
        status = h5_write_whole(group, "waited", learner->patience.waited);
    if (status == STATUS_OK)
        status = h5_write_real(group, "lowest", learner->patience.lowest);
    if (status == STATUS_OK)
        status = h5_write_dataset(group, "history", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 2, dims, history);
    arrays_of(learner, arrays);
    for (size_t i = 0; i < ARRAYS && status == STATUS_OK; i++) {
        const hsize_t count = arrays[i].count;
        if (arrays[i].values != NULL)
            status = h5_write_dataset(group, arrays[i].name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 1, &count,
                                      arrays[i].values);
    }
    h5_close(&group);
    mem_free(history);
    return status;
}

enum status checkpoint_write(const struct checkpoint *checkpoint, size_t epoch, const struct fit_head heads[],
                             const struct learner learners[], size_t count) {
    hid_t file = H5I_INVALID_HID;
    char *partial = output_partial_path(checkpoint->path);
    if (partial == NULL)
        return status_set_no_memory(strlen(checkpoint->path), checkpoint->path);
    enum status status = h5_create(&file, partial);
    if (status == STATUS_OK)
        status = h5_write_string(file, "format", format_name);
    if (status == STATUS_OK)
        status = h5_write_whole(file, "format_version", 1);
    if (status == STATUS_OK)
        status = h5_write_string(file, "settings", checkpoint->settings);
    if (status == STATUS_OK)
        status = h5_write_whole(file, "epoch", epoch);
    if (status == STATUS_OK)
        status = h5_write_whole(file, "heads", count);
    for (size_t h = 0; h < count && status == STATUS_OK; h++)
        status = write_head(file, h, &heads[h], &learners[h]);
    return h5_finish(status, &file, partial, checkpoint->path);
}

static enum status read_array(hid_t group, const char *name, hid_t type, int rank, const hsize_t dims[],
                              void *values) {
    hid_t dataset = H5I_INVALID_HID;
    hsize_t found[8] = {0};
    int found_rank = 0;
    char where[512];
    enum status status = h5_open_dataset(&dataset, group, name);
    if (status == STATUS_OK)
        status = h5_dataset_shape(dataset, &found_rank, found);
    if (status == STATUS_OK && (found_rank != rank || memcmp(found, dims, (size_t)rank * sizeof *dims) != 0))
        status = status_set(STATUS_FORMAT, "%s is not of the shape of this fit; remove the checkpoint",
                            h5_name(dataset, where));
    if (status == STATUS_OK)
        status = h5_read_rows(dataset, type, 0, dims[0], values);
    h5_close(&dataset);
    return status;
}

static enum status read_history(hid_t group, struct fit_head *head) {
    size_t rows = history_rows(head);
    const hsize_t dims[2] = {rows, COLUMNS};
    double *history = mem_alloc(rows, COLUMNS * sizeof *history);
    if (history == NULL)
        return status_set_no_memory(rows * COLUMNS * sizeof *history, "the history");
    enum status status = read_array(group, "history", H5T_NATIVE_DOUBLE, 2, dims, history);
    for (size_t i = 0; i < rows && status == STATUS_OK; i++) {
        const double *row = history + i * COLUMNS;
        head->history[i] = (struct fit_epoch){i + 1, row[1], row[2], row[3], row[4], row[5], row[6]};
    }
    mem_free(history);
    return status;
}

static enum status read_head(hid_t file, size_t index, size_t epoch, struct fit_head *head,
                             struct learner *learner) {
    char name[32], where[512];
    uint64_t done = 0, diverged = 0, over = 0, waited = 0;
    hid_t group = H5I_INVALID_HID;
    struct array arrays[ARRAYS];
    snprintf(name, sizeof name, "head_%zu", index);
    enum status status = h5_open_group(&group, file, name);
    if (status == STATUS_OK)
        status = h5_read_whole(group, "done", &done);
    if (status == STATUS_OK)
        status = h5_read_whole(group, "diverged", &diverged);
    if (status == STATUS_OK)
        status = h5_read_whole(group, "over", &over);
    if (status == STATUS_OK)
        status = h5_read_whole(group, "waited", &waited);
    if (status == STATUS_OK)
        status = h5_read_real(group, "lowest", &learner->patience.lowest);
    /* A head that goes on has done all epochs; one that is over, some. */
    bool sound = diverged > 0 ? over && done == diverged - 1 : done > 0 && (over || done == epoch);
    if (status == STATUS_OK && (done > epoch || diverged > epoch || !sound))
        status = status_set(STATUS_FORMAT, "%s: %" PRIu64 " epochs of %zu; remove the checkpoint",
                            h5_name(group, where), done, epoch);
    if (status == STATUS_OK) {
        head->done = done;
        head->diverged = diverged;
        learner->over = over != 0;
        learner->patience.waited = waited;
        status = read_history(group, head);
    }
    arrays_of(learner, arrays);
    for (size_t i = 0; i < ARRAYS && status == STATUS_OK; i++) {
        const hsize_t count = arrays[i].count;
        if (arrays[i].values != NULL)
            status = read_array(group, arrays[i].name, H5T_NATIVE_FLOAT, 1, &count, arrays[i].values);
    }
    h5_close(&group);
    return status;
}

/* The next line of *text, which is moved behind it; its length, without its end, or 0 when there is none. */
static size_t next_line(const char **text, const char **line_ret) {
    size_t length = strcspn(*text, "\n");
    *line_ret = *text;
    *text += length + ((*text)[length] == '\n');
    return length;
}

/* All settings that differ, in one message; both lists have the same names in the same order, unless another
 * version wrote one of them. */
static enum status check_settings(const struct checkpoint *checkpoint, const char *found) {
    enum { SHOWN = 120 }; /* bytes of a line */
    const char *ours = checkpoint->settings, *theirs = found, *want, *have;
    char list[900] = "";
    while (*ours != '\0' || *theirs != '\0') {
        size_t want_length = next_line(&ours, &want), have_length = next_line(&theirs, &have);
        if (want_length == have_length && memcmp(want, have, want_length) == 0)
            continue;
        const char *equals = memchr(want, '=', want_length);
        if (equals != NULL) {
            want_length -= (size_t)(equals + 1 - want);
            want = equals + 1;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s %.*s there, %.*s here", used > 0 ? ";" : "",
                 (int)(have_length < SHOWN ? have_length : SHOWN), have,
                 (int)(want_length < SHOWN ? want_length : SHOWN), want);
    }
    if (list[0] == '\0')
        return STATUS_OK;
    return status_set(STATUS_MISMATCH,
                      "%s: the checkpoint of another fit:%s; remove it, or name another file with "
                      "--checkpoint",
                      checkpoint->path, list);
}

static enum status read_attributes(hid_t file, const struct checkpoint *checkpoint, char *settings,
                                   uint64_t *epoch_ret, uint64_t *heads_ret) {
    char format[64] = "";
    uint64_t version = 0;
    if (!h5_has_attribute(file, "format") ||
        h5_read_string(file, "format", format, sizeof format) != STATUS_OK ||
        strcmp(format, format_name) != 0)
        return status_set(STATUS_FORMAT,
                          "%s: is there and no checkpoint; name another file with --checkpoint",
                          checkpoint->path);
    enum status status = h5_read_whole(file, "format_version", &version);
    if (status == STATUS_OK && version != 1)
        status = status_set(STATUS_FORMAT, "%s: checkpoint format %" PRIu64 ", and this program knows 1 only",
                            checkpoint->path, version);
    if (status == STATUS_OK)
        status = h5_read_string(file, "settings", settings, SETTINGS_NBYTES);
    if (status == STATUS_OK)
        status = check_settings(checkpoint, settings);
    if (status == STATUS_OK)
        status = h5_read_whole(file, "epoch", epoch_ret);
    if (status == STATUS_OK)
        status = h5_read_whole(file, "heads", heads_ret);
    return status;
}

enum status checkpoint_read(const struct checkpoint *checkpoint, size_t epochs, size_t *epoch_ret,
                            struct fit_head heads[], struct learner learners[], size_t count) {
    hid_t file = H5I_INVALID_HID;
    uint64_t epoch = 0, head_count = 0;
    *epoch_ret = 0;
    if (access(checkpoint->path, F_OK) != 0)
        return STATUS_OK;
    char *settings = mem_alloc(SETTINGS_NBYTES, 1);
    enum status status = settings == NULL ? status_set_no_memory(SETTINGS_NBYTES, checkpoint->path)
                                          : h5_open(&file, checkpoint->path, false);
    if (status == STATUS_OK)
        status = read_attributes(file, checkpoint, settings, &epoch, &head_count);
    if (status == STATUS_OK && (epoch < 1 || epoch > epochs || head_count != count))
        status = status_set(STATUS_FORMAT, "%s: damaged; remove the checkpoint", checkpoint->path);
    size_t lost = 0;
    for (size_t h = 0; h < count && status == STATUS_OK; h++) {
        status = read_head(file, h, epoch, &heads[h], &learners[h]);
        lost += heads[h].diverged > 0;
    }
    if (status == STATUS_OK && lost == count) /* such a fit ends, and leaves no checkpoint */
        status = status_set(STATUS_FORMAT, "%s: damaged; remove the checkpoint", checkpoint->path);
    if (status == STATUS_OK)
        *epoch_ret = epoch;
    h5_close(&file);
    mem_free(settings);
    return status;
}
