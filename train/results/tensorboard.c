/* tensorboard: event files of a fit, for TensorBoard. */
#include "train/results/tensorboard.h"
#include "common/base/digest.h"
#include "common/base/mem.h"
#include "train/results/tensorboard.pb-c.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum run { TRAIN, VALIDATION, RUNS };
static const char *const run_names[RUNS] = {"train", "validation"};

enum { VALUES_MAX = 5, FRAME_NBYTES = 8 + 4 + 4 };

/* One event file. */
struct file {
    int fd;     /* -1: not open */
    char *path; /* NULL: not open */
};

struct tensorboard {
    struct tensorboard_options options;
    struct file files[RUNS];
};

/* The values of one event, in the form that protobuf-c packs. */
struct values {
    Tensorboard__Value values[VALUES_MAX], *list[VALUES_MAX];
    size_t count;
};

static Tensorboard__Value *add_value(struct values *values, const char *tag) {
    assert(values->count < VALUES_MAX);
    Tensorboard__Value *value = &values->values[values->count];
    tensorboard__value__init(value);
    value->tag = (char *)(uintptr_t)tag; /* only packed, never freed */
    values->list[values->count++] = value;
    return value;
}

static void add_scalar(struct values *values, const char *tag, double number) {
    Tensorboard__Value *value = add_value(values, tag);
    value->value_case = TENSORBOARD__VALUE__VALUE_SIMPLE_VALUE;
    value->simple_value = (float)number;
}

static uint32_t masked_crc(const void *data, size_t nbytes) {
    uint32_t crc = digest_crc32c(0, data, nbytes);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

/* Writes all of a record, or fails; what a failed write leaves behind is a record that readers wait for. */
static enum status write_whole(const struct file *file, const uint8_t *data, size_t nbytes) {
    while (nbytes > 0) {
        ssize_t written = write(file->fd, data, nbytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return status_set_errno("%s: cannot write", file->path);
        data += written;
        nbytes -= (size_t)written;
    }
    return STATUS_OK;
}

/* Bytes of an event with its frame. */
static size_t event_nbytes(const Tensorboard__Event *event) {
    return tensorboard__event__get_packed_size(event) + FRAME_NBYTES;
}

/* Packs an event into its frame at `to` and returns the end. */
static uint8_t *pack_event(const Tensorboard__Event *event, uint8_t *to) {
    uint64_t length = tensorboard__event__pack(event, to + 12);
    uint32_t length_crc, data_crc = masked_crc(to + 12, length);
    memcpy(to, &length, 8);
    length_crc = masked_crc(to, 8);
    memcpy(to + 8, &length_crc, 4);
    memcpy(to + 12 + length, &data_crc, 4);
    return to + length + FRAME_NBYTES;
}

/* Writes events[count] with one write(). */
static enum status write_events(const struct file *file, Tensorboard__Event *events, size_t count) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    size_t nbytes = 0;
    for (size_t i = 0; i < count; i++) {
        events[i].wall_time = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
        nbytes += event_nbytes(&events[i]);
    }
    uint8_t *buffer = malloc(nbytes), *end = buffer;
    if (buffer == NULL)
        return status_set_no_memory(nbytes, file->path);
    for (size_t i = 0; i < count; i++)
        end = pack_event(&events[i], end);
    assert(end == buffer + nbytes);
    enum status status = write_whole(file, buffer, nbytes);
    free(buffer);
    return status;
}

/* An event that carries values at a step; `summary` must live until it is packed. */
static Tensorboard__Event summary_event(struct values *values, size_t step, Tensorboard__Summary *summary) {
    Tensorboard__Event event = TENSORBOARD__EVENT__INIT;
    tensorboard__summary__init(summary);
    summary->n_value = values->count;
    summary->value = values->list;
    event.step = (int64_t)step;
    event.what_case = TENSORBOARD__EVENT__WHAT_SUMMARY;
    event.summary = summary;
    return event;
}

/* ---- histograms ---- */

struct histogram {
    Tensorboard__Histogram message;
    double limits[TENSORBOARD_BUCKETS], counts[TENSORBOARD_BUCKETS];
};

/* Counts the finite ones of values[count]; false when there are none. All equal: one bucket. */
static bool count_values(struct histogram *histogram, const float *values, size_t count) {
    Tensorboard__Histogram *message = &histogram->message;
    tensorboard__histogram__init(message);
    message->min = INFINITY;
    message->max = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        double value = (double)values[i];
        if (!isfinite(value))
            continue;
        message->min = fmin(message->min, value);
        message->max = fmax(message->max, value);
        message->num++;
        message->sum += value;
        message->sum_squares += value * value;
    }
    if (message->num == 0)
        return false;
    double width = (message->max - message->min) / TENSORBOARD_BUCKETS;
    size_t last = width > 0 ? TENSORBOARD_BUCKETS - 1 : 0;
    for (size_t b = 0; b <= last; b++) {
        histogram->limits[b] = b < last ? message->min + (double)(b + 1) * width : message->max;
        histogram->counts[b] = 0;
    }
    for (size_t i = 0; i < count; i++) {
        double value = (double)values[i];
        if (!isfinite(value))
            continue;
        size_t b = last > 0 ? (size_t)((value - message->min) / width) : 0;
        b = b < last ? b : last;
        while (b > 0 && value < histogram->limits[b - 1]) /* the division may round across an edge */
            b--;
        while (b < last && value >= histogram->limits[b])
            b++;
        histogram->counts[b]++;
    }
    message->n_bucket_limit = message->n_bucket = last + 1;
    message->bucket_limit = histogram->limits;
    message->bucket = histogram->counts;
    return true;
}

static void add_histogram(struct values *values, const char *tag, struct histogram *histogram,
                          const float *weights, size_t count) {
    if (!count_values(histogram, weights, count))
        return;
    Tensorboard__Value *value = add_value(values, tag);
    value->value_case = TENSORBOARD__VALUE__VALUE_HISTO;
    value->histo = &histogram->message;
}

static enum status write_train(const struct tensorboard *board, const struct fit_epoch *epoch,
                               const struct head *head) {
    size_t step = epoch->epoch - 1, frequency = board->options.histogram_freq,
           kernel_count = head->dim * head->classes;
    struct values values = {.count = 0};
    struct histogram kernel_histogram, bias_histogram;
    Tensorboard__Summary summary;
    float *kernel = NULL, *bias = NULL;
    enum status status = STATUS_OK;
    add_scalar(&values, "epoch_loss", epoch->loss);
    add_scalar(&values, "epoch_accuracy", epoch->accuracy);
    if (!isnan(epoch->learning_rate))
        add_scalar(&values, "epoch_learning_rate", epoch->learning_rate);
    if (frequency > 0 && step % frequency == 0) {
        kernel = mem_alloc(kernel_count, sizeof *kernel);
        bias = mem_alloc(head->classes, sizeof *bias);
        if (kernel == NULL || bias == NULL) {
            status = status_set_no_memory(kernel_count * sizeof *kernel, "histograms");
            goto out;
        }
        head_get(head, kernel, bias);
        add_histogram(&values, "dense/kernel/histogram", &kernel_histogram, kernel, kernel_count);
        add_histogram(&values, "dense/bias/histogram", &bias_histogram, bias, head->classes);
    }
    Tensorboard__Event event = summary_event(&values, step, &summary);
    status = write_events(&board->files[TRAIN], &event, 1);
out:
    mem_free(bias);
    mem_free(kernel);
    return status;
}

static enum status write_validation(const struct tensorboard *board, const struct fit_epoch *epoch) {
    struct values by_epoch = {.count = 0}, by_iteration = {.count = 0};
    Tensorboard__Summary summaries[2];
    add_scalar(&by_iteration, "evaluation_loss_vs_iterations", epoch->val_loss);
    add_scalar(&by_iteration, "evaluation_accuracy_vs_iterations", epoch->val_accuracy);
    add_scalar(&by_epoch, "epoch_loss", epoch->val_loss);
    add_scalar(&by_epoch, "epoch_accuracy", epoch->val_accuracy);
    Tensorboard__Event events[2] = {
        summary_event(&by_iteration, epoch->epoch * board->options.batches, &summaries[0]),
        summary_event(&by_epoch, epoch->epoch - 1, &summaries[1])};
    return write_events(&board->files[VALIDATION], events, 2);
}

enum status tensorboard_write(struct tensorboard *board, const struct fit_epoch *epoch,
                              const struct head *head) {
    enum status status = write_train(board, epoch, head);
    if (status == STATUS_OK && board->options.validation)
        status = write_validation(board, epoch);
    return status;
}

/* ---- files ---- */

/* Makes a folder and those above it that are missing. */
static enum status make_folders(const char *folder) {
    char *path = strdup(folder);
    if (path == NULL)
        return status_set_no_memory(strlen(folder) + 1, folder);
    enum status status = STATUS_OK;
    for (char *at = path + 1; status == STATUS_OK; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char saved = *at;
        *at = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            status = status_set_errno("%s: cannot make the folder; name another with --logdir", path);
        *at = saved;
        if (saved == '\0')
            break;
    }
    free(path);
    return status;
}

/* Makes a file of a name that is new: two runs of one second, or of containers that number alike, do not
 * meet. */
static enum status create_file(struct file *file, const char *folder) {
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
        snprintf(host, sizeof host, "localhost");
    for (char *at = host; *at != '\0'; at++)
        if (*at == '/')
            *at = '-';
    for (unsigned number = 0;; number++) {
        if (asprintf(&file->path, "%s/events.out.tfevents.%010" PRId64 ".%s.%ld.%u.v2", folder,
                     (int64_t)time(NULL), host, (long)getpid(), number) < 0) {
            file->path = NULL;
            return status_set_no_memory(strlen(folder) + sizeof host, folder);
        }
        file->fd = open(file->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
        if (file->fd >= 0)
            return STATUS_OK;
        if (errno != EEXIST)
            return status_set_errno("%s: cannot create the file; name another folder with --logdir",
                                    file->path);
        free(file->path);
    }
}

static enum status open_run(struct file *file, const char *folder, const char *run) {
    char *path = NULL;
    if (asprintf(&path, "%s/%s", folder, run) < 0)
        return status_set_no_memory(strlen(folder) + 16, folder);
    enum status status = make_folders(path);
    if (status == STATUS_OK)
        status = create_file(file, path);
    free(path);
    if (status != STATUS_OK)
        return status;
    Tensorboard__Event event = TENSORBOARD__EVENT__INIT;
    char version[] = "brain.Event:2";
    event.what_case = TENSORBOARD__EVENT__WHAT_FILE_VERSION;
    event.file_version = version;
    return write_events(file, &event, 1);
}

enum status tensorboard_open(struct tensorboard **board_ret, const struct tensorboard_options *options) {
    struct tensorboard *board = malloc(sizeof *board);
    *board_ret = NULL;
    if (board == NULL)
        return status_set_no_memory(sizeof *board, "event files");
    *board = (struct tensorboard){.options = *options, .files = {{.fd = -1}, {.fd = -1}}};
    enum status status = STATUS_OK;
    for (int run = 0; run < RUNS && status == STATUS_OK; run++)
        if (run == TRAIN || options->validation)
            status = open_run(&board->files[run], options->folder, run_names[run]);
    if (status == STATUS_OK) {
        *board_ret = board;
        return status;
    }
    for (int run = 0; run < RUNS; run++) /* nothing is in them yet */
        if (board->files[run].fd >= 0)
            unlink(board->files[run].path);
    tensorboard_close(board);
    return status;
}

void tensorboard_close(struct tensorboard *board) {
    if (board == NULL)
        return;
    for (int run = 0; run < RUNS; run++) {
        if (board->files[run].fd >= 0)
            close(board->files[run].fd);
        free(board->files[run].path);
    }
    free(board);
}
