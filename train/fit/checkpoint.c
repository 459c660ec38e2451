/* checkpoint: the state of a fit in a file. */
#include "train/fit/checkpoint.h"
#include "common/base/digest.h"
#include "common/base/h5.h"
#include "common/base/mem.h"
#include "common/base/output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SETTINGS_NBYTES = 1 << 15, VERSION = 2, COLUMNS = 7, FIELDS_MAX = 16 };

static const char format_name[] = "vggcache-checkpoint";

/* ---- groups: a history and what stands beside it ---- */

static const size_t field_nbytes[] = {[CHECKPOINT_WHOLE] = sizeof(uint64_t),
                                      [CHECKPOINT_REAL] = sizeof(double),
                                      [CHECKPOINT_FLOATS] = sizeof(float),
                                      [CHECKPOINT_DOUBLES] = sizeof(double)};

/* Over the history and all fields, so that damage on the disk is noticed. */
static uint32_t group_crc(const double *history, size_t rows, const struct checkpoint_field fields[],
                          size_t count) {
    uint32_t crc = digest_crc32c(0, history, rows * COLUMNS * sizeof *history);
    for (size_t i = 0; i < count; i++)
        if (fields[i].at != NULL)
            crc = digest_crc32c(crc, fields[i].at, fields[i].count * field_nbytes[fields[i].type]);
    return crc;
}

static void to_columns(const struct fit_epoch *epoch, double columns[COLUMNS]) {
    const double all[COLUMNS] = {(double)epoch->epoch, epoch->loss,    epoch->accuracy,     epoch->val_loss,
                                 epoch->val_accuracy,  epoch->seconds, epoch->learning_rate};
    memcpy(columns, all, sizeof all);
}

static enum status write_field(hid_t group, const struct checkpoint_field *field) {
    const hsize_t count = field->count;
    switch (field->type) {
    case CHECKPOINT_WHOLE:
        return h5_write_whole(group, field->name, *(const uint64_t *)field->at);
    case CHECKPOINT_REAL:
        return h5_write_real(group, field->name, *(const double *)field->at);
    case CHECKPOINT_FLOATS:
        return h5_write_dataset(group, field->name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, 1, &count, field->at);
    default:
        return h5_write_dataset(group, field->name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, &count, field->at);
    }
}

static enum status write_group(hid_t file, const char *name, const struct fit_epoch history[], size_t rows,
                               const struct checkpoint_field fields[], size_t count) {
    hid_t group = H5I_INVALID_HID;
    const hsize_t dims[2] = {rows, COLUMNS};
    double *columns = mem_alloc(rows, COLUMNS * sizeof *columns);
    if (columns == NULL)
        return status_set_no_memory(rows * COLUMNS * sizeof *columns, "the history");
    for (size_t i = 0; i < rows; i++)
        to_columns(&history[i], columns + i * COLUMNS);
    enum status status = h5_create_group(&group, file, name);
    if (status == STATUS_OK)
        status = h5_write_dataset(group, "history", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 2, dims, columns);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (fields[i].at != NULL)
            status = write_field(group, &fields[i]);
    if (status == STATUS_OK)
        status = h5_write_whole(group, "crc32c", group_crc(columns, rows, fields, count));
    h5_close(&group);
    mem_free(columns);
    return status;
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

static enum status read_field(hid_t group, const struct checkpoint_field *field) {
    const hsize_t count = field->count;
    switch (field->type) {
    case CHECKPOINT_WHOLE:
        return h5_read_whole(group, field->name, field->at);
    case CHECKPOINT_REAL:
        return h5_read_real(group, field->name, field->at);
    case CHECKPOINT_FLOATS:
        return read_array(group, field->name, H5T_NATIVE_FLOAT, 1, &count, field->at);
    default:
        return read_array(group, field->name, H5T_NATIVE_DOUBLE, 1, &count, field->at);
    }
}

static enum status read_group(hid_t group, struct fit_epoch history[], size_t rows,
                              const struct checkpoint_field fields[], size_t count) {
    char where[512];
    uint64_t crc = 0;
    const hsize_t dims[2] = {rows, COLUMNS};
    double *columns = mem_alloc(rows, COLUMNS * sizeof *columns);
    if (columns == NULL)
        return status_set_no_memory(rows * COLUMNS * sizeof *columns, "the history");
    enum status status = read_array(group, "history", H5T_NATIVE_DOUBLE, 2, dims, columns);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (fields[i].at != NULL)
            status = read_field(group, &fields[i]);
    if (status == STATUS_OK)
        status = h5_read_whole(group, "crc32c", &crc);
    if (status == STATUS_OK && crc != group_crc(columns, rows, fields, count))
        status = status_set(STATUS_CORRUPT, "%s: its numbers are damaged; remove the checkpoint",
                            h5_name(group, where));
    for (size_t i = 0; i < rows && status == STATUS_OK; i++) {
        const double *row = columns + i * COLUMNS;
        history[i] = (struct fit_epoch){i + 1, row[1], row[2], row[3], row[4], row[5], row[6]};
    }
    mem_free(columns);
    return status;
}

/* ---- heads ---- */

/* The whole numbers of a head's state, as the file has them. */
struct wholes {
    uint64_t done, diverged, over, waited;
};

/* A head's state; arrays that its fit does not need are NULL. Returns the number of fields. */
static size_t fields_of(struct learner *learner, struct wholes *wholes,
                        struct checkpoint_field fields[FIELDS_MAX]) {
    const struct head *head = learner->head;
    size_t weights = head_weights(head), columns = head->columns;
    const struct checkpoint_field all[] = {
        {"done", CHECKPOINT_WHOLE, &wholes->done, 1},
        {"diverged", CHECKPOINT_WHOLE, &wholes->diverged, 1},
        {"over", CHECKPOINT_WHOLE, &wholes->over, 1},
        {"waited", CHECKPOINT_WHOLE, &wholes->waited, 1},
        {"lowest", CHECKPOINT_REAL, &learner->patience.lowest, 1},
        {"kernel", CHECKPOINT_FLOATS, head->kernel, weights},
        {"bias", CHECKPOINT_FLOATS, head->bias, columns},
        {"kernel_moment_1", CHECKPOINT_FLOATS, learner->kernel_optim.slots[0], weights},
        {"kernel_moment_2", CHECKPOINT_FLOATS, learner->kernel_optim.slots[1], weights},
        {"bias_moment_1", CHECKPOINT_FLOATS, learner->bias_optim.slots[0], columns},
        {"bias_moment_2", CHECKPOINT_FLOATS, learner->bias_optim.slots[1], columns},
        {"best_kernel", CHECKPOINT_FLOATS, learner->patience.kernel, weights},
        {"best_bias", CHECKPOINT_FLOATS, learner->patience.bias, columns},
    };
    memcpy(fields, all, sizeof all);
    return sizeof all / sizeof all[0];
}

/* The epochs of a head's history, with that in which it diverged. */
static size_t history_rows(const struct wholes *wholes) {
    return wholes->diverged > 0 ? wholes->diverged : wholes->done;
}

static enum status write_head(hid_t file, size_t index, const struct fit_head *head,
                              struct learner *learner) {
    char name[32];
    struct wholes wholes = {head->done, head->diverged, learner->over, learner->patience.waited};
    struct checkpoint_field fields[FIELDS_MAX];
    size_t count = fields_of(learner, &wholes, fields);
    snprintf(name, sizeof name, "head_%zu", index);
    return write_group(file, name, head->history, history_rows(&wholes), fields, count);
}

static enum status read_head(hid_t file, size_t index, size_t epoch, struct fit_head *head,
                             struct learner *learner) {
    char name[32], where[512];
    hid_t group = H5I_INVALID_HID;
    struct wholes wholes = {0};
    struct checkpoint_field fields[FIELDS_MAX];
    size_t count = fields_of(learner, &wholes, fields);
    snprintf(name, sizeof name, "head_%zu", index);
    enum status status = h5_open_group(&group, file, name);
    for (size_t i = 0; i < 3 && status == STATUS_OK; i++) /* they tell how long the history is */
        status = read_field(group, &fields[i]);
    /* A head that goes on has done all epochs; one that is over, some. */
    bool sound = wholes.diverged > 0 ? wholes.over && wholes.done == wholes.diverged - 1
                                     : wholes.done > 0 && (wholes.over || wholes.done == epoch);
    if (status == STATUS_OK && (wholes.done > epoch || wholes.diverged > epoch || !sound))
        status = status_set(STATUS_FORMAT, "%s: %" PRIu64 " epochs of %zu; remove the checkpoint",
                            h5_name(group, where), wholes.done, epoch);
    if (status == STATUS_OK)
        status = read_group(group, head->history, history_rows(&wholes), fields, count);
    if (status == STATUS_OK) {
        head->done = wholes.done;
        head->diverged = wholes.diverged;
        learner->over = wholes.over != 0;
        learner->patience.waited = wholes.waited;
    }
    h5_close(&group);
    return status;
}

/* ---- files ---- */

static enum status begin_file(const struct checkpoint *checkpoint, size_t epoch, size_t heads,
                              hid_t *file_ret, struct output *output) {
    enum status status = output_reserve(output, checkpoint->path);
    if (status == STATUS_OK)
        status = h5_create(file_ret, output->partial);
    if (status == STATUS_OK)
        status = h5_write_string(*file_ret, "format", format_name);
    if (status == STATUS_OK)
        status = h5_write_whole(*file_ret, "format_version", VERSION);
    if (status == STATUS_OK)
        status = h5_write_string(*file_ret, "settings", checkpoint->settings);
    if (status == STATUS_OK)
        status = h5_write_whole(*file_ret, "epoch", epoch);
    if (status == STATUS_OK)
        status = h5_write_whole(*file_ret, "heads", heads);
    return status;
}

enum status checkpoint_write(const struct checkpoint *checkpoint, size_t epoch, const struct fit_head heads[],
                             struct learner learners[], size_t count) {
    hid_t file = H5I_INVALID_HID;
    struct output output = {0};
    enum status status = begin_file(checkpoint, epoch, count, &file, &output);
    for (size_t h = 0; h < count && status == STATUS_OK; h++)
        status = write_head(file, h, &heads[h], &learners[h]);
    return h5_finish(status, &file, &output);
}

enum status checkpoint_write_state(const struct checkpoint *checkpoint, size_t epoch,
                                   const struct fit_epoch history[], const struct checkpoint_field fields[],
                                   size_t count) {
    hid_t file = H5I_INVALID_HID;
    struct output output = {0};
    enum status status = begin_file(checkpoint, epoch, 0, &file, &output);
    if (status == STATUS_OK)
        status = write_group(file, "state", history, epoch, fields, count);
    return h5_finish(status, &file, &output);
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
    if (status == STATUS_OK && version != VERSION)
        status = status_set(STATUS_FORMAT,
                            "%s: checkpoint format %" PRIu64 ", and this program knows %d only; remove it",
                            checkpoint->path, version, VERSION);
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

/* Opens a checkpoint of so many heads; *epoch_ret is 0, and the file not open, when there is none. */
static enum status open_file(const struct checkpoint *checkpoint, size_t epochs, size_t heads,
                             hid_t *file_ret, size_t *epoch_ret) {
    uint64_t epoch = 0, head_count = 0;
    *epoch_ret = 0;
    if (access(checkpoint->path, F_OK) != 0)
        return STATUS_OK;
    char *settings = mem_alloc(SETTINGS_NBYTES, 1);
    enum status status = settings == NULL ? status_set_no_memory(SETTINGS_NBYTES, checkpoint->path)
                                          : h5_open(file_ret, checkpoint->path, false);
    if (status == STATUS_OK)
        status = read_attributes(*file_ret, checkpoint, settings, &epoch, &head_count);
    if (status == STATUS_OK && (epoch < 1 || epoch > epochs || head_count != heads))
        status = status_set(STATUS_FORMAT, "%s: damaged; remove the checkpoint", checkpoint->path);
    if (status == STATUS_OK)
        *epoch_ret = epoch;
    mem_free(settings);
    return status;
}

enum status checkpoint_read(const struct checkpoint *checkpoint, size_t epochs, size_t *epoch_ret,
                            struct fit_head heads[], struct learner learners[], size_t count) {
    hid_t file = H5I_INVALID_HID;
    size_t lost = 0;
    enum status status = open_file(checkpoint, epochs, count, &file, epoch_ret);
    for (size_t h = 0; h < count && status == STATUS_OK && *epoch_ret > 0; h++) {
        status = read_head(file, h, *epoch_ret, &heads[h], &learners[h]);
        lost += heads[h].diverged > 0;
    }
    if (status == STATUS_OK && lost == count) /* such a fit ends, and leaves no checkpoint */
        status = status_set(STATUS_FORMAT, "%s: damaged; remove the checkpoint", checkpoint->path);
    if (status != STATUS_OK)
        *epoch_ret = 0;
    h5_close(&file);
    return status;
}

enum status checkpoint_read_state(const struct checkpoint *checkpoint, size_t epochs, size_t *epoch_ret,
                                  struct fit_epoch history[], const struct checkpoint_field fields[],
                                  size_t count) {
    hid_t file = H5I_INVALID_HID, group = H5I_INVALID_HID;
    enum status status = open_file(checkpoint, epochs, 0, &file, epoch_ret);
    if (status == STATUS_OK && *epoch_ret > 0)
        status = h5_open_group(&group, file, "state");
    if (status == STATUS_OK && *epoch_ret > 0)
        status = read_group(group, history, *epoch_ret, fields, count);
    if (status != STATUS_OK)
        *epoch_ret = 0;
    h5_close(&group);
    h5_close(&file);
    return status;
}
