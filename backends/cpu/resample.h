/* resample.h: the loops of bilinear upsampling, a row at a time; see kernels.h. */
#ifndef TL_CPU_RESAMPLE_H
#define TL_CPU_RESAMPLE_H

/* One dimension: output o is low[o] and high[o] of the input, the latter with weight[o], the former with the rest. */
typedef struct cpu_axis {
    int64_t size, outputs;
    const int32_t *low, *high, *from, *to; /* outputs from[i] .. to[i] - 1 read input i */
    const float *weight;
} cpu_axis;

typedef struct cpu_resample {
    cpu_axis axis[2]; /* rows, columns */
    int64_t n, c;
} cpu_resample;

#define CPU_RESAMPLE_LIST(X)                                                                                        \
    /* Row `o` of an image's output: y is that row, x is the image. */                                              \
    X(void, resample, (float *y, const float *x, const cpu_resample *r, int64_t o))                                 \
    /* Row `h` of an image's gradient: dx is that row, dy is the image's, `sums` has room for a row of dy. */       \
    X(void, resample_grad, (float *dx, const float *dy, const cpu_resample *r, int64_t h, float *sums))

#endif
