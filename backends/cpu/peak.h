/* peak.h: arithmetic on registers alone, to know what a machine can do at most; see kernels.h. */
#ifndef TL_CPU_PEAK_H
#define TL_CPU_PEAK_H

#include <stdint.h>

#define CPU_PEAK_CHAINS 12 /* enough to hide the latency, few enough for 16 registers */

/* A sum must be in such a register after each round, so that none is left out. */
#define CPU_PEAK_KEEP(class, x) __asm__ volatile("" : "+" class(x))

/* The result is how many operations that were, 0 where the instruction set has none for such numbers. peak_pairs: what
 * quantised_multiply is made of. */
typedef double cpu_peak(int64_t rounds);
#define CPU_PEAK_LIST(X)                  \
    X(double, peak_f32, (int64_t rounds)) \
    X(double, peak_pairs, (int64_t rounds))

#endif
