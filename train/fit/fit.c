/* fit: trains heads as keras.Model.fit() does. */
#include "train/fit/fit.h"
#include "common/base/cpu.h"
#include "common/base/interrupt.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "train/fit/checkpoint.h"
#include "train/fit/evaluate.h"
#include "train/fit/learner.h"
#include "train/fit/pace.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* Everything of a fit but the heads. */
struct team {
    const struct fit_options *options;
    struct fit_head *heads;
    size_t head_count;
    struct learner *learners; /* [head] */
    struct learner **active;  /* [active_count]: those that neither diverged nor stopped early */
    size_t active_count;
    struct pace pace;
    struct learner_crew *crews; /* [threads], of which crew_count are in use, all with as many threads */
    size_t crew_count;
    float *parts;   /* [crew][2][head_parts] */
    float *scratch; /* [thread][scratch_count] */
    size_t scratch_count;
    struct data_rows train, validation;
    struct shuffle shuffle;
    size_t step;           /* optimizer steps made */
    size_t block_count;    /* of validation, with a sum each for each head */
    double *block_losses;  /* [head][block] */
    size_t *block_correct; /* [head][block] */
};

static enum status team_create(struct team *team) {
    const struct fit_options *options = team->options;
    const struct head *head = team->heads[0].head;
    size_t threads = (size_t)options->threads, part_count = head_parts(head);
    team->scratch_count = evaluate_scratch_count(head);
    team->block_count = (team->validation.count + head->block_rows - 1) / head->block_rows;
    team->learners = mem_alloc(team->head_count, sizeof *team->learners);
    if (team->learners != NULL) /* all of them, since team_free() takes them all */
        memset(team->learners, 0, team->head_count * sizeof *team->learners);
    team->active = calloc(team->head_count, sizeof *team->active);
    team->crews = mem_alloc(threads, sizeof *team->crews);
    team->parts = mem_alloc(threads * 2 * part_count, sizeof(float));
    team->scratch = mem_alloc(threads * team->scratch_count, sizeof(float));
    team->block_losses = mem_alloc(team->head_count * team->block_count, sizeof *team->block_losses);
    team->block_correct = mem_alloc(team->head_count * team->block_count, sizeof *team->block_correct);
    if (!team->learners || !team->active || !team->crews || !team->parts || !team->scratch ||
        !team->block_losses || !team->block_correct)
        return status_set_no_memory(threads * (2 * part_count + team->scratch_count) * sizeof(float), "a "
                                                                                                      "fit");
    enum status status =
        shuffle_create(&team->shuffle, team->train, options->batch_size, options->seed, options->part_nbytes);
    for (size_t h = 0; h < team->head_count && status == STATUS_OK; h++)
        status =
            learner_create(&team->learners[h], team->heads[h].head, &team->heads[h].optim, options->patience);
    return status;
}

static void team_free(struct team *team) {
    for (size_t h = 0; team->learners != NULL && h < team->head_count; h++)
        learner_free(&team->learners[h]);
    shuffle_free(&team->shuffle);
    mem_free(team->block_correct);
    mem_free(team->block_losses);
    mem_free(team->scratch);
    mem_free(team->parts);
    mem_free(team->crews);
    free(team->active);
    mem_free(team->learners);
}

/* The threads of this epoch. Those that have a head of their own do not wait for each other. */
static int epoch_threads(const struct team *team) {
    bool alone = team->active_count >= (size_t)team->options->threads;
    return alone ? team->options->threads : pace_threads(&team->pace);
}

/* Divides `threads` threads and the learners into crews: as many crews as there can be, so that few threads
 * wait for each other. A thread past the last crew has nothing to do. */
static void make_crews(struct team *team, size_t threads) {
    const struct head *head = team->heads[0].head;
    size_t part_count = head_parts(head);
    size_t crews = threads < team->active_count ? threads : team->active_count;
    size_t per_crew = threads / crews < head->piece_count ? threads / crews : head->piece_count;
    for (size_t i = 0; i < crews; i++) {
        size_t begin = team->active_count * i / crews, end = team->active_count * (i + 1) / crews;
        team->crews[i] = (struct learner_crew){
            .learners = team->active + begin,
            .learner_count = end - begin,
            .thread_count = per_crew,
            .parts = {team->parts + 2 * i * part_count, team->parts + (2 * i + 1) * part_count}};
    }
    team->crew_count = crews;
}

/* Takes the active heads through one part of an epoch. The threads of a crew wait for each other, so the crews
 * are made for the threads that there are: OpenMP may give fewer than asked for. */
static void run_part(struct team *team, const struct shuffle_part *part) {
    struct learner_work work = {.part = part,
                                .batch_size = team->options->batch_size,
                                .step = team->step,
                                .class_weights = team->options->class_weights};
    make_crews(team, (size_t)epoch_threads(team));
    size_t wanted = team->crew_count * team->crews[0].thread_count;
#pragma omp parallel num_threads((int)wanted) default(none) shared(team, work)
    {
#pragma omp single
        make_crews(team, (size_t)omp_get_num_threads());
        size_t thread = (size_t)omp_get_thread_num(), per_crew = team->crews[0].thread_count;
        unsigned before = cpu_flush_begin();
        if (thread / per_crew < team->crew_count)
            learner_crew_run(&team->crews[thread / per_crew], thread % per_crew, &work,
                             team->scratch + thread * team->scratch_count + head_parts(team->heads[0].head));
        cpu_flush_end(before);
    }
    team->step += (part->count - 1) / work.batch_size + 1;
}

/* Measures the active heads on the validation rows, into the sums of blocks. Shuffles for the next epoch in
 * the meantime. */
static enum status validate(struct team *team, size_t epoch) {
    size_t block_rows = team->heads[0].head->block_rows;
    struct data_rows window;
    for (size_t at = 0; at < team->validation.count; at += window.count) {
        enum status status = data_window(team->validation, at, SIZE_MAX, &window);
        if (status != STATUS_OK)
            return status;
        if (window.count < team->validation.count - at)
            window.count -= window.count % block_rows;
        size_t first_block = at / block_rows;
#pragma omp parallel num_threads(epoch_threads(team)) default(none) shared(team, window)                     \
    firstprivate(block_rows, first_block, epoch)
        {
            uint16_t predicted[HEAD_BLOCK_MAX];
            float *scratch = team->scratch + (size_t)omp_get_thread_num() * team->scratch_count;
            unsigned before = cpu_flush_begin();
#pragma omp single nowait
            shuffle_begin(&team->shuffle, epoch + 1); /* which waits for no memory, as the others do */
#pragma omp for schedule(dynamic)
            for (size_t first = 0; first < window.count; first += block_rows) {
                size_t left = window.count - first, count = left < block_rows ? left : block_rows;
                for (size_t i = 0; i < team->active_count && !interrupt_signal(); i++) {
                    size_t h = (size_t)(team->active[i] - team->learners);
                    size_t b = h * team->block_count + first_block + first / block_rows;
                    evaluate_block(team->heads[h].head, window, first, count, scratch, predicted, NULL,
                                   &team->block_losses[b], &team->block_correct[b]);
                }
            }
            cpu_flush_end(before);
        }
    }
    return STATUS_OK;
}

static double rate_of(const struct team *team, const struct optim_settings *optim, size_t epoch) {
    const struct fit_options *options = team->options;
    size_t epochs = options->schedule_epochs > 0 ? options->schedule_epochs : options->epochs;
    return optim->rate *
           optim_scheduled(options->schedule, epoch, epochs, options->step_epochs, options->step_factor);
}

/* One epoch of the active heads: training, then validation. */
static enum status run_epoch(struct team *team, size_t epoch) {
    struct shuffle_part part;
    for (size_t i = 0; i < team->active_count; i++) {
        struct learner *learner = team->active[i];
        learner->loss = 0;
        learner->correct = 0;
        learner_set_rate(learner, rate_of(team, &team->heads[learner - team->learners].optim, epoch));
    }
    shuffle_begin(&team->shuffle, epoch);
    enum status status = shuffle_next(&team->shuffle, &part);
    while (status == STATUS_OK && part.count > 0 && !interrupt_signal()) {
        run_part(team, &part);
        status = shuffle_next(&team->shuffle, &part);
    }
    if (status == STATUS_OK && !interrupt_signal())
        status = validate(team, epoch);
    if (status == STATUS_OK && interrupt_signal())
        status =
            status_set(STATUS_INTERRUPTED, "interrupted in epoch %zu of %zu", epoch, team->options->epochs);
    return status;
}

/* Writes the history of heads[h]; false when it diverged. */
static bool note_epoch(struct team *team, size_t h, size_t number, double seconds) {
    struct fit_head *head = &team->heads[h];
    const struct learner *learner = &team->learners[h];
    double rows = (double)team->train.count;
    struct evaluate_result result = evaluate_total(
        head->head, head->optim.l2, team->validation.count, team->block_count,
        team->block_losses + h * team->block_count, team->block_correct + h * team->block_count);
    struct fit_epoch *epoch = &head->history[number - 1];
    *epoch = (struct fit_epoch){.epoch = number,
                                .loss = learner->loss / rows,
                                .accuracy = (double)learner->correct / rows,
                                .val_loss = result.loss,
                                .val_accuracy = result.accuracy,
                                .seconds = seconds,
                                .learning_rate = rate_of(team, &head->optim, number)};
    bool finite = isfinite(epoch->loss) && (team->validation.count == 0 || isfinite(epoch->val_loss));
    head->diverged = finite ? 0 : number;
    head->done += finite;
    return finite;
}

/* All heads diverged: because of the features, or the rate of the first. */
static enum status diverged(const struct team *team) {
    const struct fit_head *head = &team->heads[0];
    enum status status = data_check_finite(team->train, 0);
    if (status == STATUS_OK)
        status = data_check_finite(team->validation, team->train.count);
    if (status != STATUS_OK)
        return status;
    return status_set(STATUS_NOT_FINITE,
                      "the %s is no longer a finite number in epoch %zu; try a smaller rate, as "
                      "--learning-rate=%g",
                      isfinite(head->history[head->diverged - 1].loss) ? "validation loss" : "loss",
                      head->diverged, head->optim.rate / 10);
}

/* The active learners are those that are not over. */
static void list_active(struct team *team) {
    team->active_count = 0;
    for (size_t h = 0; h < team->head_count; h++)
        if (!team->learners[h].over)
            team->active[team->active_count++] = &team->learners[h];
}

/* After an epoch: history, listener, and who goes on. */
static enum status end_epoch(struct team *team, size_t number, double seconds, fit_listener listener,
                             void *context) {
    size_t lost = 0;
    for (size_t i = 0; i < team->active_count; i++) {
        struct learner *learner = team->active[i];
        size_t h = (size_t)(learner - team->learners);
        learner->over = !note_epoch(team, h, number, seconds);
        if (learner->over)
            continue;
        const struct fit_epoch *epoch = &team->heads[h].history[number - 1];
        enum status status = listener == NULL ? STATUS_OK : listener(context, h, epoch);
        if (status != STATUS_OK)
            return status;
        learner->over = patience_over(&learner->patience, learner->head, epoch->val_loss);
    }
    list_active(team);
    for (size_t h = 0; h < team->head_count; h++)
        lost += team->heads[h].diverged > 0;
    return lost == team->head_count ? diverged(team) : STATUS_OK;
}

/* Goes on behind a checkpoint, if there is one; *epoch_ret is the last epoch that was finished, or 0. */
static enum status begin(struct team *team, size_t *epoch_ret) {
    const struct fit_options *options = team->options;
    *epoch_ret = 0;
    enum status status = STATUS_OK;
    if (options->checkpoint != NULL)
        status = checkpoint_read(options->checkpoint, options->epochs, epoch_ret, team->heads, team->learners,
                                 team->head_count);
    team->step = *epoch_ret * ((team->train.count - 1) / options->batch_size + 1);
    list_active(team);
    return status;
}

static enum status keep(const struct team *team, size_t epoch) {
    const struct checkpoint *checkpoint = team->options->checkpoint;
    if (checkpoint == NULL || epoch % checkpoint->every != 0)
        return STATUS_OK;
    return checkpoint_write(checkpoint, epoch, team->heads, team->learners, team->head_count);
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

enum status fit_heads(struct fit_head heads[], size_t count, struct data_rows train,
                      struct data_rows validation, const struct fit_options *options, fit_listener listener,
                      void *context) {
    assert(count > 0 && train.count > 0 && train.count <= UINT32_MAX && train.dim == heads[0].head->dim);
    assert(options->batch_size > 0 && options->threads > 0);
    struct team team = {.options = options,
                        .heads = heads,
                        .head_count = count,
                        .train = train,
                        .validation = validation,
                        .pace = {.most = options->threads}};
    size_t done = 0;
    for (size_t h = 0; h < count; h++)
        heads[h].done = heads[h].diverged = 0;
    enum status status = team_create(&team);
    if (status == STATUS_OK)
        status = begin(&team, &done);
    for (size_t epoch = done + 1; status == STATUS_OK && epoch <= options->epochs && team.active_count > 0;
         epoch++) {
        double start = progress_clock(), cpu_start = pace_cpu_clock();
        status = run_epoch(&team, epoch);
        if (train.features != NULL) /* else the disk may be what they wait for */
            pace_note(&team.pace, progress_clock() - start, pace_cpu_clock() - cpu_start);
        if (status == STATUS_OK)
            status = end_epoch(&team, epoch, progress_clock() - start, listener, context);
        if (status == STATUS_OK)
            status = keep(&team, epoch);
    }
    for (size_t h = 0; h < count && status == STATUS_OK; h++)
        patience_restore(&team.learners[h].patience, heads[h].head);
    team_free(&team);
    return status;
}

enum status fit_run(struct head *head, struct data_rows train, struct data_rows validation,
                    const struct fit_options *options, fit_listener listener, void *context,
                    struct fit_epoch *history, size_t *done_ret) {
    struct fit_head one = {.head = head, .optim = options->optim, .history = history};
    enum status status = fit_heads(&one, 1, train, validation, options, listener, context);
    *done_ret = one.done;
    return status;
}
