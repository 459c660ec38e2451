/* winograd_fuse: the first layer computed inside the second, a tile's patch at a time, and the tiles that
 * show nothing but background left out. It owns the padded copies of the images.
 *
 * Why. The first layer has one channel (gray) and many filters: little arithmetic, and the largest output of
 * the network, which would go to memory and come back. Here the n x n pixels of it that a tile of the second
 * layer needs are computed when they are needed, into n * n * C floats that stay in the first-level cache.
 * Neighbouring tiles overlap by two pixels, so (n / m)^2 = 1.7 times the arithmetic is done.
 *
 * Why it is exact. A tile's outputs depend on (n + 2)^2 pixels of the image alone, and by the same operations
 * for every tile of a kind at that place. If these pixels are the background's, bit for bit, then so are the
 * outputs: they were computed once, by this very plan, when it was fused.
 *
 * Padded images: pad[pad_h][pad_w][C], the pixel (y, x) of the image being [y + 2][x + 2], zeros around it,
 * so far that the patches of tiles that overhang lie inside. */
#include "common/base/mem.h"
#include "common/base/size.h"
#include "common/network/winograd/winograd_plan.h"

#include <assert.h>
#include <string.h>

enum { PAD = 2 }; /* one for each layer */

/* The rows (or columns) of a padded image: the tiles reach `end`, their patches one more, and the patches' own
 * patches. */
static size_t pad_side(const struct conv_plan *plan, bool rows) {
    size_t end = rows ? plan->shape.height : plan->shape.width;
    for (size_t i = 0; i < plan->kinds_count; i++) {
        const struct winograd_kind *kind = &plan->kinds[i];
        end = size_max(end, rows ? kind->top + kind->rows * kind->mh : kind->left + kind->columns * kind->mw);
    }
    return end + 2 * PAD;
}

static size_t pad_w(const struct conv_plan *plan) {
    return pad_side(plan, false);
}

size_t winograd_fuse_pad_nfloats(const struct conv_plan *plan) {
    return pad_side(plan, true) * pad_w(plan) * plan->first->shape.channels;
}

void winograd_fuse_pad(const struct conv_plan *plan, const float *in, float *pad) {
    size_t H = plan->shape.height, row = plan->shape.width * plan->first->shape.channels;
    size_t pad_row = pad_w(plan) * plan->first->shape.channels;
    memset(pad, 0, winograd_fuse_pad_nfloats(plan) * sizeof(float));
    for (size_t y = 0; y < H; y++)
        memcpy(pad + (y + PAD) * pad_row + PAD * plan->first->shape.channels, in + y * row,
               row * sizeof(float));
}

/* ---- Workspace ---- */

static size_t patch_nbytes(const struct conv_plan *plan) {
    size_t most = 0;
    for (size_t i = 0; i < plan->kinds_count; i++)
        most = size_max(most, plan->kinds[i].nh * plan->kinds[i].nw);
    return mem_round_up(most * plan->shape.channels * sizeof(float));
}

static size_t list_nbytes(const struct conv_plan *plan, size_t count) {
    size_t most = 0;
    for (size_t i = 0; i < plan->kinds_count; i++)
        most = size_max(most, plan->kinds[i].rows * plan->kinds[i].columns);
    return mem_round_up(count * most * sizeof(unsigned));
}

size_t winograd_fuse_workspace_nbytes(const struct conv_plan *plan, size_t count) {
    return mem_round_up(count * winograd_fuse_pad_nfloats(plan) * sizeof(float)) + patch_nbytes(plan) +
           list_nbytes(plan, count);
}

void winograd_fuse_begin(struct winograd_job *job, const float *in, float *workspace) {
    const struct conv_plan *plan = job->plan;
    size_t nfloats = winograd_fuse_pad_nfloats(plan);
    size_t image = plan->shape.height * plan->shape.width * plan->first->shape.channels;
    for (size_t i = 0; i < job->count; i++)
        winograd_fuse_pad(plan, in + i * image, workspace + i * nfloats);
    job->in = workspace;
    char *patch = (char *)workspace + mem_round_up(job->count * nfloats * sizeof(float));
    job->patch = (float *)(void *)patch;
    job->list = (unsigned *)(void *)(patch + patch_nbytes(plan));
}

/* ---- Tiles ---- */

/* Whether the pixels that a tile depends on are the background's. */
static bool is_background(const struct winograd_job *job, const struct winograd_kind *kind,
                          struct winograd_place place) {
    const struct conv_plan *plan = job->plan;
    size_t C = plan->first->shape.channels, row = pad_w(plan) * C;
    const float *pad = job->in + place.image * winograd_fuse_pad_nfloats(plan) + place.y * row + place.x * C;
    const float *background = plan->background_in + place.y * row + place.x * C;
    for (size_t i = 0; i < kind->nh + 2; i++)
        if (memcmp(pad + i * row, background + i * row, (kind->nw + 2) * C * sizeof(float)) != 0)
            return false;
    return true;
}

/* The background's outputs of a tile, as far as they lie in the image. */
static void copy_background(const struct winograd_job *job, const struct winograd_kind *kind,
                            struct winograd_place place) {
    size_t halves = job->pool ? 2 : 1, K = job->plan->shape.filters;
    size_t y = place.y / halves, x = place.x / halves;
    size_t rows = size_min(kind->mh / halves, job->out_h - y);
    size_t columns = size_min(kind->mw / halves, job->out_w - x);
    for (size_t i = y; i < y + rows; i++)
        memcpy(job->out + ((place.image * job->out_h + i) * job->out_w + x) * K,
               job->plan->background_out + (i * job->out_w + x) * K, columns * K * sizeof(float));
}

size_t winograd_fuse_list(const struct winograd_job *job, const struct winograd_kind *kind) {
    size_t total = job->count * kind->rows * kind->columns, count = 0;
    for (size_t tile = 0; tile < total; tile++) {
        struct winograd_place place = winograd_place(kind, tile);
        if (job->plan->background_out != NULL && is_background(job, kind, place))
            copy_background(job, kind, place);
        else
            job->list[count++] = (unsigned)tile;
    }
    return count;
}

void winograd_fuse_patch(const struct winograd_job *job, const struct winograd_kind *kind,
                         struct winograd_place place) {
    const struct conv_plan *plan = job->plan;
    size_t C = plan->first->shape.channels, row = pad_w(plan) * C;
    const float *pad = job->in + place.image * winograd_fuse_pad_nfloats(plan) + place.y * row + place.x * C;
    for (size_t i = 0; i < kind->nh; i++, pad += row) {
        const float *const rows[3] = {pad, pad + row, pad + 2 * row};
        winograd_direct_pixels(plan->first, &plan->kernels, rows, kind->nw,
                               job->patch + i * kind->nw * plan->shape.channels);
    }
}
