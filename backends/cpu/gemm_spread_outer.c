/* gemm_spread_outer.c: weights' gradients of grouped convolution with few channels in a group, the groups side by side
 * in the lanes of one vector as in gemm_spread.c; compiled for each instruction set. */
#include "backends/cpu/gemm.h"
#include "backends/cpu/gemm_tile.h"
#include "backends/cpu/kernels.h"

/* sum[t][k] of `taps` taps from t0 on, k below g. */
#define SUM(g, k, taps)                             \
    UNROLL for (int t = 0; t < (taps); t++)         \
        sum[t][k] += GEMM_SPREAD(x[t], g, k) * dy;
#define SUMS_1(g, k, taps) SUM(g, k, taps)
#define SUMS_2(g, k, taps) SUMS_1(g, k, taps) SUMS_1(g, (k) + 1, taps)
#define SUMS_4(g, k, taps) SUMS_2(g, k, taps) SUMS_2(g, (k) + 2, taps)
#define SUMS_8(g, k, taps) SUMS_4(g, k, taps) SUMS_4(g, (k) + 4, taps)
#define SUMS_16(g, k, taps) SUMS_8(g, k, taps) SUMS_8(g, (k) + 8, taps)

#define PASS(g, taps)                                                                                   \
    static void pass_##g##x##taps(const cpu_gemm_spread_outer *o, int64_t t0) {                         \
        vf sum[taps][g];                                                                                \
        UNROLL for (int t = 0; t < (taps); t++)                                                         \
            UNROLL for (int k = 0; k < (g); k++)                                                        \
                sum[t][k] = (vf){0};                                                                    \
        const float *const *rows = o->rows + t0 * o->rows_step;                                         \
        const float *from = o->dy;                                                                      \
        for (int64_t p = 0; p < o->count; p++, from += o->dy_step) {                                    \
            const vf dy = v_load(from);                                                                 \
            vf x[taps];                                                                                 \
            UNROLL for (int t = 0; t < (taps); t++)                                                     \
                x[t] = v_load(rows[t * o->rows_step + p] + o->offset);                                  \
            SUMS_##g(g, 0, taps)                                                                        \
        }                                                                                               \
        float *to = o->sums + t0 * (g) * VL;                                                            \
        UNROLL for (int t = 0; t < (taps); t++)                                                         \
            UNROLL for (int k = 0; k < (g); k++)                                                        \
                v_store(to + (t * (g) + k) * VL,                                                        \
                        o->add ? v_load(to + (t * (g) + k) * VL) + sum[t][k] : sum[t][k]);              \
    }

/* Eight sums at a time hide the latency; a tap alone finishes. */
PASS(1, 8)
PASS(1, 1)
PASS(2, 4)
PASS(2, 1)
PASS(4, 2)
PASS(4, 1)
#if VL >= 8
PASS(8, 1)
#endif
#if VL >= 16
PASS(16, 1)
#endif

typedef void pass_function(const cpu_gemm_spread_outer *o, int64_t t0);

static void run(const cpu_gemm_spread_outer *o, pass_function *many, int64_t step, pass_function *one) {
    int64_t t = 0;
    for (; t + step <= o->taps; t += step)
        many(o, t);
    for (; t < o->taps; t++)
        one(o, t);
}

void CPU_NAME(gemm_spread_outer)(const cpu_gemm_spread_outer *o) {
    switch (o->depth) {
    case 1:
        run(o, pass_1x8, 8, pass_1x1);
        break;
    case 2:
        run(o, pass_2x4, 4, pass_2x1);
        break;
    case 4:
        run(o, pass_4x2, 2, pass_4x1);
        break;
#if VL >= 8
    case 8:
        run(o, pass_8x1, 1, pass_8x1);
        break;
#endif
#if VL >= 16
    case 16:
        run(o, pass_16x1, 1, pass_16x1);
        break;
#endif
    }
}
