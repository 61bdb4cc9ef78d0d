/* gemm_outer.c: sums of outer products, for the gradients of weights; compiled for each instruction set. */
#include <string.h>

#include "backends/cpu/gemm.h"
#include "backends/cpu/gemm_tile.h"
#include "backends/cpu/kernels.h"

static __attribute__((noinline)) void finish_partly(float *y, int64_t step, int height, int valid, int add,
                                                    const float sums[][VL]) {
    for (int i = 0; i < height; i++)
        for (int l = 0; l < valid; l++)
            y[i * step + l] = add ? y[i * step + l] + sums[i][l] : sums[i][l];
}

static inline __attribute__((always_inline)) void tile(const cpu_gemm_outer *o, int64_t row, const int height,
                                                       const int width) {
    vf sum[TALLEST][WIDTH];
    UNROLL for (int i = 0; i < height; i++)
        UNROLL for (int j = 0; j < width; j++)
            sum[i][j] = (vf){0};
    const int64_t count = o->count, a_step = o->a_step ? o->a_step : height, b_step = o->b_step;
    const float *a = o->a + (o->a_step ? row : row * count), *b = o->b;
    const float *a_soon = o->a_soon + row;
    const int64_t a_soon_step = o->a_soon_step, b_soon = row / TALLEST % WIDTH * LINE;
    const float *const *soon = o->b_soon;
    for (int64_t p = 0; p < count; p++, a += a_step, b += b_step, a_soon += a_soon_step) {
        __builtin_prefetch(a_soon, 0, 2);
        __builtin_prefetch(soon[p] + b_soon, 0, 2);
        vf w[WIDTH];
        UNROLL for (int j = 0; j < width; j++)
            w[j] = v_load(b + j * VL);
        UNROLL for (int i = 0; i < height; i++) {
            vf x = v_set(a[i]);
            UNROLL for (int j = 0; j < width; j++)
                sum[i][j] += w[j] * x;
        }
    }
    /* Sums of a block are added to those before it, rather than continued: fewer roundings for each of them. */
    float *y = o->y + row * o->y_step;
    const int whole = o->columns >= width * VL;
    UNROLL for (int i = 0; i < height; i++)
        UNROLL for (int j = 0; j < width; j++) {
            float *to = y + i * o->y_step + j * VL;
            if (j < width - 1 || whole)
                v_store(to, o->add ? v_load(to) + sum[i][j] : sum[i][j]);
        }
    if (!whole) {
        float last[TALLEST][VL];
        UNROLL for (int i = 0; i < height; i++)
            v_store(last[i], sum[i][width - 1]);
        int before = (width - 1) * VL;
        finish_partly(y + before, o->y_step, height, o->columns - before, o->add, last);
    }
}

#define DEFINE(height, width) \
    static void tile_##height##x##width(const cpu_gemm_outer *o, int64_t row) { tile(o, row, height, width); }
TILES(DEFINE)

typedef void tile_function(const cpu_gemm_outer *o, int64_t row);
#define ENTRY(height, width) [width - 1][height - 1] = tile_##height##x##width,
static tile_function *const tiles[WIDTH][TALLEST] = {TILES(ENTRY)};

void CPU_NAME(gemm_outer)(const cpu_gemm_outer *outer) {
    int width = (outer->columns + VL - 1) / VL;
    int64_t tallest = heights[width - 1];
    int64_t row = 0;
    for (int64_t left = (outer->rows + tallest - 1) / tallest; left > 0; left--) {
        int64_t height = (outer->rows - row + left - 1) / left;
        tiles[width - 1][height - 1](outer, row);
        row += height;
    }
}

void CPU_NAME(gemm_gather)(const float *const *rows, int64_t count, int columns, float *to) {
    int whole = columns / VL * VL;
    for (int64_t p = 0; p < count; p++) {
        const float *from = rows[p];
        for (int j = 0; j < whole; j += VL, to += VL)
            v_store(to, v_load(from + j));
        if (whole < columns) {
            v_store(to, (vf){0});
            for (int j = whole; j < columns; j++)
                to[j - whole] = from[j];
            to += VL;
        }
    }
}

/* `tiles_count` tiles of one height: from a row of a to places `count` rows of a tile apart. */
#define MOVE(height)                                                                                            \
    case height:                                                                                                \
        for (int64_t t = 0; t < tiles_count; t++, from += (height), to += (height) * count)                     \
            memcpy(to, from, (height) * sizeof(float));                                                         \
        break;

static inline void move_row(const float *from, int64_t height, int64_t tiles_count, int64_t count, float *to) {
    switch (height) { /* constants make a move or two of it */
        MOVE(3)
        MOVE(4)
        MOVE(5)
        MOVE(6)
        MOVE(7)
        MOVE(8)
    default:
        for (int64_t t = 0; t < tiles_count; t++, from += height, to += height * count)
            memcpy(to, from, (size_t)height * sizeof(float));
    }
}

/* Rows of a are read whole, one after the other. The first tiles are a row taller where not all are equal. */
void CPU_NAME(gemm_arrange)(const cpu_gemm_outer *o, float *to) {
    const int64_t tallest = heights[(o->columns + VL - 1) / VL - 1], all = (o->rows + tallest - 1) / tallest;
    const int64_t height = o->rows / all, taller = o->rows % all;
    for (int64_t p = 0; p < o->count; p++) {
        const float *a = o->a + p * o->a_step;
        move_row(a, height + 1, taller, o->count, to + p * (height + 1));
        move_row(a + taller * (height + 1), height, all - taller, o->count,
                 to + taller * (height + 1) * o->count + p * height);
    }
}
