/* shuffle: the order in which an epoch visits the rows, and where they are. */
#include "train/rows/shuffle.h"
#include "common/base/mem.h"

#include <assert.h>
#include <string.h>

static enum status create_parts(struct shuffle *shuffle, size_t nbytes) {
    const struct data_file *file = shuffle->rows.file;
    size_t stride = shuffle->rows.stride, batch = shuffle->batch;
    shuffle->block_rows = cache_info(file->cache)->splits[file->split].block_rows;
    shuffle->block_count = (shuffle->rows.count + shuffle->block_rows - 1) / shuffle->block_rows;
    size_t rows = nbytes / (stride * sizeof(float)), blocks = rows / shuffle->block_rows;
    blocks = blocks > shuffle->block_count ? shuffle->block_count : blocks;
    shuffle->part_blocks = blocks > 0 ? blocks : 1;
    shuffle->part_rows = shuffle->part_blocks * shuffle->block_rows + batch;
    shuffle->order = mem_alloc(shuffle->part_rows, sizeof *shuffle->order);
    shuffle->blocks = mem_alloc(shuffle->block_count, sizeof *shuffle->blocks);
    shuffle->features = mem_alloc(shuffle->part_rows, stride * sizeof(float));
    shuffle->labels = mem_alloc(shuffle->part_rows, sizeof *shuffle->labels);
    shuffle->spare = mem_alloc(batch, stride * sizeof(float));
    shuffle->spare_labels = mem_alloc(batch, sizeof *shuffle->spare_labels);
    if (!shuffle->order || !shuffle->blocks || !shuffle->features || !shuffle->labels || !shuffle->spare ||
        !shuffle->spare_labels)
        return status_set_no_memory((shuffle->part_rows + batch) * stride * sizeof(float), "rows of a part");
    return STATUS_OK;
}

enum status shuffle_create(struct shuffle *shuffle_ret, struct data_rows rows, size_t batch, uint64_t seed,
                           size_t nbytes) {
    assert(rows.count > 0 && rows.count <= UINT32_MAX && batch > 0);
    struct shuffle shuffle = {.rows = rows, .batch = batch < rows.count ? batch : rows.count, .seed = seed};
    enum status status = STATUS_OK;
    if (rows.features == NULL) {
        status = create_parts(&shuffle, nbytes);
    } else {
        shuffle.order = mem_alloc(rows.count, sizeof *shuffle.order);
        if (shuffle.order == NULL)
            status = status_set_no_memory(rows.count * sizeof *shuffle.order, "the order of rows");
    }
    if (status == STATUS_OK)
        *shuffle_ret = shuffle;
    else
        shuffle_free(&shuffle);
    return status;
}

void shuffle_free(struct shuffle *shuffle) {
    mem_free(shuffle->spare_labels);
    mem_free(shuffle->spare);
    mem_free(shuffle->labels);
    mem_free(shuffle->features);
    mem_free(shuffle->blocks);
    mem_free(shuffle->order);
    *shuffle = (struct shuffle){0};
}

void shuffle_begin(struct shuffle *shuffle, size_t epoch) {
    if (shuffle->epoch == epoch && shuffle->next == 0)
        return;
    shuffle->epoch = epoch;
    rng_init(&shuffle->rng, shuffle->seed, epoch);
    shuffle->next = shuffle->left = shuffle->used = 0;
    if (shuffle->rows.features == NULL)
        rng_permutation(&shuffle->rng, shuffle->blocks, shuffle->block_count);
    else
        rng_permutation(&shuffle->rng, shuffle->order, shuffle->rows.count);
}

/* Moves the rows that did not fill a batch to the beginning of the part; they may stand anywhere in it. */
static void keep_left(struct shuffle *shuffle) {
    size_t stride = shuffle->rows.stride;
    for (size_t i = 0; i < shuffle->left; i++) {
        size_t row = shuffle->order[shuffle->used + i];
        memcpy(shuffle->spare + i * stride, shuffle->features + row * stride, stride * sizeof(float));
        shuffle->spare_labels[i] = shuffle->labels[row];
    }
    memcpy(shuffle->features, shuffle->spare, shuffle->left * stride * sizeof(float));
    memcpy(shuffle->labels, shuffle->spare_labels, shuffle->left * sizeof *shuffle->labels);
}

/* Reads the blocks of the next part behind the rows that were kept; *count_ret is the number of rows then. */
static enum status read_part(struct shuffle *shuffle, size_t *count_ret) {
    size_t stride = shuffle->rows.stride, count = shuffle->left;
    size_t left = shuffle->block_count - shuffle->next;
    size_t end = shuffle->next + (left < shuffle->part_blocks ? left : shuffle->part_blocks);
    for (; shuffle->next < end; shuffle->next++) {
        struct data_rows block;
        enum status status = data_window(shuffle->rows, shuffle->blocks[shuffle->next] * shuffle->block_rows,
                                         shuffle->block_rows, &block);
        if (status != STATUS_OK)
            return status;
        memcpy(shuffle->features + count * stride, block.features, block.count * stride * sizeof(float));
        memcpy(shuffle->labels + count, block.labels, block.count * sizeof *shuffle->labels);
        count += block.count;
    }
    *count_ret = count;
    return STATUS_OK;
}

static enum status next_part(struct shuffle *shuffle, struct shuffle_part *part_ret) {
    size_t count = 0, kept = shuffle->left;
    keep_left(shuffle);
    enum status status = read_part(shuffle, &count);
    if (status != STATUS_OK)
        return status;
    rng_permutation(&shuffle->rng, shuffle->order + kept, count - kept);
    for (size_t i = 0; i < count; i++)
        shuffle->order[i] = i < kept ? (uint32_t)i : shuffle->order[i] + (uint32_t)kept;
    bool last = shuffle->next == shuffle->block_count;
    shuffle->used = last ? count : count / shuffle->batch * shuffle->batch;
    shuffle->left = count - shuffle->used;
    *part_ret = (struct shuffle_part){.rows = {.features = shuffle->features,
                                               .labels = shuffle->labels,
                                               .count = count,
                                               .dim = shuffle->rows.dim,
                                               .stride = shuffle->rows.stride},
                                      .order = shuffle->order,
                                      .count = shuffle->used};
    return STATUS_OK;
}

enum status shuffle_next(struct shuffle *shuffle, struct shuffle_part *part_ret) {
    *part_ret = (struct shuffle_part){.rows = shuffle->rows, .order = shuffle->order};
    if (shuffle->rows.features != NULL) {
        part_ret->count = shuffle->rows.count - shuffle->next;
        shuffle->next = shuffle->rows.count;
        return STATUS_OK;
    }
    while (part_ret->count == 0 && shuffle->next < shuffle->block_count) {
        enum status status = next_part(shuffle, part_ret);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}
