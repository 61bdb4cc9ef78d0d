/* gemm.c: the micro-kernels: a tile of some rows by some vectors of columns is kept in registers while k runs;
 * compiled for each instruction set. */
#include "backends/cpu/gemm.h"
#include "backends/cpu/gemm_tile.h"
#include "backends/cpu/kernels.h"

int CPU_NAME(gemm_width)(void) {
    return WIDTH * VL;
}

/* Steps of k that b is fetched ahead of its use, from the second cache into the first. Measured with panels that the
 * first cannot hold: 228 GFLOP/s in place of 216, of 249. */
#define AHEAD 8

/* Before every LINE steps of k, a line of each row is fetched of what will be needed soon: a few at a time hold up
 * neither the arithmetic nor each other. A tile's share of the next panel of b comes the same way. */
static inline __attribute__((always_inline)) void fetch(const cpu_gemm_panel *p, int row, const int height,
                                                        int64_t flat, const char **b_soon, int64_t lines) {
    for (int64_t i = 0; i < lines; i++, *b_soon += 64)
        __builtin_prefetch(*b_soon, 0, 2);
    if (flat >= p->soon_first && flat < p->soon_end)
        UNROLL for (int i = 0; i < height; i++)
            __builtin_prefetch(p->soon[row + i] + flat, 0, 2);
    if (p->ahead && flat < p->columns) {
        if (p->residual)
            UNROLL for (int i = 0; i < height; i++)
                __builtin_prefetch(p->residual + p->at[row + i] + p->ahead + flat, 0, 2);
        if (p->mask)
            UNROLL for (int i = 0; i < height; i++)
                __builtin_prefetch(p->mask + p->at[row + i] + p->ahead + flat, 0, 2);
    }
}

static inline __attribute__((always_inline)) int all_zeros(const cpu_gemm_panel *p, const float *const *rows,
                                                           const int height) {
    int all = p->zeros != NULL;
    UNROLL for (int i = 0; i < height; i++)
        all &= rows[i] == p->zeros;
    return all;
}

/* Goes past `depth` steps of k that add nothing; whether a chain ends on the way, as it would with them. */
static int pass_by(int64_t depth, int64_t *chain) {
    int ends = 0;
    for (int64_t k = 0; k < depth; k += LINE) {
        *chain += depth - k < LINE ? depth - k : LINE;
        if (*chain >= CPU_GEMM_CHAIN) {
            *chain = 0;
            ends = 1;
        }
    }
    return ends;
}

/* A chain ends: its sums go to those before it. */
static inline __attribute__((always_inline)) void end_chain(vf sum[TALLEST][WIDTH], vf *totals, const int first,
                                                            const int height, const int width) {
    if (!first)
        UNROLL for (int i = 0; i < height; i++)
            UNROLL for (int j = 0; j < width; j++)
                sum[i][j] += totals[i * width + j];
    /* In memory, and not as the compiler likes: registers are for the sums. */
    __asm__("" : "+r"(totals) : : "memory");
    UNROLL for (int i = 0; i < height; i++)
        UNROLL for (int j = 0; j < width; j++) {
            totals[i * width + j] = sum[i][j];
            sum[i][j] = (vf){0};
        }
}

/* Step k of all sums; `b` is its line of the panel. */
static inline __attribute__((always_inline)) void step(vf sum[TALLEST][WIDTH], const float *const a[TALLEST], const float *b,
                                                       int64_t k, const int height, const int width) {
    vf w[WIDTH];
    UNROLL for (int j = 0; j < width; j++) {
        w[j] = v_load(b + j * VL);
        if (j * VL % LINE == 0)
            __builtin_prefetch(b + (AHEAD * width + j) * VL, 0, 3);
    }
    UNROLL for (int i = 0; i < height; i++) {
        vf x = v_set(a[i][k]);
        UNROLL for (int j = 0; j < width; j++)
            sum[i][j] += w[j] * x;
    }
}

/* Rows row .. row + height - 1 of the panel. Inlined with constants for height and width. */
static inline __attribute__((always_inline)) void tile(const cpu_gemm_panel *p, int row, const int height,
                                                       const int width) {
    vf sum[TALLEST][WIDTH];
    float *sums = p->sums + (int64_t)row * width * VL;
    UNROLL for (int i = 0; i < height; i++)
        UNROLL for (int j = 0; j < width; j++)
            sum[i][j] = (vf){0};
    const float *b = p->b;
    const float *const *rows = p->rows + row;
    const int64_t depth = p->depth, offset = p->offset;
    const int64_t *at = p->at + row;
    int64_t flat = 0, chain = 0;
    vf totals[TALLEST * WIDTH];
    int first = 1; /* chain */
    const int64_t steps = p->taps * ((depth + LINE - 1) / LINE);
    const int64_t lines = p->b_soon_bytes / 64, share = (lines + p->count - 1) / p->count * height;
    const int64_t all = lines > 0 && steps > 0 ? (share + steps - 1) / steps : 0;
    /* For few rows it is many lines, which come step by step: together they would hold up each other. The loop that does it
     * would slow down the others by a twentieth. */
    const int64_t every = all / LINE, each = all % LINE;
    const char *b_soon = (const char *)p->b_soon + lines * row / p->count * 64;
    for (int64_t t = p->taps; t > 0; t--, rows += CPU_GEMM_GROUP) {
        const float *a[TALLEST];
        UNROLL for (int i = 0; i < height; i++)
            a[i] = rows[i] + offset;
        if (all_zeros(p, rows, height)) {
            flat += depth;
            b += depth * width * VL;
            if (pass_by(depth, &chain)) {
                end_chain(sum, totals, first, height, width);
                first = 0;
            }
            continue;
        }
        for (int64_t k = 0; k < depth;) {
            const int64_t end = depth - k < LINE ? depth : k + LINE;
            fetch(p, row, height, flat, &b_soon, each);
            flat += end - k;
            chain += end - k;
            if (every == 0)
                for (; k < end; k++, b += width * VL)
                    step(sum, a, b, k, height, width);
            else
                for (; k < end; k++, b += width * VL) {
                    for (int64_t i = 0; i < every; i++, b_soon += 64)
                        __builtin_prefetch(b_soon, 0, 2);
                    step(sum, a, b, k, height, width);
                }
            if (chain >= CPU_GEMM_CHAIN) {
                end_chain(sum, totals, first, height, width);
                first = 0;
                chain = 0;
            }
        }
    }
    if (!first)
        UNROLL for (int i = 0; i < height; i++)
            UNROLL for (int j = 0; j < width; j++)
                sum[i][j] += totals[i * width + j];

    if (p->resume)
        UNROLL for (int i = 0; i < height; i++)
            UNROLL for (int j = 0; j < width; j++)
                sum[i][j] += v_load(sums + (i * width + j) * VL);
    if (p->suspend) {
        UNROLL for (int i = 0; i < height; i++)
            UNROLL for (int j = 0; j < width; j++)
                v_store(sums + (i * width + j) * VL, sum[i][j]);
        return;
    }
    const int whole = p->columns >= width * VL;
    if (!whole) {
        float last[TALLEST][VL];
        UNROLL for (int i = 0; i < height; i++)
            v_store(last[i], sum[i][width - 1]);
        gemm_finish_partly(p, row, height, (width - 1) * VL, last);
    }
    if (p->bias) {
        UNROLL for (int j = 0; j < width; j++) {
            if (j == width - 1 && !whole)
                break;
            vf x = v_load(p->bias + j * VL);
            UNROLL for (int i = 0; i < height; i++)
                sum[i][j] += x;
        }
    }
#define EACH_ROW(operation)                                \
    UNROLL for (int i = 0; i < height; i++) {              \
        int64_t o = at[i];                                 \
        UNROLL for (int j = 0; j < width - 1; j++, o += VL) \
            operation(o, sum[i][j]);                       \
        if (whole)                                         \
            operation(o, sum[i][width - 1]);               \
    }
#define ADD(o, s) s += v_load(p->residual + (o))
#define RELU(o, s) s = v_relu(s)
#define MASK(o, s) s = v_keep(v_load(p->mask + (o)) > 0, s)
#define STREAM(o, s) v_stream(p->y + (o), s)
#define STORE(o, s) v_store(p->y + (o), s)
    if (p->residual)
        EACH_ROW(ADD)
    if (p->relu)
        EACH_ROW(RELU)
    if (p->mask)
        EACH_ROW(MASK)
    if (p->stream)
        EACH_ROW(STREAM)
    else
        EACH_ROW(STORE)
}

#define DEFINE(height, width) \
    static void tile_##height##x##width(const cpu_gemm_panel *p, int row) { tile(p, row, height, width); }
TILES(DEFINE)

typedef void tile_function(const cpu_gemm_panel *p, int row);
#define ENTRY(height, width) [width - 1][height - 1] = tile_##height##x##width,
static tile_function *const tiles[WIDTH][TALLEST] = {TILES(ENTRY)};

/* Tiles of as equal a height as can be: six rows and then one would run the one at half speed. */
void CPU_NAME(gemm_panel)(const cpu_gemm_panel *panel) {
    int width = (panel->columns + VL - 1) / VL;
    int tallest = heights[width - 1];
    int left = (panel->count + tallest - 1) / tallest;
    for (int row = 0; left > 0; left--) {
        int height = (panel->count - row + left - 1) / left;
        tiles[width - 1][height - 1](panel, row);
        row += height;
    }
    if (panel->stream)
        v_fence();
}
