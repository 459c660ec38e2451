/* winograd_kernels: the table of inner loops, one per instruction set, that the Winograd engine is built from. It
 * owns the layout of their operands and nothing else: no memory, no loops over images or tiles.
 *
 * Names: <op>_<tile>_<step>[_<fusion>]__<isa>, where f6k3 is the one-dimensional minimal filtering
 * F(6,3): 6 outputs of a 3-tap filter from 8 inputs by 8 multiplications. "only" and "upto" tell the
 * kernel for whole tiles from the one for tiles that the border of the image cuts.
 *     winograd_f6k3_input_columns__avx512      winograd_f6k3_output_rows_relu_pool__avx512
 *     gemm_rows14__avx512                      (a product of 14 rows)
 *
 * Legend: L lanes of a vector (16, 8 or 4 floats), m outputs and n = m + 2 points of a tile's side,
 * x = i * n + j the index of point (i, j) of a tile. Channels are cut into chunks of L. */
#ifndef COMMON_NETWORK_WINOGRAD_WINOGRAD_KERNELS_H
#define COMMON_NETWORK_WINOGRAD_WINOGRAD_KERNELS_H

#include "common/base/cpu.h"
#include <stddef.h>

enum {
    WINOGRAD_KERNELS_TILE_MAX = 8,    /* largest m; 1 and 5 have no kernels */
    WINOGRAD_KERNELS_POINTS_MAX = 10, /* its n */
    WINOGRAD_KERNELS_LANES_MAX = 16,
    WINOGRAD_KERNELS_DIRECT_CHANNELS_MAX = 4,
    WINOGRAD_KERNELS_BLOCK = 128,   /* channels in one chain of additions; a multiple of every L */
    WINOGRAD_KERNELS_ROWS_MAX = 14, /* largest number of rows that a product takes */
    WINOGRAD_KERNELS_TMP_NFLOATS =
        WINOGRAD_KERNELS_POINTS_MAX * WINOGRAD_KERNELS_POINTS_MAX * WINOGRAD_KERNELS_LANES_MAX
};

/* One chunk of the pixels under a tile: n x n pixels, those outside the image being zero and not in
 * memory. Rows [row_begin, row_end) and columns [column_begin, column_end) are inside. */
struct winograd_kernels_patch {
    const float *first;           /* L floats at pixel [row_begin][column_begin] */
    size_t row_step, column_step; /* in floats */
    size_t row_begin, row_end;
    size_t column_begin, column_end;
};

/* M = V U for `rows` tiles, two vectors of filters and all channels:
 *     v[chunk][rows_all][L]   the rows from `v` on; rows_all is the number of tiles in the group
 *     u[C][2 L]               C = chunks * L + tail, tail < L; channels past C are not read
 *     m[2][rows_all][L]
 * Each block of WINOGRAD_KERNELS_BLOCK channels is one chain of additions from its first channel up, and the blocks
 * are added in order: half the rounding error of one chain over 512 channels, for one per cent of the time or
 * less. Meanwhile it asks for prefetch_lines cache lines per chunk, from `prefetch` on. */
struct winograd_kernels_gemm {
    size_t chunks, tail, rows_all;
    const float *v, *u;
    float *m;
    const char *prefetch;
    size_t prefetch_lines;
};
typedef void (*winograd_kernels_gemm_func)(const struct winograd_kernels_gemm *gemm);

/* tmp[i][j] = sum over r of BT[i][r] patch[r][j], for j < columns; tmp is float[n][10][L]. */
typedef void (*winograd_kernels_input_columns_func)(const struct winograd_kernels_patch *patch,
                                                    size_t columns, float *tmp);
/* v[(i * n + j) * step] = sum over r of tmp[i][r] BT[j][r], for i < rows. */
typedef void (*winograd_kernels_input_rows_func)(const float *tmp, size_t rows, float *v, size_t step);
/* tmp[i][j] = sum over r of AT[i][r] m[(r * columns + j) * step], for j < columns, i < m. */
typedef void (*winograd_kernels_output_columns_func)(const float *m, size_t step, size_t columns, float *tmp);
/* out[i][j] = max(0, bias + sum over r of tmp[i][r] AT[j][r]), for i < rows, j < m. With _pool the
 * maximum over each 2 x 2 of those instead, rows / 2 by m / 2 of them; rows and m even. */
typedef void (*winograd_kernels_output_rows_func)(const float *tmp, size_t rows, const float *bias,
                                                  float *out, size_t row_step, size_t column_step);

/* A direct convolution of few channels: out[r][j] = max(0, bias[j] + sum over a, d of row[a][r * C + d]
 * u[a][d][j]) for r < `rows` pixels side by side, j < 2 L filters, a < 3, d < 3 C: row[a] is the a-th of
 * three rows of pixels with their channels, from the left neighbour of the first pixel on, so that a patch's
 * row is 3 C floats in line. */
struct winograd_kernels_direct {
    const float *row[3];
    const float *bias; /* [2 L] */
    const float *u;    /* [3][3 C][2 L] */
    float *out;
    size_t out_step; /* floats from pixel to pixel */
};
typedef void (*winograd_kernels_direct_func)(const struct winograd_kernels_direct *direct);

/* All that differs between instruction sets. Vectors are L floats, aligned to L floats. */
struct winograd_kernels {
    enum cpu_isa isa;
    size_t lanes;                                                   /* L */
    size_t rows_max;                                                /* a product takes 1 .. rows_max rows */
    winograd_kernels_gemm_func gemm[WINOGRAD_KERNELS_ROWS_MAX + 1]; /* [rows] */
    /* [m], NULL where there is none. _only wants whole patches, _upto takes any. */
    winograd_kernels_input_columns_func input_columns_only[WINOGRAD_KERNELS_TILE_MAX + 1];
    winograd_kernels_input_columns_func input_columns_upto[WINOGRAD_KERNELS_TILE_MAX + 1];
    winograd_kernels_input_rows_func input_rows[WINOGRAD_KERNELS_TILE_MAX + 1];
    winograd_kernels_output_columns_func output_columns[WINOGRAD_KERNELS_TILE_MAX + 1];
    winograd_kernels_output_rows_func output_rows[WINOGRAD_KERNELS_TILE_MAX + 1];
    winograd_kernels_output_rows_func output_rows_pool[WINOGRAD_KERNELS_TILE_MAX + 1]; /* even m alone */
    /* [C][pixels], NULL where there is none; 1 and rows_max always, and the sides of the tiles' patches as
     * far as rows_max goes. */
    winograd_kernels_direct_func direct[WINOGRAD_KERNELS_DIRECT_CHANNELS_MAX + 1]
                                       [WINOGRAD_KERNELS_ROWS_MAX + 1];
};

/* Sets the pointers for one instruction set, as the files kernels_<isa>.c define them. */
void winograd_kernels_fill__generic(struct winograd_kernels *kernels);
void winograd_kernels_fill__avx2(struct winograd_kernels *kernels);
void winograd_kernels_fill__avx512(struct winograd_kernels *kernels);

/* The table for an instruction set that cpu_isa_available(): first all generic, then overwritten. */
void winograd_kernels_init(struct winograd_kernels *kernels, enum cpu_isa isa);

#endif
