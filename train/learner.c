/* learner: one head in training, and the crew of threads that takes some of them through rows. */
#include "train/learner.h"
#include "common/interrupt.h"
#include "common/mem.h"

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
    const float *rows[HEAD_BLOCK_MAX];
};

/* The block that begins at `first` of the order; false at the end. rows[] is filled to the end with repeats,
 * so that a longer block before it can prefetch it. */
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
    for (size_t r = 0; r < block->count; r++)
        block->rows[r] = part->rows.features + part->order[first + r] * part->rows.stride;
    for (size_t r = block->count; r < block_rows && r < batch; r++)
        block->rows[r] = block->rows[block->count - 1];
    return true;
}

/* error[r][c] = (p[r][c] - (c == label of r)) / batch_count, the slope of the mean cross entropy by the
 * logits. Every thread computes it for itself: that is cheaper than to wait for another. */
static void block_error(struct learner *learner, const struct learner_work *work, const struct block *block,
                        const float *parts, int turn, bool counts, float *error) {
    const struct head *head = learner->head;
    uint16_t labels[HEAD_BLOCK_MAX], predicted[HEAD_BLOCK_MAX];
    for (size_t r = 0; r < block->count; r++)
        labels[r] = work->part->rows.labels[work->part->order[block->first + r]];
    float scale = 1.0f / (float)block->batch_count;
    size_t part_stride = head->block_rows * head->columns;
    double loss = 0;
    if (work->class_weights == NULL) {
        loss = head->kernels->softmax(parts, head->piece_count, part_stride, block->count, head->columns,
                                      labels, scale, error, predicted);
        for (size_t r = 0; r < block->count; r++)
            error[r * head->columns + labels[r]] -= scale;
    } else {
        for (size_t r = 0; r < block->count; r++) {
            size_t at = r * head->columns;
            float weight = work->class_weights[labels[r]];
            loss += (double)weight * head->kernels->softmax(parts + at, head->piece_count, part_stride, 1,
                                                            head->columns, &labels[r], scale * weight,
                                                            error + at, &predicted[r]);
            error[at + labels[r]] -= scale * weight;
        }
    }
    if (!counts)
        return;
    double l2 = learner->kernel_optim.settings.l2;
    learner->loss += loss;
    for (size_t r = 0; r < block->count; r++)
        learner->correct += predicted[r] == labels[r];
    if (block->opens && l2 > 0) {
        double squares = 0;
        for (size_t piece = 0; piece < head->piece_count; piece++)
            squares += learner->penalty[turn][piece];
        learner->loss += l2 * squares * (double)block->batch_count;
    }
}

/* Steps the weights of pieces piece..end-1, and the bias with piece 0. */
static void update(struct learner *learner, size_t step, size_t piece, size_t end) {
    struct head *head = learner->head;
    size_t offset = head_piece_offset(head, piece);
    optim_step(&learner->kernel_optim, head->kernels, step, offset, head_piece_offset(head, end) - offset,
               true, learner->gradient, head->kernel);
    if (piece == 0)
        optim_step(&learner->bias_optim, head->kernels, step, 0, head->columns, false, learner->bias_gradient,
                   head->bias);
}

/* One thread's share of one learner's block; false when a signal came. `next` are rows to prefetch, or NULL.
 */
static bool learn_block(struct learner_crew *crew, size_t thread, struct learner *learner,
                        const struct learner_work *work, const struct block *block, const float *const *next,
                        size_t step, int turn, float *error) {
    const struct head *head = learner->head;
    size_t piece_begin = head->piece_count * thread / crew->thread_count;
    size_t piece_end = head->piece_count * (thread + 1) / crew->thread_count;
    size_t part_stride = head->block_rows * head->columns;
    float *parts = crew->parts[turn];
    for (size_t piece = piece_begin; piece < piece_end; piece++) {
        head_forward_piece(head, piece, block->rows, next, block->count, parts + piece * part_stride);
        if (block->opens && learner->kernel_optim.settings.l2 > 0)
            learner->penalty[turn][piece] = head_square_sum_piece(head, piece);
    }
    if (thread == 0)
        crew->stop[turn] = interrupt_signal();
    if (crew->thread_count > 1)
        barrier_wait(&crew->barrier, (unsigned)crew->thread_count);
    if (crew->stop[turn])
        return false;
    block_error(learner, work, block, parts, turn, thread == 0, error);
    for (size_t piece = piece_begin; piece < piece_end; piece++)
        head_gradient_piece(head, piece, block->rows, next, block->count, error, learner->gradient,
                            !block->opens);
    if (piece_begin == 0 && piece_end > 0)
        head->kernels->column_sum(block->count, head->columns, error, learner->bias_gradient, !block->opens);
    if (block->closes && piece_begin < piece_end)
        update(learner, step, piece_begin, piece_end);
    return true;
}

bool learner_crew_run(struct learner_crew *crew, size_t thread, const struct learner_work *work,
                      float *error) {
    size_t block_rows = crew->learners[0]->head->block_rows, step = work->step + 1;
    struct block blocks[2];
    int turn = 0;
    bool more = block_at(work, block_rows, 0, &blocks[0]);
    for (int at = 0; more; at ^= 1) {
        struct block *block = &blocks[at], *next = &blocks[!at];
        more = block_at(work, block_rows, block->first + block->count, next);
        for (size_t l = 0; l < crew->learner_count; l++, turn ^= 1) {
            bool last = l + 1 == crew->learner_count;
            if (!learn_block(crew, thread, crew->learners[l], work, block, more && last ? next->rows : NULL,
                             step, turn, error))
                return false;
        }
        step += block->closes;
    }
    return true;
}
