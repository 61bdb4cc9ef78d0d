/* gemm_tile.h: the shapes of the tiles that matrix kernels keep in registers; for files that are compiled for each
 * instruction set. */
#ifndef TL_CPU_GEMM_TILE_H
#define TL_CPU_GEMM_TILE_H

#include "backends/cpu/gemm.h"
#include "backends/cpu/unroll.h"
#include "backends/cpu/vector.h"

/* Every loop over a tile is unrolled (UNROLL), that over k never. */

#define LINE 16 /* floats in a cache line */

/* heights[vectors - 1]: the most rows of a tile that is so many vectors wide; TALLEST is the most of all. Measured:
 * enough independent sums to hide the latency, as few loads per multiply-add as the registers allow. */
#define TILES_TO_5(X, width) X(1, width) X(2, width) X(3, width) X(4, width) X(5, width)
#define TILES_TO_6(X, width) TILES_TO_5(X, width) X(6, width)
#define TILES_TO_7(X, width) TILES_TO_6(X, width) X(7, width)
#define TILES_TO_8(X, width) TILES_TO_7(X, width) X(8, width)
#define TALLEST 8
#if VL == 16 /* 32 registers; a row's element is a register for a moment */
#define WIDTH 4
static const int heights[WIDTH] = {8, 8, 8, 6};
#define TILES(X) TILES_TO_8(X, 1) TILES_TO_8(X, 2) TILES_TO_8(X, 3) TILES_TO_6(X, 4)
#elif defined(__aarch64__) /* 32 registers; compilers load the elements of all rows before the first is used */
#define WIDTH 4
static const int heights[WIDTH] = {8, 8, 7, 5};
#define TILES(X) TILES_TO_8(X, 1) TILES_TO_8(X, 2) TILES_TO_7(X, 3) TILES_TO_5(X, 4)
#else /* 16 registers */
#define WIDTH 2
static const int heights[WIDTH] = {8, 6};
#define TILES(X) TILES_TO_8(X, 1) TILES_TO_6(X, 2)
#endif

/* GEMM_SPREAD(x, g, k): lane k of each g lanes, in all of them; both are literals. */
#define GEMM_FROM(l, g, k) ((l) / (g) * (g) + (k))
#define GEMM_FROM4(l, g, k) GEMM_FROM(l, g, k), GEMM_FROM(l + 1, g, k), GEMM_FROM(l + 2, g, k), GEMM_FROM(l + 3, g, k)
#if VL == 16
#define GEMM_SPREAD(x, g, k) \
    __builtin_shufflevector(x, x, GEMM_FROM4(0, g, k), GEMM_FROM4(4, g, k), GEMM_FROM4(8, g, k), GEMM_FROM4(12, g, k))
#elif VL == 8
#define GEMM_SPREAD(x, g, k) __builtin_shufflevector(x, x, GEMM_FROM4(0, g, k), GEMM_FROM4(4, g, k))
#else
#define GEMM_SPREAD(x, g, k) __builtin_shufflevector(x, x, GEMM_FROM4(0, g, k))
#endif

/* What ends a row of the product, for the last vector of a tile, of which only `valid` columns exist. */
static __attribute__((noinline, unused)) void gemm_finish_partly(const cpu_gemm_panel *p, int row, int height,
                                                                  int column, const float sums[][VL]) {
    int valid = p->columns - column;
    for (int i = 0; i < height; i++) {
        int64_t at = p->at[row + i] + column;
        for (int l = 0; l < valid; l++) {
            float x = sums[i][l];
            if (p->bias)
                x += p->bias[column + l];
            if (p->residual)
                x += p->residual[at + l];
            if (p->relu)
                x = x < 0 ? 0 : x;
            if (p->mask)
                x = p->mask[at + l] > 0 ? x : 0;
            p->y[at + l] = x;
        }
    }
}

#endif
