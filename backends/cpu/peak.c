/* peak.c: multiply-adds on registers, for each instruction set. */
#include "backends/cpu/kernels.h"
#include "backends/cpu/vector.h"

#define CHAINS CPU_PEAK_CHAINS

#if VL == 16
#define KEEP(x) CPU_PEAK_KEEP("v", x)
#elif defined(__SSE2__)
#define KEEP(x) CPU_PEAK_KEEP("x", x)
#elif defined(__aarch64__)
#define KEEP(x) CPU_PEAK_KEEP("w", x)
#else
#define KEEP(x) CPU_PEAK_KEEP("m", x)
#endif

double CPU_NAME(peak_f32)(int64_t rounds) {
    vf sum[CHAINS], x = v_set(0.999f), y = v_set(0.001f);
#pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++)
        sum[i] = v_set((float)(i + 2)); /* not 1, which 0.999 x + 0.001 leaves as it is */
    for (int64_t round = 0; round < rounds; round++)
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = sum[i] * x + y;
            KEEP(sum[i]);
        }
    return 2.0 * CHAINS * VL * (double)rounds;
}
