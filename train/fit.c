/* fit: trains a head as keras.Model.fit() does. */
#include "train/fit.h"
#include "common/interrupt.h"
#include "common/mem.h"
#include "common/progress.h"
#include "common/rng.h"
#include "train/barrier.h"
#include "train/evaluate.h"
#include "train/patience.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

/* What the threads of an epoch share. `turn` alternates from block to block: a thread may write the parts of
 * the next block while another still reads those of this one, and one barrier per block is enough. */
struct team {
    struct head *head;
    struct data_rows train, validation;
    const struct fit_options *options;
    struct barrier barrier;
    struct optim kernel_optim, bias_optim;
    size_t step;                        /* optimizer steps made before this epoch */
    uint32_t *order;                    /* [train.count] */
    float *parts[2];                    /* [turn][piece][block row][column] */
    double penalty[2][HEAD_PIECES_MAX]; /* [turn][piece]: sums of squares of the kernel */
    int stop[2];                        /* [turn]: a signal came */
    float *gradient;                    /* like the kernel */
    float *bias_gradient;               /* [column] */
    float *scratch;                     /* [thread][scratch_count] */
    size_t scratch_count;
    size_t block_count; /* of validation, with a sum each */
    double *block_losses;
    size_t *block_correct;
    double loss; /* of the epoch so far, summed over rows */
    size_t correct;
};

/* The rows of a block. */
struct block {
    size_t first, count; /* in the order */
    size_t batch_count;  /* rows of its batch */
    bool opens, closes;  /* it is the first, the last block of its batch */
    const float *rows[HEAD_BLOCK_MAX];
};

/* The block that begins at `first` of the order; false at the end. rows[] is filled to the end with repeats,
 * so that a longer block before it can prefetch it. */
static bool block_at(const struct team *team, size_t first, struct block *block) {
    size_t total = team->train.count, batch = team->options->batch_size;
    if (first >= total)
        return false;
    size_t batch_first = first / batch * batch;
    size_t batch_end = total - batch_first < batch ? total : batch_first + batch;
    size_t left = batch_end - first, room = team->head->block_rows;
    block->first = first;
    block->count = left < room ? left : room;
    block->batch_count = batch_end - batch_first;
    block->opens = first == batch_first;
    block->closes = first + block->count == batch_end;
    for (size_t r = 0; r < block->count; r++)
        block->rows[r] = team->train.features + team->order[first + r] * team->train.stride;
    for (size_t r = block->count; r < room && r < batch; r++)
        block->rows[r] = block->rows[block->count - 1];
    return true;
}

/* error[r][c] = (p[r][c] - (c == label of r)) / batch_count, the slope of the mean cross entropy by the
 * logits. Every thread computes it for itself: that is cheaper than to wait for another. */
static void block_error(struct team *team, const struct block *block, int turn, bool counts, float *error) {
    const struct head *head = team->head;
    uint16_t labels[HEAD_BLOCK_MAX], predicted[HEAD_BLOCK_MAX];
    for (size_t r = 0; r < block->count; r++)
        labels[r] = team->train.labels[team->order[block->first + r]];
    float scale = 1.0f / (float)block->batch_count;
    const float *weights = team->options->class_weights;
    const float *parts = team->parts[turn];
    size_t part_stride = head->block_rows * head->columns;
    double loss = 0;
    if (weights == NULL) {
        loss = head->kernels->softmax(parts, head->piece_count, part_stride, block->count, head->columns,
                                      labels, scale, error, predicted);
        for (size_t r = 0; r < block->count; r++)
            error[r * head->columns + labels[r]] -= scale;
    } else {
        for (size_t r = 0; r < block->count; r++) {
            size_t at = r * head->columns;
            float weight = weights[labels[r]];
            loss += (double)weight * head->kernels->softmax(parts + at, head->piece_count, part_stride, 1,
                                                            head->columns, &labels[r], scale * weight,
                                                            error + at, &predicted[r]);
            error[at + labels[r]] -= scale * weight;
        }
    }
    if (!counts)
        return;
    team->loss += loss;
    for (size_t r = 0; r < block->count; r++)
        team->correct += predicted[r] == labels[r];
    if (block->opens && team->options->optim.l2 > 0) {
        double squares = 0;
        for (size_t piece = 0; piece < head->piece_count; piece++)
            squares += team->penalty[turn][piece];
        team->loss += team->options->optim.l2 * squares * (double)block->batch_count;
    }
}

/* Steps the weights of pieces piece..end-1, and the bias with piece 0. */
static void update(struct team *team, size_t step, size_t piece, size_t end) {
    struct head *head = team->head;
    size_t offset = head_piece_offset(head, piece);
    optim_step(&team->kernel_optim, head->kernels, step, offset, head_piece_offset(head, end) - offset, true,
               team->gradient, head->kernel);
    if (piece == 0)
        optim_step(&team->bias_optim, head->kernels, step, 0, head->columns, false, team->bias_gradient,
                   head->bias);
}

/* One thread's share of the training of an epoch; false when a signal came. */
static bool train_share(struct team *team, size_t thread, size_t threads) {
    const struct head *head = team->head;
    size_t piece_begin = head->piece_count * thread / threads;
    size_t piece_end = head->piece_count * (thread + 1) / threads;
    size_t part_stride = head->block_rows * head->columns;
    float *error = team->scratch + thread * team->scratch_count + head_parts(head);
    struct block blocks[2];
    size_t step = team->step;
    bool more = block_at(team, 0, &blocks[0]);
    for (int turn = 0; more; turn ^= 1) {
        struct block *block = &blocks[turn], *next = &blocks[!turn];
        more = block_at(team, block->first + block->count, next);
        const float *const *next_rows = more ? next->rows : NULL;
        for (size_t piece = piece_begin; piece < piece_end; piece++) {
            head_forward_piece(head, piece, block->rows, next_rows, block->count,
                               team->parts[turn] + piece * part_stride);
            if (block->opens && team->options->optim.l2 > 0)
                team->penalty[turn][piece] = head_square_sum_piece(head, piece);
        }
        if (thread == 0)
            team->stop[turn] = interrupt_signal();
        barrier_wait(&team->barrier, (unsigned)threads);
        if (team->stop[turn])
            return false;
        block_error(team, block, turn, thread == 0, error);
        for (size_t piece = piece_begin; piece < piece_end; piece++)
            head_gradient_piece(head, piece, block->rows, next_rows, block->count, error, team->gradient,
                                !block->opens);
        if (piece_begin == 0 && piece_end > 0)
            head->kernels->column_sum(block->count, head->columns, error, team->bias_gradient, !block->opens);
        if (block->closes) {
            step++;
            if (piece_begin < piece_end)
                update(team, step, piece_begin, piece_end);
        }
    }
    if (thread == 0)
        team->step = step;
    return true;
}

static void validate_share(struct team *team, size_t thread, size_t threads) {
    const struct head *head = team->head;
    float *scratch = team->scratch + thread * team->scratch_count;
    uint16_t predicted[HEAD_BLOCK_MAX];
    size_t end = team->block_count * (thread + 1) / threads;
    for (size_t b = team->block_count * thread / threads; b < end; b++) {
        size_t first = b * head->block_rows, left = team->validation.count - first;
        evaluate_block(head, team->validation, first, left < head->block_rows ? left : head->block_rows,
                       scratch, predicted, NULL, &team->block_losses[b], &team->block_correct[b]);
    }
}

static void run_epoch(struct team *team, int threads) {
    team->loss = 0;
    team->correct = 0;
#pragma omp parallel num_threads(threads) default(none) shared(team)
    {
        size_t thread = (size_t)omp_get_thread_num(), count = (size_t)omp_get_num_threads();
        unsigned before = kernels_flush_begin();
        if (train_share(team, thread, count)) {
            barrier_wait(&team->barrier, (unsigned)count);
            validate_share(team, thread, count);
        }
        kernels_flush_end(before);
    }
}

static enum status team_create(struct team *team, int threads) {
    const struct head *head = team->head;
    size_t weights = head_weights(head), part_count = head_parts(head);
    enum status status = optim_create(&team->kernel_optim, &team->options->optim, weights);
    if (status == STATUS_OK)
        status = optim_create(&team->bias_optim, &team->options->optim, head->columns);
    if (status != STATUS_OK)
        return status;
    team->scratch_count = evaluate_scratch_count(head);
    team->block_count = (team->validation.count + head->block_rows - 1) / head->block_rows;
    team->order = mem_alloc(team->train.count, sizeof *team->order);
    team->parts[0] = mem_alloc(part_count, sizeof(float));
    team->parts[1] = mem_alloc(part_count, sizeof(float));
    team->gradient = mem_alloc(weights, sizeof(float));
    team->bias_gradient = mem_alloc(head->columns, sizeof(float));
    team->scratch = mem_alloc((size_t)threads * team->scratch_count, sizeof(float));
    team->block_losses = mem_alloc(team->block_count, sizeof *team->block_losses);
    team->block_correct = mem_alloc(team->block_count, sizeof *team->block_correct);
    if (!team->order || !team->parts[0] || !team->parts[1] || !team->gradient || !team->bias_gradient ||
        !team->scratch || !team->block_losses || !team->block_correct)
        return status_set_no_memory((weights + 2 * part_count) * sizeof(float), "training");
    for (int i = 0; i < 2; i++)
        head_clear_parts(head, team->parts[i]);
    for (int t = 0; t < threads; t++)
        head_clear_parts(head, team->scratch + (size_t)t * team->scratch_count);
    return STATUS_OK;
}

static void team_free(struct team *team) {
    mem_free(team->block_correct);
    mem_free(team->block_losses);
    mem_free(team->scratch);
    mem_free(team->bias_gradient);
    mem_free(team->gradient);
    mem_free(team->parts[1]);
    mem_free(team->parts[0]);
    mem_free(team->order);
    optim_free(&team->bias_optim);
    optim_free(&team->kernel_optim);
}

static enum status diverged(const struct team *team, const struct fit_epoch *epoch) {
    enum status status = data_check_finite(team->train, 0);
    if (status == STATUS_OK)
        status = data_check_finite(team->validation, team->train.count);
    if (status != STATUS_OK)
        return status;
    return status_set(STATUS_NOT_FINITE,
                      "the %s is no longer a finite number in epoch %zu; try a smaller rate, as "
                      "--learning-rate=%g",
                      isfinite(epoch->loss) ? "validation loss" : "loss", epoch->epoch,
                      team->options->optim.rate / 10);
}

enum status fit_balance(struct data_rows rows, size_t classes, float *weights) {
    size_t *counts = mem_alloc(classes, sizeof *counts), present = 0;
    if (counts == NULL)
        return status_set_no_memory(classes * sizeof *counts, "class weights");
    memset(counts, 0, classes * sizeof *counts);
    for (size_t r = 0; r < rows.count; r++)
        counts[rows.labels[r]]++;
    for (size_t c = 0; c < classes; c++)
        present += counts[c] > 0;
    for (size_t c = 0; c < classes; c++)
        weights[c] = counts[c] > 0 ? (float)((double)rows.count / ((double)present * (double)counts[c])) : 0;
    mem_free(counts);
    return STATUS_OK;
}

enum status fit_run(struct head *head, struct data_rows train, struct data_rows validation,
                    const struct fit_options *options, fit_listener listener, void *context,
                    struct fit_epoch *history, size_t *done_ret) {
    assert(train.count > 0 && train.count <= UINT32_MAX && train.dim == head->dim);
    assert(options->batch_size > 0 && options->threads > 0);
    struct team team = {.head = head, .train = train, .validation = validation, .options = options};
    int threads = options->threads < (int)head->piece_count ? options->threads : (int)head->piece_count;
    struct patience patience = {0};
    enum status status = team_create(&team, threads);
    size_t done = 0;
    if (status == STATUS_OK)
        status = patience_create(&patience, options->patience, head);
    while (status == STATUS_OK && done < options->epochs) {
        struct fit_epoch *epoch = &history[done];
        double begin = progress_clock();
        struct rng rng;
        rng_init(&rng, options->seed, done + 1);
        rng_permutation(&rng, team.order, train.count);
        double rate = options->optim.rate * optim_scheduled(options->schedule, done + 1, options->epochs,
                                                            options->step_epochs, options->step_factor);
        team.kernel_optim.settings.rate = team.bias_optim.settings.rate = rate;
        run_epoch(&team, threads);
        if (interrupt_signal()) {
            status =
                status_set(STATUS_INTERRUPTED, "interrupted in epoch %zu of %zu", done + 1, options->epochs);
            break;
        }
        struct evaluate_result result =
            evaluate_total(head, options->optim.l2, validation.count, team.block_count, team.block_losses,
                           team.block_correct);
        *epoch = (struct fit_epoch){.epoch = done + 1,
                                    .loss = team.loss / (double)train.count,
                                    .accuracy = (double)team.correct / (double)train.count,
                                    .val_loss = result.loss,
                                    .val_accuracy = result.accuracy,
                                    .seconds = progress_clock() - begin,
                                    .learning_rate = rate};
        if (!isfinite(epoch->loss) || (validation.count > 0 && !isfinite(epoch->val_loss))) {
            status = diverged(&team, epoch);
            break;
        }
        done++;
        if (listener != NULL)
            status = listener(context, epoch);
        if (status == STATUS_OK && patience_over(&patience, head, epoch->val_loss))
            break;
    }
    patience_restore(&patience, head);
    patience_free(&patience);
    *done_ret = done;
    team_free(&team);
    return status;
}
