/* peak.h: arithmetic on registers alone, to know what a machine can do at most; see kernels.h. */
#ifndef TL_CPU_PEAK_H
#define TL_CPU_PEAK_H

/* The result is how many operations that were, 0 where the instruction set multiplies no such numbers. */
#define CPU_PEAK_LIST(X)                  \
    X(double, peak_f32, (int64_t rounds)) \
    X(double, peak_bf16, (int64_t rounds))

#endif
