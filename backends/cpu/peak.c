/* peak.c: multiply-adds on registers, for each instruction set. */
#include "backends/cpu/kernels.h"
#include "backends/cpu/vector.h"

#define CHAINS 12 /* enough to hide the latency, few enough for 16 registers */

/* A class of registers in which a sum must be after each round, so that none is left out. */
#if VL == 16
#define KEEP(x) __asm__ volatile("" : "+v"(x))
#elif defined(__SSE2__)
#define KEEP(x) __asm__ volatile("" : "+x"(x))
#elif defined(__aarch64__)
#define KEEP(x) __asm__ volatile("" : "+w"(x))
#else
#define KEEP(x) __asm__ volatile("" : "+m"(x))
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

#if defined(__AVX512BF16__)
double CPU_NAME(peak_bf16)(int64_t rounds) {
    __m512 sum[CHAINS];
    __m512bh x = (__m512bh)_mm512_set1_epi32(0x3c003c00), y = (__m512bh)_mm512_set1_epi32(0x3c003c00);
#pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++)
        sum[i] = _mm512_setzero_ps();
    for (int64_t round = 0; round < rounds; round++)
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = _mm512_dpbf16_ps(sum[i], x, y);
            KEEP(sum[i]);
        }
    return 4.0 * CHAINS * VL * (double)rounds;
}
#else
double CPU_NAME(peak_bf16)(int64_t rounds) {
    (void)rounds;
    return 0;
}
#endif
