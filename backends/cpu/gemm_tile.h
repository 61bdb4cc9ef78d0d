/* gemm_tile.h: the shapes of the tiles that matrix kernels keep in registers; for files that are compiled for each
 * instruction set. */
#ifndef TL_CPU_GEMM_TILE_H
#define TL_CPU_GEMM_TILE_H

#include "backends/cpu/gemm.h"
#include "backends/cpu/vector.h"

/* The accumulators must be registers, so every loop over the tile has to be unrolled away, k never. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#define LINE 16 /* floats in a cache line */

/* heights[vectors - 1]: the most rows of a tile that is so many vectors wide; TALLEST is the most of all. Measured:
 * enough independent sums to hide the latency, as few loads per multiply-add as the registers allow. */
#if VL == 16 || defined(__aarch64__)
#define WIDTH 4
#define TALLEST 8
static const int heights[WIDTH] = {8, 8, 8, 6};
#define TILES(X) \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2) \
    X(1, 3) X(2, 3) X(3, 3) X(4, 3) X(5, 3) X(6, 3) X(7, 3) X(8, 3) \
    X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4) X(6, 4)
#elif VL == 8
#define WIDTH 2
#define TALLEST 8
static const int heights[WIDTH] = {8, 6};
#define TILES(X) \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2)
#else
#define WIDTH 4
#define TALLEST 6
static const int heights[WIDTH] = {6, 4, 4, 3};
#define TILES(X) \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) \
    X(1, 3) X(2, 3) X(3, 3) X(4, 3) \
    X(1, 4) X(2, 4) X(3, 4)
#endif


/* What ends a row of the product, for the last vector of a tile, of which only `valid` columns exist. */
static __attribute__((noinline, unused)) void gemm_finish_partly(const cpu_gemm_panel *p, int row, int height, int column,
                                                                  const float sums[][VL]) {
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
