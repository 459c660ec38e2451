/* stream: pictures in, features out, in order.
 *
 * The rows of a split are cut into blocks. A block goes through three OpenMP tasks, read -> compute -> give, which wait
 * for each other through `depend`: reads follow each other in order, and so do gives, while computes run on all
 * threads. A block lives in a slot; there are two slots per thread, which bounds the memory. So rows are in order and the
 * same bits come out for any number of threads. */
#include "common/stream.h"
#include "common/base/interrupt.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/size.h"

#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

static const char *const split_names[IMAGES_SPLITS] = {[IMAGES_TRAIN] = "train", [IMAGES_TEST] = "test"};

struct slot {
    uint8_t *pixels;  /* [block_rows][size][size] */
    uint16_t *labels; /* [block_rows] */
    float *features;  /* [block_rows][dim] */
    bool computed;    /* the features are there */
};

struct stream {
    const struct stream_options *options;
    struct slot *slots;
    void **workspaces; /* [threads] */
    size_t threads, slot_count;
    size_t next[IMAGES_SPLITS], given; /* the row that the sink waits for; rows that it has got */
    _Atomic(enum status) status;       /* of the first task that failed */
};

size_t stream_block_rows(size_t size) {
    size_t rows = 64 * 56 * 56 / (size * size);
    return rows > 64 ? 64 : rows < 4 ? 4 : rows;
}

/* ---- Memory ---- */

/* The threads that the memory is enough for, a workspace and two slots each. The result does not depend on them. */
static enum status choose_threads(struct stream *stream, size_t workspace_nbytes) {
    const struct stream_options *options = stream->options;
    size_t rows = options->block_rows, pixels = rows * options->size * options->size;
    size_t slot_nbytes = mem_block_nbytes(pixels) + mem_block_nbytes(rows * options->dim * sizeof(float));
    size_t thread_nbytes = mem_block_nbytes(workspace_nbytes) + 2 * slot_nbytes;
    size_t available = mem_available_nbytes() / 8 * 7, threads = available / thread_nbytes;
    if (threads == 0)
        return status_set(
            STATUS_NO_MEMORY,
            "one thread needs %zu MB of memory at --size=%zu, and the machine, its control group or "
            "ulimit -v leave %zu MB to this process",
            (thread_nbytes >> 20) + 1, options->size, available >> 20);
    stream->threads = size_min(threads, options->threads);
    if (threads < options->threads)
        log_info("%zu of %zu threads: each needs %zu MB of memory, and %zu MB are left to this process",
                 threads, options->threads, (thread_nbytes >> 20) + 1, available >> 20);
    return STATUS_OK;
}

static enum status allocate(struct stream *stream) {
    const struct stream_options *options = stream->options;
    size_t rows = options->block_rows, pixels = options->size * options->size;
    size_t workspace_nbytes = vgg16_workspace_nbytes(options->network, rows);
    enum status status = choose_threads(stream, workspace_nbytes);
    if (status != STATUS_OK)
        return status;
    stream->slot_count = 2 * stream->threads;
    stream->slots = calloc(stream->slot_count, sizeof *stream->slots);
    stream->workspaces = calloc(stream->threads, sizeof *stream->workspaces);
    if (stream->slots == NULL || stream->workspaces == NULL)
        return status_set_no_memory(stream->slot_count * sizeof *stream->slots, "blocks of images");
    for (size_t i = 0; i < stream->slot_count; i++) {
        struct slot *slot = &stream->slots[i];
        slot->pixels = mem_alloc(rows, pixels);
        slot->labels = mem_alloc(rows, sizeof *slot->labels);
        slot->features = mem_alloc(rows * options->dim, sizeof *slot->features);
        if (slot->pixels == NULL || slot->labels == NULL || slot->features == NULL)
            return status_set_no_memory(rows * pixels,
                                        "blocks of images; a smaller --size or fewer --threads need less");
    }
    for (size_t i = 0; i < stream->threads; i++)
        if ((stream->workspaces[i] = mem_alloc(workspace_nbytes, 1)) == NULL)
            return status_set_no_memory(
                workspace_nbytes, "workspace of a thread; a smaller --size or fewer --threads need less");
    return STATUS_OK;
}

static void release(struct stream *stream) {
    for (size_t i = 0; i < stream->slot_count && stream->slots != NULL; i++) {
        mem_free(stream->slots[i].pixels);
        mem_free(stream->slots[i].labels);
        mem_free(stream->slots[i].features);
    }
    free(stream->slots);
    for (size_t i = 0; i < stream->threads && stream->workspaces != NULL; i++)
        mem_free(stream->workspaces[i]);
    free(stream->workspaces);
}

/* ---- The three tasks of a block. Once something failed, all that follow do nothing; after an interruption the blocks
 * whose computing has begun are still finished and given, as far as no gap is before them. ---- */

/* Keeps the first failure (or the interruption). */
static void record(struct stream *stream, enum status status) {
    enum status none = STATUS_OK;
    atomic_compare_exchange_strong(&stream->status, &none, status);
}

static void read_block(struct stream *stream, struct slot *slot, int s, size_t first, size_t rows) {
    size_t pixels = stream->options->size * stream->options->size;
    if (interrupt_signal() != 0)
        record(stream, STATUS_INTERRUPTED);
    for (size_t i = 0; i < rows && stream->status == STATUS_OK; i++) {
        enum status status = images_read(stream->options->images, (enum images_split)s, first + i,
                                         slot->pixels + i * pixels, &slot->labels[i]);
        if (status != STATUS_OK)
            record(stream, status);
    }
}

static void compute_block(struct stream *stream, struct slot *slot, size_t rows) {
    slot->computed = stream->status == STATUS_OK;
    if (slot->computed)
        vgg16_run(stream->options->network, rows, slot->pixels, slot->features,
                  stream->workspaces[omp_get_thread_num()]);
}

static enum status check_finite(const struct stream *stream, const struct slot *slot, int s, size_t first,
                                size_t rows) {
    size_t dim = stream->options->dim;
    for (size_t i = 0; i < rows * dim; i++)
        if (!isfinite(slot->features[i]))
            return status_set(
                STATUS_NOT_FINITE,
                "image %zu of %s: a feature is not finite; the weights are too large for float32 (%s)",
                first + i / dim, split_names[s], stream->options->weights);
    return STATUS_OK;
}

static void give_block(struct stream *stream, const struct slot *slot, int s, size_t first, size_t rows) {
    const struct stream_options *options = stream->options;
    enum status status = stream->status;
    if (status == STATUS_INTERRUPTED && slot->computed && first == stream->next[s])
        status = STATUS_OK;
    if (status != STATUS_OK)
        return;
    status = check_finite(stream, slot, s, first, rows);
    if (status == STATUS_OK)
        status =
            options->sink(options->context, (enum images_split)s, first, rows, slot->features, slot->labels);
    if (status != STATUS_OK) {
        record(stream, status);
        return;
    }
    stream->next[s] = first + rows;
    stream->given += rows;
    progress_update(options->done + stream->given);
}

/* Creates the tasks of all blocks of a split that are to be done; the tasks outlive the call. */
static void spawn_split(struct stream *stream, int s, size_t *next_slot) {
    const struct stream_options *options = stream->options;
    size_t rows = images_info(options->images)->parts[s].rows, block = options->block_rows;
    char *input = (char *)&stream->slots, *output = (char *)&stream->next; /* names for `depend` alone */
    (void)input, (void)output;
    for (size_t first = options->first[s]; first < rows; first += block) {
        size_t count = size_min(rows - first, block);
        struct slot *slot = &stream->slots[(*next_slot)++ % stream->slot_count];
        char *held = (char *)slot;
        (void)held;
        if (stream->status != STATUS_OK)
            return;
#pragma omp task depend(inout : input[0], held[0]) firstprivate(slot, s, first, count)
        read_block(stream, slot, s, first, count);
#pragma omp task depend(inout : held[0]) firstprivate(slot, count)
        compute_block(stream, slot, count);
#pragma omp task depend(inout : output[0], held[0]) firstprivate(slot, s, first, count)
        give_block(stream, slot, s, first, count);
    }
}

enum status stream_run(const struct stream_options *options, struct stream_result *result) {
    struct stream stream = {.options = options, .next = {options->first[0], options->first[1]}};
    size_t next_slot = 0;
    *result = (struct stream_result){.threads = options->threads};
    enum status status = allocate(&stream);
    if (status == STATUS_OK) {
#pragma omp parallel num_threads((int)stream.threads)
#pragma omp single
        for (int s = 0; s < IMAGES_SPLITS; s++)
            spawn_split(&stream, s, &next_slot);
        status = stream.status;
    }
    *result = (struct stream_result){.rows = stream.given, .threads = stream.threads};
    release(&stream);
    return status;
}
