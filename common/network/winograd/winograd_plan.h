/* winograd_plan: what the files of the Winograd engine share, and only they. conv_winograd.c explains the
 * legend and the layout of memory. Each file calls only those after it: plan (conv_winograd.c), run, group,
 * fuse, direct, kernels. */
#ifndef COMMON_NETWORK_WINOGRAD_WINOGRAD_PLAN_H
#define COMMON_NETWORK_WINOGRAD_WINOGRAD_PLAN_H

#include "common/network/winograd/winograd.h"
#include "common/network/winograd/winograd_direct.h"

/* Tiles of one size: a rectangle of rows x columns tiles, and their transformed weights. */
struct winograd_kind {
    size_t mh, mw, nh, nw;
    size_t top, left;     /* first output pixel, before pooling */
    size_t rows, columns; /* of tiles */
    size_t group;         /* most tiles at a time */
    float *u;             /* [nh * nw][panels][C][2 L] */
};

struct conv_plan {
    struct conv_shape shape;
    struct winograd_kernels kernels;
    bool is_direct; /* few channels: `direct` is the plan, the rest is empty */
    struct winograd_direct direct;
    size_t c_chunks, k_chunks, panels; /* ceil(C / L), ceil(K / L), ceil(K / 2 L) */
    bool pool_after;                   /* some tiles are odd: pooling is a separate pass */
    size_t kinds_count;
    struct winograd_kind kinds[4];
    float *bias; /* [k_chunks * L] */
    /* winograd_fuse(): */
    const struct winograd_direct *first; /* NULL, or the layer before, which is computed tile by tile */
    float *background_in;                /* NULL, or the padded background, [pad_h][pad_w][C of first] */
    float *background_out;               /* and its outputs, [out_h][out_w][K], before a pool_after */
};

/* The data of one run. */
struct winograd_job {
    const struct conv_plan *plan;
    size_t count;
    const float *in;     /* [N][H][W][C], or with `first` [N][pad_h][pad_w][C of first] */
    float *out;          /* [N][out_h][out_w][K] */
    size_t out_h, out_w; /* after pooling, where the output transform does that */
    bool pool;           /* the output transform pools */
    float *slots;        /* of V and M */
    float *patch;        /* with `first`: [nh][nw][C] of its outputs under one tile */
    unsigned *list;      /* with `first`: indices of the tiles to compute */
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

/* Floats of a slot for `tiles` tiles. */
size_t winograd_slot_nfloats(const struct conv_plan *plan, size_t tiles);

/* The side of the outputs that the tiles write, for an image of `side`: pooled, or with pool_after not yet pooled. */
static inline size_t winograd_tiles_side(const struct conv_plan *plan, size_t side) {
    return plan->pool_after ? side / 2 * 2 : conv_output_side(&plan->shape, side);
}

/* conv_winograd.run() and .workspace_nbytes(), winograd_run.c. */
void winograd_run(const struct conv_plan *plan, size_t count, const float *in, float *out, void *workspace);
size_t winograd_run_workspace_nbytes(const struct conv_plan *plan, size_t count);

/* Like winograd_run(), but without the pass of pool_after: out[N][tiles_side(H)][tiles_side(W)][K]. It needs the
 * workspace of winograd_run() without the part for the outputs before pooling. */
void winograd_run_tiles(const struct conv_plan *plan, size_t count, const float *in, float *out,
                        float *workspace);

/* The three steps, winograd_group.c. */
void winograd_group_input(const struct winograd_job *job, const struct winograd_group *group);
void winograd_group_product(const struct winograd_job *job, const struct winograd_group *group);
void winograd_group_output(const struct winograd_job *job, const struct winograd_group *group);

/* With `first`, winograd_fuse.c. A padded image, pad[pad_h][pad_w][C of first], is in[H][W][C of first] with zeros
 * around it. The first function returns its number of floats, the second fills it. */
size_t winograd_fuse_pad_nfloats(const struct conv_plan *plan);
void winograd_fuse_pad(const struct conv_plan *plan, const float *in, float *pad);

/* The part of the workspace that this needs is [pad, patch, list], one after the other. The first function returns
 * its bytes. The second pads the images in[N][H][W][C of first] into it and points job->in, patch and list there. */
size_t winograd_fuse_workspace_nbytes(const struct conv_plan *plan, size_t count);
void winograd_fuse_begin(struct winograd_job *job, const float *in, float *workspace);

/* Writes the tiles of a kind that must be computed to job->list, and returns their number. Copies the outputs of the
 * others from the background's. */
size_t winograd_fuse_list(const struct winograd_job *job, const struct winograd_kind *kind);

/* Computes the first layer's outputs under a tile, all n x n, into job->patch. Those outside the image
 * have no meaning. */
void winograd_fuse_patch(const struct winograd_job *job, const struct winograd_kind *kind,
                         struct winograd_place place);

#endif
