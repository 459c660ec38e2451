/* learner: one head in training, and the crew of threads that takes some of them through rows. */
#include "train/fit/learner.h"
#include "common/base/interrupt.h"
#include "common/base/mem.h"

enum status learner_create(struct learner *learner_ret, struct head *head, const struct optim_settings *optim,
                           size_t patience) {
    struct learner learner = {.head = head};
    size_t weights = head_weights(head);
    enum status status = optim_create(&learner.kernel_optim, optim, weights);
    if (status == STATUS_OK)
        status = optim_create(&learner.bias_optim, optim, head->columns);
    if (status == STATUS_OK)
        status = patience_create(&learner.patience, patience, head);
    if (status == STATUS_OK) {
        learner.gradient = mem_alloc(weights, sizeof(float));
        learner.bias_gradient = mem_alloc(head->columns, sizeof(float));
        if (learner.gradient == NULL || learner.bias_gradient == NULL)
            status = status_set_no_memory(weights * sizeof(float), "gradients");
    }
    if (status == STATUS_OK)
        *learner_ret = learner;
    else
        learner_free(&learner);
    return status;
}

void learner_free(struct learner *learner) {
    mem_free(learner->bias_gradient);
    mem_free(learner->gradient);
    patience_free(&learner->patience);
    optim_free(&learner->bias_optim);
    optim_free(&learner->kernel_optim);
    *learner = (struct learner){0};
}

void learner_set_rate(struct learner *learner, double rate) {
    learner->kernel_optim.settings.rate = learner->bias_optim.settings.rate = rate;
}

/* The rows of a block. */
struct block {
    size_t first, count; /* in the order */
    size_t batch_count;  /* rows of its batch */
    bool opens, closes;  /* it is the first, the last block of its batch */
    const float *rows[HEAD_BLOCK_MAX + HEAD_KERNELS_AHEAD + 1]; /* and those that come then */
};

/* The block that begins at `first` of the order; false at the end. rows[] goes on with repeats, so that a
 * longer block before it can prefetch it. */
static bool block_at(const struct learner_work *work, size_t block_rows, size_t first, struct block *block) {
    const struct shuffle_part *part = work->part;
    size_t batch = work->batch_size;
    if (first >= part->count)
        return false;
    size_t batch_first = first / batch * batch;
    size_t batch_end = part->count - batch_first < batch ? part->count : batch_first + batch;
    size_t left = batch_end - first;
    block->first = first;
    block->count = left < block_rows ? left : block_rows;
    block->batch_count = batch_end - batch_first;
    block->opens = first == batch_first;
    block->closes = first + block->count == batch_end;
    const float *features = part->rows.features;
    const uint32_t *order = part->order + first;
    size_t stride = part->rows.stride;
    for (size_t r = 0; r < block->count; r++)
        block->rows[r] = features + order[r] * stride;
    for (size_t r = block->count; (r < block_rows && r < batch) || r <= HEAD_KERNELS_AHEAD; r++)
        block->rows[r] = block->rows[block->count - 1];
    return true;
}

/* error = (p - (c == label)) / batch_count of rows first..first+count-1, the slope of the mean cross entropy
 * by the logits. Every thread computes it for itself: that is cheaper than to wait for another. */
static void chunk_error(struct learner *learner, const struct learner_work *work, const struct block *block,
                        size_t first, size_t count, const float *parts, bool counts, float *error) {
    const struct head *head = learner->head;
    uint16_t labels[HEAD_CHUNK], predicted[HEAD_CHUNK];
    float weights[HEAD_CHUNK];
    const uint16_t *all = work->part->rows.labels;
    const uint32_t *order = work->part->order + block->first + first;
    for (size_t r = 0; r < count; r++)
        labels[r] = all[order[r]];
    for (size_t r = 0; work->class_weights != NULL && r < count; r++)
        weights[r] = work->class_weights[labels[r]];
    const float *row_weights = work->class_weights != NULL ? weights : NULL;
    double loss = head->kernels->softmax(parts + first * head->classes, head->piece_count,
                                         head->block_rows * head->classes, count, head->classes,
                                         counts ? labels : NULL, row_weights, error, predicted);
    head->kernels->error(count, head->classes, labels, row_weights, 1.0f / (float)block->batch_count, error);
    if (!counts)
        return;
    learner->loss += loss;
    for (size_t r = 0; r < count; r++)
        learner->correct += predicted[r] == labels[r];
}

/* Adds the L2 penalty of a batch to the loss. */
static void add_penalty(struct learner *learner, const struct block *block, int turn) {
    double squares = 0;
    for (size_t piece = 0; piece < learner->head->piece_count; piece++)
        squares += learner->penalty[turn][piece];
    learner->loss += learner->kernel_optim.settings.l2 * squares * (double)block->batch_count;
}

/* Steps the weights of pieces piece..end-1, and the bias with the last piece. */
static void update(struct learner *learner, size_t step, size_t piece, size_t end) {
    struct head *head = learner->head;
    for (; piece < end; piece++)
        optim_step(&learner->kernel_optim, head->kernels, step, head_piece_offset(head, piece),
                   head_piece_weights(head, piece), true, learner->gradient, head->kernel);
    if (end == head->piece_count)
        optim_step(&learner->bias_optim, head->kernels, step, 0, head->columns, false, learner->bias_gradient,
                   head->bias);
}

/* One thread on its way through the work. */
struct walk {
    struct learner_crew *crew;
    const struct learner_work *work;
    size_t thread, step;
    int turn;
    unsigned chunks;                /* advanced by each thread before this block */
    unsigned seen[HEAD_PIECES_MAX]; /* of each thread's count */
    float *error;
};

static size_t chunk_rows(const struct block *block, size_t first) {
    return block->count - first < HEAD_CHUNK ? block->count - first : HEAD_CHUNK;
}

/* Writes the partial logits of the thread's pieces, chunk by chunk. */
static void forward_block(const struct walk *walk, struct learner *learner, const struct block *block,
                          enum head_kernels_fetch fetch, size_t piece_begin, size_t piece_end) {
    struct learner_crew *crew = walk->crew;
    const struct head *head = learner->head;
    for (size_t piece = piece_begin; piece < piece_end; piece++)
        if (block->opens && learner->kernel_optim.settings.l2 > 0)
            learner->penalty[walk->turn][piece] = head_square_sum_piece(head, piece);
    if (walk->thread == 0 && interrupt_signal())
        crew->stop[walk->turn] = true;
    for (size_t first = 0; first < block->count; first += HEAD_CHUNK) {
        size_t count = chunk_rows(block, first);
        for (size_t piece = piece_begin; piece < piece_end; piece++)
            head_forward_piece(head, piece, block->rows + first, fetch, count,
                               crew->parts[walk->turn] + (piece * head->block_rows + first) * head->classes);
        if (crew->thread_count > 1)
            eventcount_advance(&crew->chunks[walk->thread]);
    }
}

/* Waits for the other threads' parts of a block up to its chunk `chunk`. */
static void await_chunk(struct walk *walk, size_t chunk) {
    struct learner_crew *crew = walk->crew;
    unsigned target = walk->chunks + (unsigned)chunk + 1;
    for (size_t t = 0; t < crew->thread_count; t++)
        if (t != walk->thread && !eventcount_reached(walk->seen[t], target))
            walk->seen[t] = eventcount_await(&crew->chunks[t], target);
}

/* One thread's share of one learner's block; false when a signal came. Whether to fetch the block's rows, and
 * half of the next ones (NULL: no). */
static bool learn_block(struct walk *walk, struct learner *learner, const struct block *block,
                        enum head_kernels_fetch fetch, const float *const *next) {
    struct learner_crew *crew = walk->crew;
    const struct head *head = learner->head;
    size_t piece_begin = head->piece_count * walk->thread / crew->thread_count;
    size_t piece_end = head->piece_count * (walk->thread + 1) / crew->thread_count;
    forward_block(walk, learner, block, fetch, piece_begin, piece_end);
    for (size_t first = 0; first < block->count; first += HEAD_CHUNK) {
        size_t count = chunk_rows(block, first);
        float *error = walk->error + first * head->classes;
        await_chunk(walk, first / HEAD_CHUNK);
        chunk_error(learner, walk->work, block, first, count, crew->parts[walk->turn], walk->thread == 0,
                    error);
        bool add = !block->opens || first > 0;
        for (size_t piece = piece_begin; piece < piece_end; piece++)
            head_gradient_piece(head, piece, block->rows + first, next != NULL ? next + first : NULL, count,
                                error, learner->gradient, add);
        if (piece_end == head->piece_count)
            head->kernels->row_sum(count, head->classes, error, learner->bias_gradient, add);
    }
    if (crew->stop[walk->turn])
        return false;
    if (walk->thread == 0 && block->opens && learner->kernel_optim.settings.l2 > 0)
        add_penalty(learner, block, walk->turn);
    if (block->closes && piece_begin < piece_end)
        update(learner, walk->step, piece_begin, piece_end);
    return true;
}

bool learner_crew_run(struct learner_crew *crew, size_t thread, const struct learner_work *work,
                      float *error) {
    size_t block_rows = crew->learners[0]->head->block_rows;
    struct walk walk = {.crew = crew, .work = work, .thread = thread, .step = work->step + 1, .error = error};
    struct block blocks[2];
    bool more = block_at(work, block_rows, 0, &blocks[0]);
    for (int at = 0; more; at ^= 1) {
        struct block *block = &blocks[at], *next = &blocks[!at];
        more = block_at(work, block_rows, block->first + block->count, next);
        for (size_t r = 0; r <= HEAD_KERNELS_AHEAD; r++)
            block->rows[block->count + r] = more ? next->rows[r] : block->rows[block->count - 1];
        for (size_t l = 0; l < crew->learner_count; l++, walk.turn ^= 1) {
            bool last = l + 1 == crew->learner_count;
            enum head_kernels_fetch fetch = l > 0               ? HEAD_KERNELS_FETCH_NONE
                                            : block->first == 0 ? HEAD_KERNELS_FETCH_ALL
                                                                : HEAD_KERNELS_FETCH_EVEN;
            if (!learn_block(&walk, crew->learners[l], block, fetch, more && last ? next->rows : NULL))
                return false;
            walk.chunks += (unsigned)((block->count - 1) / HEAD_CHUNK + 1);
        }
        walk.step += block->closes;
    }
    return true;
}
