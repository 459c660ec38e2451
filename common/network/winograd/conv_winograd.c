/* conv_winograd: the engine "winograd", convolution by minimal filtering. It owns the plan of a layer
 * and the order of the work; the arithmetic is in kernels*.{c,h}, the choice of tiles in winograd_tiling.c.
 *
 * A tile is a patch of n x n input pixels and the m x m outputs that they give, n = m + 2. A group of T tiles
 * goes through three steps:
 *
 *     input      V[x][t][C] = BT patch B                for each of the n * n points x
 *     product    M[x][t][K] = V[x][t][C] U[x][C][K]     one matrix product per point
 *     output     out = max(0, AT M A + bias)            and the 2 x 2 maximum where it follows
 *
 * winograd_transforms.h derives AT, BT and U = G g GT. The tiles of one kind from all images of a call make
 * one list, which is cut into groups such that V and M stay in a cache.
 *
 * Memory. V[x] is float[C / L][T][L], chunks of L channels first: a chunk of a tile is what one vector
 * store of the transform writes, and the rows of a product lie side by side. M[x] likewise. M[x] takes the
 * place of V[x - 1], which is used up by then: with n * n + 1 slots, V[x] is slot x + 1 and M[x] is slot x. A
 * slot is an odd number of cache lines, so that the n * n lines that a transform touches fall into different
 * sets.
 *
 * Legend: N images, H rows, W columns, C channels, K kernels, L lanes, T tiles of a group. */
#include "common/base/mem.h"
#include "common/network/conv.h"
#include "common/network/winograd/winograd_plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Thread_local struct winograd_profile *winograd_profile;

/* ---- The plan ---- */

size_t winograd_slot_nfloats(const struct conv_plan *plan, size_t tiles) {
    size_t L = plan->kernels.lanes;
    size_t chunks = plan->panels * 2 > plan->c_chunks ? plan->panels * 2 : plan->c_chunks;
    size_t lines = mem_round_up(chunks * tiles * L * sizeof(float)) / MEM_ALIGNMENT;
    return (lines | 1) * MEM_ALIGNMENT / sizeof(float);
}

/* Tiles at a time. Where the second-level cache holds V and M of so many that reading the weights for them
 * alone is no burden (28: less than 5 bytes of weights per cycle), as many as fit; else so many that the
 * weights are the smaller part of the traffic. Measured: between 28 and 128 it hardly matters, below 20 it
 * does. */
static size_t group_of(const struct conv_plan *plan, const struct winograd_kind *kind) {
    enum { ENOUGH = 28, MANY = 112 };
    size_t one = (kind->nh * kind->nw + 1) * winograd_slot_nfloats(plan, 64) / 64 * sizeof(float);
    size_t fit = cpu_cache_nbytes(2) * 7 / 8 / one;
    return fit >= ENOUGH ? fit : MANY;
}

static enum status add_kind(struct conv_plan *plan, const struct conv_shape *shape, const float *kernel,
                            struct winograd_kind kind) {
    kind.nh = kind.mh + 2;
    kind.nw = kind.mw + 2;
    kind.group = group_of(plan, &kind);
    size_t width = 2 * plan->kernels.lanes;
    size_t count = kind.nh * kind.nw * plan->panels * width;
    kind.u = mem_alloc(count, shape->channels * sizeof(float));
    if (kind.u == NULL)
        return status_set_no_memory(count * shape->channels * sizeof(float), "transformed weights");
    winograd_weights_pack(shape, kernel, kind.mh, kind.mw, width, kind.u);
    plan->kinds[plan->kinds_count++] = kind;
    return STATUS_OK;
}

static enum status add_kinds(struct conv_plan *plan, const float *kernel,
                             const struct winograd_tiling *tiling) {
    const struct winograd_side *rows = &tiling->rows, *columns = &tiling->columns;
    size_t top = 0;
    for (int a = 0; a < 2; top += rows->size[a] * rows->count[a], a++) {
        size_t left = 0;
        for (int b = 0; b < 2; left += columns->size[b] * columns->count[b], b++) {
            if (rows->count[a] * columns->count[b] == 0)
                continue;
            struct winograd_kind kind = {.mh = rows->size[a],
                                         .mw = columns->size[b],
                                         .top = top,
                                         .left = left,
                                         .rows = rows->count[a],
                                         .columns = columns->count[b]};
            if (kind.mh % 2 != 0 || kind.mw % 2 != 0)
                plan->pool_after = plan->shape.pool;
            enum status status = add_kind(plan, &plan->shape, kernel, kind);
            if (status != STATUS_OK)
                return status;
        }
    }
    return STATUS_OK;
}

static void plan_free(struct conv_plan *plan) {
    if (plan == NULL)
        return;
    if (plan->is_direct)
        winograd_direct_free(&plan->direct);
    for (size_t i = 0; i < plan->kinds_count; i++)
        mem_free(plan->kinds[i].u);
    mem_free(plan->bias);
    mem_free(plan->background_in);
    mem_free(plan->background_out);
    free(plan);
}

enum status winograd_plan_create(struct conv_plan **plan_ret, const struct conv_shape *shape,
                                 const float *kernel, const float *bias, enum cpu_isa isa,
                                 const struct winograd_tiling *tiling) {
    assert(shape->height > 0 && shape->width > 0 && shape->channels > 0 && shape->kernels > 0);
    assert(!shape->pool || (shape->height > 1 && shape->width > 1));
    struct conv_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return status_set_no_memory(sizeof *plan, "the plan of a convolution");
    plan->shape = *shape;
    winograd_kernels_init(&plan->kernels, isa);
    enum status status;
    size_t L = plan->kernels.lanes;
    if (shape->channels <= WINOGRAD_KERNELS_DIRECT_CHANNELS_MAX && tiling == NULL) {
        plan->is_direct = true;
        status = winograd_direct_create(&plan->direct, shape, kernel, bias, &plan->kernels);
    } else {
        plan->c_chunks = (shape->channels + L - 1) / L;
        plan->k_chunks = (shape->kernels + L - 1) / L;
        plan->panels = (plan->k_chunks + 1) / 2;
        struct winograd_tiling chosen;
        if (tiling == NULL)
            winograd_tiling_choose(shape, L, &chosen);
        status = add_kinds(plan, kernel, tiling == NULL ? &chosen : tiling);
        plan->bias = mem_alloc(plan->k_chunks * L, sizeof(float));
        if (status == STATUS_OK && plan->bias == NULL)
            status = status_set_no_memory(plan->k_chunks * L * sizeof(float), "biases");
        if (status == STATUS_OK) {
            memset(plan->bias, 0, plan->k_chunks * L * sizeof(float));
            memcpy(plan->bias, bias, shape->kernels * sizeof(float));
        }
    }
    if (status != STATUS_OK) {
        plan_free(plan);
        return status;
    }
    *plan_ret = plan;
    return STATUS_OK;
}

static enum status plan_create(struct conv_plan **plan_ret, const struct conv_shape *shape,
                               const float *kernel, const float *bias) {
    enum cpu_isa isa;
    enum status status = cpu_isa_select(&isa);
    if (status != STATUS_OK)
        return status;
    return winograd_plan_create(plan_ret, shape, kernel, bias, isa, NULL);
}

/* ---- Workspace: the slots, first because all layers use them and they stay in the caches; with `first` what
 * that needs; with pool_after the outputs before pooling ---- */

static size_t slots_nbytes(const struct conv_plan *plan, size_t count) {
    size_t most = 0;
    for (size_t i = 0; i < plan->kinds_count; i++) {
        const struct winograd_kind *kind = &plan->kinds[i];
        size_t tiles = count * kind->rows * kind->columns;
        tiles = tiles < kind->group ? tiles : kind->group;
        size_t nbytes = (kind->nh * kind->nw + 1) * winograd_slot_nfloats(plan, tiles) * sizeof(float);
        most = nbytes > most ? nbytes : most;
    }
    return most;
}

static size_t tiles_nbytes(const struct conv_plan *plan, size_t count) {
    return slots_nbytes(plan, count) + (plan->first ? winograd_fuse_workspace_nbytes(plan, count) : 0);
}

static size_t wide_nbytes(const struct conv_plan *plan, size_t count) {
    const struct conv_shape *shape = &plan->shape;
    size_t pixels = (shape->height / 2 * 2) * (shape->width / 2 * 2);
    return plan->pool_after ? mem_round_up(count * pixels * shape->kernels * sizeof(float)) : 0;
}

static size_t workspace_nbytes(const struct conv_plan *plan, size_t count) {
    if (plan->is_direct)
        return winograd_direct_workspace_nbytes(&plan->direct);
    return tiles_nbytes(plan, count) + wide_nbytes(plan, count);
}

/* ---- The run ---- */

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void run_group(const struct winograd_job *job, const struct winograd_group *group) {
    struct winograd_profile *profile = winograd_profile;
    double start = profile ? seconds() : 0;
    winograd_group_input(job, group);
    double input = profile ? seconds() : 0;
    winograd_group_product(job, group);
    double product = profile ? seconds() : 0;
    winograd_group_output(job, group);
    if (profile) {
        profile->input += input - start;
        profile->product += product - input;
        profile->output += seconds() - product;
    }
}

/* All tiles of a kind, in groups of about the same size. */
static void run_kind(const struct winograd_job *job, const struct winograd_kind *kind) {
    struct winograd_group group = {.kind = kind};
    size_t total = job->count * kind->rows * kind->columns;
    if (job->plan->first != NULL) {
        total = winograd_fuse_list(job, kind);
        group.list = job->list;
    }
    size_t groups = (total + kind->group - 1) / kind->group;
    for (size_t g = 0; g < groups; g++) {
        size_t end = (g + 1) * total / groups;
        group.tiles = end - group.first;
        group.slot = winograd_slot_nfloats(job->plan, group.tiles);
        run_group(job, &group);
        group.first = end;
        if (group.list != NULL)
            group.list += group.tiles;
    }
}

/* keras.layers.MaxPooling2D(2) of in[count][h][w][K], h and w even. */
static void pool_pass(const float *in, size_t count, size_t h, size_t w, size_t K, float *out) {
    for (size_t row = 0; row < count * h / 2; row++, in += 2 * w * K)
        for (size_t x = 0; x < w / 2; x++, out += K) {
            const float *top = in + 2 * x * K, *bottom = top + w * K;
            for (size_t k = 0; k < K; k++) {
                float a = top[k] > top[K + k] ? top[k] : top[K + k];
                float b = bottom[k] > bottom[K + k] ? bottom[k] : bottom[K + k];
                out[k] = a > b ? a : b;
            }
        }
}

void winograd_run_tiles(const struct conv_plan *plan, size_t count, const float *in, float *out,
                        float *workspace) {
    struct winograd_job job = {.plan = plan, .count = count, .in = in, .out = out, .slots = workspace};
    job.pool = plan->shape.pool && !plan->pool_after;
    job.out_h = winograd_tiles_side(plan, plan->shape.height);
    job.out_w = winograd_tiles_side(plan, plan->shape.width);
    if (plan->first != NULL)
        winograd_fuse_begin(&job, in, workspace + slots_nbytes(plan, count) / sizeof(float));
    for (size_t i = 0; i < plan->kinds_count; i++)
        run_kind(&job, &plan->kinds[i]);
}

static void run(const struct conv_plan *plan, size_t count, const float *in, float *out, void *workspace) {
    if (plan->is_direct) {
        winograd_direct_run(&plan->direct, &plan->kernels, count, in, out, workspace);
        return;
    }
    if (!plan->pool_after) {
        winograd_run_tiles(plan, count, in, out, workspace);
        return;
    }
    float *wide = (float *)workspace + tiles_nbytes(plan, count) / sizeof(float);
    winograd_run_tiles(plan, count, in, wide, workspace);
    pool_pass(wide, count, winograd_tiles_side(plan, plan->shape.height),
              winograd_tiles_side(plan, plan->shape.width), plan->shape.kernels, out);
}

const struct conv_engine conv_winograd = {
    .name = "winograd",
    .gray_input = true,
    .plan_create = plan_create,
    .plan_free = plan_free,
    .workspace_nbytes = workspace_nbytes,
    .run = run,
    .fuse = winograd_fuse,
};
