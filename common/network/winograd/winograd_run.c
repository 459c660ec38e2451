/* winograd_run: the order of the work of a layer, group of tiles by group, and the memory for it. The legend is that of
 * conv_winograd.c. */
#include "common/base/mem.h"
#include "common/base/size.h"
#include "common/network/winograd/winograd_plan.h"

#include <time.h>

_Thread_local struct winograd_profile *winograd_profile;

size_t winograd_slot_nfloats(const struct conv_plan *plan, size_t tiles) {
    size_t L = plan->kernels.lanes;
    size_t chunks = size_max(plan->panels * 2, plan->c_chunks);
    size_t lines = mem_round_up(chunks * tiles * L * sizeof(float)) / MEM_ALIGNMENT;
    return (lines | 1) * MEM_ALIGNMENT / sizeof(float);
}

/* ---- Workspace: the slots, first because all layers use them and they stay in the caches; with `first` what
 * that needs; with pool_after the outputs before pooling ---- */

static size_t slots_nbytes(const struct conv_plan *plan, size_t count) {
    size_t most = 0;
    for (size_t i = 0; i < plan->kinds_count; i++) {
        const struct winograd_kind *kind = &plan->kinds[i];
        size_t tiles = size_min(count * kind->rows * kind->columns, kind->group);
        most = size_max(most, (kind->nh * kind->nw + 1) * winograd_slot_nfloats(plan, tiles) * sizeof(float));
    }
    return most;
}

static size_t tiles_nbytes(const struct conv_plan *plan, size_t count) {
    return slots_nbytes(plan, count) + (plan->first ? winograd_fuse_workspace_nbytes(plan, count) : 0);
}

static size_t wide_nbytes(const struct conv_plan *plan, size_t count) {
    const struct conv_shape *shape = &plan->shape;
    size_t pixels = (shape->height / 2 * 2) * (shape->width / 2 * 2);
    return plan->pool_after ? mem_round_up(count * pixels * shape->filters * sizeof(float)) : 0;
}

size_t winograd_run_workspace_nbytes(const struct conv_plan *plan, size_t count) {
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

void winograd_run(const struct conv_plan *plan, size_t count, const float *in, float *out, void *workspace) {
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
    /* The height of an image is even here, so all images are one high one. */
    conv_pool(wide, count * winograd_tiles_side(plan, plan->shape.height),
              winograd_tiles_side(plan, plan->shape.width), plan->shape.filters, out);
}
