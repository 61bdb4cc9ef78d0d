/* gemm_spread.c: grouped convolution with few channels in a group: the groups lie side by side in the lanes of one
 * vector, and each input channel is spread over the lanes of its group; compiled for each instruction set. */
#include "backends/cpu/gemm.h"
#include "backends/cpu/gemm_tile.h"
#include "backends/cpu/kernels.h"

#define STEP(g, k, height)                          \
    {                                               \
        vf w = v_load(b + (k) * VL);                \
        UNROLL for (int i = 0; i < (height); i++)   \
            sum[i] += GEMM_SPREAD(x[i], g, k) * w;       \
    }
#define STEPS_1(g, k, height) STEP(g, k, height)
#define STEPS_2(g, k, height) STEPS_1(g, k, height) STEPS_1(g, (k) + 1, height)
#define STEPS_4(g, k, height) STEPS_2(g, k, height) STEPS_2(g, (k) + 2, height)
#define STEPS_8(g, k, height) STEPS_4(g, k, height) STEPS_4(g, (k) + 4, height)
#define STEPS_16(g, k, height) STEPS_8(g, k, height) STEPS_8(g, (k) + 8, height)

static inline __attribute__((always_inline)) void finish(const cpu_gemm_panel *p, int row, vf *sum, const int height) {
    if (p->columns < VL) {
        float last[8][VL];
        UNROLL for (int i = 0; i < height; i++)
            v_store(last[i], sum[i]);
        gemm_finish_partly(p, row, height, 0, last);
        return;
    }
    const vf bias = p->bias ? v_load(p->bias) : (vf){0};
    UNROLL for (int i = 0; i < height; i++) {
        const int64_t at = p->at[row + i];
        vf x = p->bias ? sum[i] + bias : sum[i];
        if (p->residual)
            x += v_load(p->residual + at);
        if (p->relu)
            x = v_relu(x);
        if (p->mask)
            x = v_keep(v_load(p->mask + at) > 0, x);
        if (p->stream)
            v_stream(p->y + at, x);
        else
            v_store(p->y + at, x);
    }
}

#define TILE(g, height)                                                                  \
    static void tile_##g##x##height(const cpu_gemm_panel *p, int row) {                  \
        vf sum[height];                                                                  \
        UNROLL for (int i = 0; i < (height); i++)                                        \
            sum[i] = (vf){0};                                                            \
        const float *b = p->b;                                                           \
        const float *const *rows = p->rows + row;                                        \
        for (int64_t t = p->taps; t > 0; t--, rows += CPU_GEMM_GROUP, b += (g) * VL) {   \
            vf x[height];                                                                \
            UNROLL for (int i = 0; i < (height); i++)                                    \
                x[i] = v_load(rows[i] + p->offset);                                      \
            STEPS_##g(g, 0, height)                                                      \
        }                                                                                \
        finish(p, row, sum, height);                                                     \
    }
#define TILES_OF(g) TILE(g, 1) TILE(g, 2) TILE(g, 4) TILE(g, 8)

TILES_OF(1)
TILES_OF(2)
TILES_OF(4)
#if VL >= 8
TILES_OF(8)
#endif
#if VL >= 16
TILES_OF(16)
#endif

typedef void tile_function(const cpu_gemm_panel *p, int row);
#define ENTRY(g) {tile_##g##x1, tile_##g##x2, tile_##g##x4, tile_##g##x8},
static tile_function *const tiles[][4] = {
    ENTRY(1) ENTRY(2) ENTRY(4)
#if VL >= 8
    ENTRY(8)
#endif
#if VL >= 16
    ENTRY(16)
#endif
};

void CPU_NAME(gemm_spread)(const cpu_gemm_panel *p) {
    int which = 0;
    while (1 << which < p->depth)
        which++;
    for (int row = 0; row < p->count;) {
        int size = 3;
        while (1 << size > p->count - row)
            size--;
        for (int i = row; i < row + (1 << size); i++) {
            __builtin_prefetch(p->soon[i] + p->offset, 0, 2);
            if (p->residual)
                __builtin_prefetch(p->residual + p->at[i] + p->ahead, 0, 2);
            if (p->mask)
                __builtin_prefetch(p->mask + p->at[i] + p->ahead, 0, 2);
        }
        tiles[which][size](p, row);
        row += 1 << size;
    }
    if (p->stream)
        v_fence();
}
