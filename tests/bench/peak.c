#include "tests/bench/peak.h"

#include <string.h>
#include <time.h>

static clockid_t clock_used = CLOCK_MONOTONIC;

void bench_use_thread_time(void) {
    clock_used = CLOCK_THREAD_CPUTIME_ID;
}

void bench_use_process_time(void) {
    clock_used = CLOCK_PROCESS_CPUTIME_ID;
}

double bench_now(void) {
    struct timespec t;
    clock_gettime(clock_used, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define CHAINS 12 /* enough to hide the latency, few enough for 16 registers */
#define ROUNDS 1000000

/* No sum may begin at 1, which 0.999 x + 0.001 leaves as it is: the compiler sees that.
 * `keep` is a class of registers in which a sum must be after each round, so that no round can be left out. */
#define PEAK(name, attribute, bytes, keep)                                                                         \
    typedef float name##_vector __attribute__((vector_size(bytes)));                                               \
    attribute static double name(void) {                                                                           \
        name##_vector sum[CHAINS], x = (name##_vector){0} + 0.999f, y = (name##_vector){0} + 0.001f;               \
        double best = 0;                                                                                           \
        _Pragma("GCC unroll 16") for (int i = 0; i < CHAINS; i++) sum[i] = (name##_vector){0} + (float)(i + 2);    \
        for (int turn = 0; turn < 5; turn++) {                                                                    \
            double start = bench_now();                                                                            \
            for (int round = 0; round < ROUNDS; round++) {                                                         \
                _Pragma("GCC unroll 16") for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * x + y;                 \
                __asm__ volatile("" : : keep(sum[0]));                                                             \
            }                                                                                                      \
            double rate = 2e-9 * ROUNDS * CHAINS * (bytes / 4) / (bench_now() - start);                            \
            best = rate > best ? rate : best;                                                                      \
        }                                                                                                          \
        float total = 0;                                                                                           \
        for (int i = 0; i < CHAINS; i++)                                                                           \
            total += sum[i][0];                                                                                    \
        return total == 12345 ? 0 : best; /* the sums are used */                                                  \
    }

#if defined(__x86_64__)
PEAK(peak_avx512, __attribute__((target("avx512f,fma"))), 64, "v")
PEAK(peak_avx2, __attribute__((target("avx2,fma"))), 32, "x")
PEAK(peak_baseline, , 16, "x")
#elif defined(__aarch64__)
PEAK(peak_baseline, , 16, "w")
#else
PEAK(peak_baseline, , 16, "m")
#endif

double bench_peak(const char *isa) {
#if defined(__x86_64__)
    if (strcmp(isa, "avx512") == 0)
        return peak_avx512();
    if (strcmp(isa, "avx2") == 0)
        return peak_avx2();
#endif
    (void)isa;
    return peak_baseline();
}
