/* conv_winograd: the engine "winograd", convolution by minimal filtering. It owns the plan of a layer; winograd_run.c
 * has the order of the work, winograd_kernels*.{c,h} the arithmetic, winograd_tiling.c the choice of tiles.
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
 * Legend: N images, H rows, W columns, C channels, K filters, L lanes, T tiles of a group. */
#include "common/base/mem.h"
#include "common/network/conv.h"
#include "common/network/winograd/winograd_plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- The plan ---- */

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
    assert(shape->height > 0 && shape->width > 0 && shape->channels > 0 && shape->filters > 0);
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
        plan->k_chunks = (shape->filters + L - 1) / L;
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
            memcpy(plan->bias, bias, shape->filters * sizeof(float));
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

/* ---- Two layers in one ---- */

/* Pads the background and runs it through the plan, which leaves nothing out yet. */
static enum status learn_background(struct conv_plan *plan, const float *background) {
    size_t out_nfloats = winograd_tiles_side(plan, plan->shape.height) *
                         winograd_tiles_side(plan, plan->shape.width) * plan->shape.filters;
    size_t work_nbytes = winograd_run_workspace_nbytes(plan, 1);
    float *in = mem_alloc(winograd_fuse_pad_nfloats(plan), sizeof(float));
    float *out = mem_alloc(out_nfloats, sizeof(float));
    float *work = mem_alloc(work_nbytes, 1);
    if (in == NULL || out == NULL || work == NULL) {
        mem_free(in);
        mem_free(out);
        mem_free(work);
        return status_set_no_memory(work_nbytes + out_nfloats * sizeof(float), "the background");
    }
    winograd_run_tiles(plan, 1, background, out, work);
    winograd_fuse_pad(plan, background, in);
    plan->background_in = in;
    plan->background_out = out;
    mem_free(work);
    return STATUS_OK;
}

enum status winograd_fuse(struct conv_plan *plan, const struct conv_plan *first, const float *background) {
    assert(!plan->is_direct && plan->first == NULL && first->is_direct);
    assert(!first->shape.pool && first->shape.height == plan->shape.height &&
           first->shape.width == plan->shape.width && first->shape.filters == plan->shape.channels &&
           first->kernels.isa == plan->kernels.isa);
    plan->first = &first->direct;
    if (background == NULL)
        return STATUS_OK;
    enum status status = learn_background(plan, background);
    if (status != STATUS_OK)
        plan->first = NULL;
    return status;
}

const struct conv_engine conv_winograd = {
    .name = "winograd",
    .gray_input = true,
    .plan_create = plan_create,
    .plan_free = plan_free,
    .workspace_nbytes = winograd_run_workspace_nbytes,
    .run = winograd_run,
    .fuse = winograd_fuse,
};
