/* outputs: the files that a job leaves beside its head: JSON, the report; and what can be known of them before the work. */
#include "train/outputs.h"
#include "common/base/h5.h"
#include "common/base/mem.h"
#include "train/fit/evaluate.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONFIDENCE_ROWS = 4096 }; /* whose probabilities are in memory at a time */

/* Whether the folder of a file that shall be made can be written to. */
enum status outputs_check_folder(const char *path, const char *what) {
    char *target = NULL;
    enum status status = output_target(&target, path);
    if (status != STATUS_OK)
        return status;
    char *folder = output_folder(target);
    free(target);
    if (folder == NULL)
        status = status_set_no_memory(strlen(path), path);
    else if (access(folder, W_OK | X_OK) != 0)
        status = status_set_errno("%s: cannot save %s in the folder %s", path, what, folder);
    free(folder);
    return status;
}

/* Learns before the work, not after it, that the head cannot be saved as `path`, or would replace a cache. */
enum status outputs_check_head(const char *path) {
    struct stat file;
    char format[CACHE_TEXT] = "";
    if (stat(path, &file) == 0) {
        if (!S_ISREG(file.st_mode))
            return status_set(STATUS_IO, "%s: is there and is no regular file; name another with --output",
                              path);
        hid_t existing = H5I_INVALID_HID;
        if (h5_open(&existing, path, false) == STATUS_OK && h5_has_attribute(existing, "format"))
            (void)h5_read_string(existing, "format", format, sizeof format);
        h5_close(&existing);
        if (strcmp(format, "vggcache") == 0)
            return status_set(STATUS_IO,
                              "%s: is a feature cache; name another file for the head with --output", path);
    }
    return outputs_check_folder(path, "the head");
}

enum status outputs_open_report(struct session *session) {
    const struct options *options = session->options;
    enum status status = STATUS_OK;
    if (options->images != NULL)
        status = report_images_open(&session->images, options->images, session->info, options->cache);
    if (status == STATUS_OK && options->report != NULL)
        status = output_open(&session->page, options->report);
    return status;
}

enum status outputs_write_json(struct output *output, const struct record_results *results) {
    enum status status = record_json(output->stream, results);
    return status == STATUS_OK ? output_commit(output) : status;
}

/* The probabilities of the class that was predicted for each test row, and of its label. */
static enum status measure_confidence(const struct session *session, float *predicted, float *label) {
    const struct data_split *test = &session->data[CACHE_TEST];
    size_t classes = session->head.classes;
    struct evaluate_result ignored;
    enum status status = STATUS_OK;
    float *probabilities = mem_alloc(CONFIDENCE_ROWS * classes, sizeof *probabilities);
    if (probabilities == NULL)
        return status_set_no_memory(CONFIDENCE_ROWS * classes * sizeof *probabilities, "the report");
    for (size_t first = 0; first < test->count && status == STATUS_OK; first += CONFIDENCE_ROWS) {
        size_t left = test->count - first, count = left < CONFIDENCE_ROWS ? left : CONFIDENCE_ROWS;
        status = evaluate_run(&session->head, data_slice(test, first, count), 0,
                              (int)session->options->threads, NULL, probabilities, &ignored);
        for (size_t r = 0; r < count && status == STATUS_OK; r++) {
            predicted[first + r] = probabilities[r * classes + session->predicted[first + r]];
            label[first + r] = probabilities[r * classes + test->labels[first + r]];
        }
    }
    mem_free(probabilities);
    return status;
}

enum status outputs_write_report(struct session *session, const struct record_results *results, size_t kept,
                                 const struct head_io_training *training) {
    const struct data_split *test = &session->data[CACHE_TEST];
    float *predicted = mem_alloc(test->count, sizeof *predicted),
          *label = mem_alloc(test->count, sizeof *label);
    enum status status = STATUS_OK;
    if (predicted == NULL || label == NULL)
        status = status_set_no_memory(test->count * sizeof *predicted, "the report");
    if (status == STATUS_OK)
        status = measure_confidence(session, predicted, label);
    struct report_input input = {.argv = (const char *const *)session->options->argv,
                                 .results = results,
                                 .kept = kept,
                                 .training = training,
                                 .info = session->info,
                                 .head_path = results->history != NULL ? session->options->output
                                                                       : session->options->head,
                                 .cache_path = session->options->cache,
                                 .classes = session->head.classes,
                                 .labels = test->labels,
                                 .predicted = session->predicted,
                                 .probabilities = predicted,
                                 .label_probabilities = label,
                                 .per_class = session->per_class,
                                 .matrix = session->matrix,
                                 .images = session->images};
    if (status == STATUS_OK)
        status = report_write(session->page.stream, &input);
    if (status == STATUS_OK)
        status = output_commit(&session->page);
    mem_free(label);
    mem_free(predicted);
    return status;
}
