/* winograd_group: the three steps of a group of tiles: the transform of the inputs, the products, the
 * transform of the sums. It owns the loops over tiles and chunks of channels; conv_winograd.c says what is
 * where. */
#include "common/base/size.h"
#include "common/network/winograd/winograd_plan.h"

#include <string.h>

/* The part of n pixels from `first - 1` on that lies in an image of `side`: [*begin, *end). */
static void clip(size_t first, size_t n, size_t side, size_t *begin, size_t *end) {
    *begin = first == 0;
    *end = first + n - 1 <= side ? n : side - first + 1;
}

/* The last C % L channels of a patch, zeros after them and outside the image. */
static void copy_tail(const struct winograd_kernels_patch *patch, size_t nw, size_t channels, size_t L,
                      float *to) {
    for (size_t i = patch->row_begin; i < patch->row_end; i++)
        for (size_t j = patch->column_begin; j < patch->column_end; j++)
            memcpy(to + (i * nw + j) * L,
                   patch->first + (i - patch->row_begin) * patch->row_step +
                       (j - patch->column_begin) * patch->column_step,
                   channels * sizeof(float));
}

/* The pixels under a tile: in the image, or with a layer fused in front, computed. */
static struct winograd_kernels_patch patch_of(const struct winograd_job *job,
                                              const struct winograd_kind *kind, struct winograd_place place) {
    const struct conv_shape *shape = &job->plan->shape;
    size_t H = shape->height, W = shape->width, C = shape->channels;
    struct winograd_kernels_patch patch = {.column_step = C};
    clip(place.y, kind->nh, H, &patch.row_begin, &patch.row_end);
    clip(place.x, kind->nw, W, &patch.column_begin, &patch.column_end);
    if (job->plan->first != NULL) {
        winograd_fuse_patch(job, kind, place);
        patch.row_step = kind->nw * C;
        patch.first = job->patch + (patch.row_begin * kind->nw + patch.column_begin) * C;
    } else {
        patch.row_step = W * C;
        patch.first =
            job->in +
            ((place.image * H + place.y + patch.row_begin - 1) * W + place.x + patch.column_begin - 1) * C;
    }
    return patch;
}

void winograd_group_input(const struct winograd_job *job, const struct winograd_group *group) {
    const struct winograd_kind *kind = group->kind;
    const struct winograd_kernels *kernels = &job->plan->kernels;
    size_t L = kernels->lanes, C = job->plan->shape.channels;
    float tmp[WINOGRAD_KERNELS_TMP_NFLOATS] __attribute__((aligned(64)));
    for (size_t t = 0; t < group->tiles; t++) {
        struct winograd_kernels_patch patch = patch_of(job, kind, winograd_group_place(group, t));
        bool whole =
            patch.row_end - patch.row_begin == kind->nh && patch.column_end - patch.column_begin == kind->nw;
        winograd_kernels_input_columns_func columns =
            whole ? kernels->input_columns_only[kind->mh] : kernels->input_columns_upto[kind->mh];
        float *v = job->slots + group->slot + t * L;
        for (size_t c = 0; c + L <= C; c += L, patch.first += L, v += group->tiles * L) {
            columns(&patch, kind->nw, tmp);
            kernels->input_rows[kind->mw](tmp, kind->nh, v, group->slot);
        }
        if (C % L != 0) {
            float tail[WINOGRAD_KERNELS_TMP_NFLOATS] __attribute__((aligned(64))) = {0};
            copy_tail(&patch, kind->nw, C % L, L, tail);
            struct winograd_kernels_patch padded = {.first = tail,
                                                    .row_step = kind->nw * L,
                                                    .column_step = L,
                                                    .row_end = kind->nh,
                                                    .column_end = kind->nw};
            kernels->input_columns_only[kind->mh](&padded, kind->nw, tmp);
            kernels->input_rows[kind->mw](tmp, kind->nh, v, group->slot);
        }
    }
}

/* The products of all points. Rows go in blocks of about the same size. While a panel of weights is in use,
 * for all blocks, the next one is asked for, a few cache lines per chunk of channels. */
void winograd_group_product(const struct winograd_job *job, const struct winograd_group *group) {
    const struct conv_plan *plan = job->plan;
    const struct winograd_kind *kind = group->kind;
    const struct winograd_kernels *kernels = &plan->kernels;
    size_t L = kernels->lanes, C = plan->shape.channels, T = group->tiles;
    size_t panel_nfloats = C * 2 * L, points = kind->nh * kind->nw;
    size_t blocks = (T + kernels->rows_max - 1) / kernels->rows_max;
    struct winograd_kernels_gemm gemm = {.chunks = C / L, .tail = C % L, .rows_all = T, .u = kind->u};
    size_t asks = blocks * gemm.chunks;
    if (asks > 0)
        gemm.prefetch_lines = (panel_nfloats * sizeof(float) / 64 + asks - 1) / asks;
    for (size_t x = 0; x < points; x++) {
        const float *v = job->slots + (x + 1) * group->slot;
        float *m = job->slots + x * group->slot;
        for (size_t panel = 0; panel < plan->panels; panel++, gemm.u += panel_nfloats) {
            bool last = x + 1 == points && panel + 1 == plan->panels;
            gemm.prefetch = (const char *)(last ? kind->u : gemm.u + panel_nfloats);
            for (size_t block = 0, row = 0; block < blocks; block++) {
                size_t end = (block + 1) * T / blocks;
                gemm.v = v + row * L;
                gemm.m = m + (panel * 2 * T + row) * L;
                kernels->gemm[end - row](&gemm);
                row = end;
                gemm.prefetch += gemm.prefetch_lines * gemm.chunks * 64;
            }
        }
    }
}

/* From a tile's outputs tile[rows][columns][L] to the image, as far as they lie in it. */
static void copy_part(const float *tile, size_t columns, size_t rows_kept, size_t columns_kept,
                      size_t filters_kept, size_t L, float *out, size_t row_step, size_t column_step) {
    for (size_t i = 0; i < rows_kept; i++)
        for (size_t j = 0; j < columns_kept; j++)
            memcpy(out + i * row_step + j * column_step, tile + (i * columns + j) * L,
                   filters_kept * sizeof(float));
}

void winograd_group_output(const struct winograd_job *job, const struct winograd_group *group) {
    const struct conv_plan *plan = job->plan;
    const struct winograd_kind *kind = group->kind;
    const struct winograd_kernels *kernels = &plan->kernels;
    size_t L = kernels->lanes, K = plan->shape.filters, halves = job->pool ? 2 : 1;
    winograd_kernels_output_columns_func columns = kernels->output_columns[kind->mh];
    winograd_kernels_output_rows_func rows =
        (job->pool ? kernels->output_rows_pool : kernels->output_rows)[kind->mw];
    size_t tile_h = kind->mh / halves, tile_w = kind->mw / halves;
    float tmp[WINOGRAD_KERNELS_TMP_NFLOATS] __attribute__((aligned(64)));
    for (size_t t = 0; t < group->tiles; t++) {
        struct winograd_place place = winograd_group_place(group, t);
        size_t y = place.y / halves, x = place.x / halves;
        size_t kept_h = size_min(job->out_h - y, tile_h);
        size_t kept_w = size_min(job->out_w - x, tile_w);
        const float *m = job->slots + t * L;
        float *out = job->out + ((place.image * job->out_h + y) * job->out_w + x) * K;
        for (size_t k = 0; k < K; k += L, m += group->tiles * L, out += L) {
            columns(m, group->slot, kind->nw, tmp);
            if (kept_h == tile_h && kept_w == tile_w && K - k >= L) {
                rows(tmp, kind->mh, plan->bias + k, out, job->out_w * K, K);
            } else {
                float tile[WINOGRAD_KERNELS_TMP_NFLOATS] __attribute__((aligned(64)));
                rows(tmp, kind->mh, plan->bias + k, tile, tile_w * L, L);
                copy_part(tile, tile_w, kept_h, kept_w, size_min(K - k, L), L, out, job->out_w * K, K);
            }
        }
    }
}
