/* winograd_plan: what the files of the Winograd engine know of each other, and nobody else. The legend and the layout
 * of memory are explained in conv_winograd.c. Each calls only those behind it: plan (conv_winograd.c), run, group,
 * fuse, direct, kernels. */
#ifndef COMMON_NETWORK_WINOGRAD_WINOGRAD_PLAN_H
#define COMMON_NETWORK_WINOGRAD_WINOGRAD_PLAN_H

#include "common/network/winograd/winograd.h"
#include "common/network/winograd/winograd_direct.h"

/* Tiles of one size: a rectangle of rows x columns of them, and their weights. */
struct winograd_kind {
    size_t mh, mw, nh, nw;
    size_t top, left;     /* first output pixel, before pooling */
    size_t rows, columns; /* of tiles */
    size_t group;         /* at most so many tiles at a time */
    float *u;             /* [nh * nw][panels][C][2 L] */
};

struct conv_plan {
    struct conv_shape shape;
    struct winograd_kernels kernels;
    bool is_direct; /* few channels: `direct` is the plan, and the rest is empty */
    struct winograd_direct direct;
    size_t c_chunks, k_chunks, panels; /* ceil(C / L), ceil(K / L), ceil(K / 2 L) */
    bool pool_after;                   /* there are odd tiles: pooling is a pass of its own */
    size_t kinds_count;
    struct winograd_kind kinds[4];
    float *bias; /* [k_chunks * L] */
    /* winograd_fuse(): */
    const struct winograd_direct *first; /* NULL, or the layer before, computed tile by tile */
    float *background_in;  /* NULL, or [pad_h][pad_w][C of first]: the image that is not computed again */
    float *background_out; /* and what it gives, [out_h][out_w][K], before a pool_after */
};

/* What a run works on. */
struct winograd_job {
    const struct conv_plan *plan;
    size_t count;
    const float *in;     /* [N][H][W][C], or with `first` [N][pad_h][pad_w][C of first] */
    float *out;          /* [N][out_h][out_w][K] */
    size_t out_h, out_w; /* after pooling, where the output transform does that */
    bool pool;           /* in the output transform */
    float *slots;        /* of V and M */
    float *patch;        /* with `first`: [nh][nw][C] of its outputs under one tile */
    unsigned *list;      /* with `first`: indices of tiles */
};

/* Some tiles of a kind, which go through the three steps together. */
struct winograd_group {
    const struct winograd_kind *kind;
    const unsigned *list; /* indices of the tiles in all images of the call, NULL: first, first + 1, ... */
    size_t first, tiles;
    size_t slot; /* floats from one point's matrix to the next */
};

/* The place of a tile: its image and its first output pixel, before pooling. */
struct winograd_place {
    size_t image, y, x;
};

static inline struct winograd_place winograd_place(const struct winograd_kind *kind, size_t tile) {
    size_t per_image = kind->rows * kind->columns, in_image = tile % per_image;
    return (struct winograd_place){.image = tile / per_image,
                                   .y = kind->top + in_image / kind->columns * kind->mh,
                                   .x = kind->left + in_image % kind->columns * kind->mw};
}

/* The t-th tile of a group. */
static inline struct winograd_place winograd_group_place(const struct winograd_group *group, size_t t) {
    return winograd_place(group->kind, group->list ? group->list[t] : group->first + t);
}

/* Floats of a slot for so many tiles. */
size_t winograd_slot_nfloats(const struct conv_plan *plan, size_t tiles);

/* The outputs of the tiles have this side where the image has `side`: pooled, or with pool_after not yet. */
static inline size_t winograd_tiles_side(const struct conv_plan *plan, size_t side) {
    return plan->pool_after ? side / 2 * 2 : conv_output_side(&plan->shape, side);
}

/* conv_winograd.run() and .workspace_nbytes(), winograd_run.c. */
void winograd_run(const struct conv_plan *plan, size_t count, const float *in, float *out, void *workspace);
size_t winograd_run_workspace_nbytes(const struct conv_plan *plan, size_t count);

/* Like winograd_run(), but without a pool_after: out[N][tiles_side(H)][tiles_side(W)][K]. The workspace is that of
 * winograd_run() less the outputs before pooling. */
void winograd_run_tiles(const struct conv_plan *plan, size_t count, const float *in, float *out,
                        float *workspace);

/* The three steps, winograd_group.c. */
void winograd_group_input(const struct winograd_job *job, const struct winograd_group *group);
void winograd_group_product(const struct winograd_job *job, const struct winograd_group *group);
void winograd_group_output(const struct winograd_job *job, const struct winograd_group *group);

/* With `first`, winograd_fuse.c. A padded image is pad[pad_h][pad_w][C of first]: its floats, and the image
 * in[H][W][C of first] in the middle of zeros. */
size_t winograd_fuse_pad_nfloats(const struct conv_plan *plan);
void winograd_fuse_pad(const struct conv_plan *plan, const float *in, float *pad);

/* Bytes of its part of the workspace, [pad, patch, list] in a row; pads the
 * images of in[N][H][W][C of first] and points job->in, patch and list into that part. */
size_t winograd_fuse_workspace_nbytes(const struct conv_plan *plan, size_t count);
void winograd_fuse_begin(struct winograd_job *job, const float *in, float *workspace);

/* The tiles of a kind that are to be computed, into job->list; the outputs of the others are copied from the
 * background's. Returns their number. */
size_t winograd_fuse_list(const struct winograd_job *job, const struct winograd_kind *kind);

/* The first layer's outputs under a tile to job->patch: all n x n, nonsense outside the image. */
void winograd_fuse_patch(const struct winograd_job *job, const struct winograd_kind *kind,
                         struct winograd_place place);

#endif
