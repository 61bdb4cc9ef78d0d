/* channels.h: loops over rows of `channels` floats with a parameter for each channel (batch-norm); see kernels.h.
 *
 * Rows are walked one by one, with whatever is accumulated per channel in the first-level cache: that is what the
 * memory streams best. Sums are added to what is there; the caller empties them every so many rows. */
#ifndef TL_CPU_CHANNELS_H
#define TL_CPU_CHANNELS_H

/* What batch-norm's backward pass reads and knows of each channel. dz = y ? (y > 0 ? dy : 0) : dy. */
typedef struct cpu_channel_grad {
    const float *x, *dy, *y;  /* y may be NULL; moved to the first row of the call */
    const float *mean, *factor;
    const float *constant, *slope;
} cpu_channel_grad;

#define CPU_CHANNELS_LIST(X)                                                                                       \
    /* sum += x - pivot, square += (x - pivot)^2 */                                                                \
    X(void, channel_moments, (float *sum, float *square, const float *x, const float *pivot, size_t rows,          \
                              size_t channels))                                                                    \
    /* y = act((x - mean) * factor + shift + residual); residual may be NULL */                                    \
    X(void, channel_affine, (float *y, const float *x, const float *residual, const float *mean,                   \
                             const float *factor, const float *shift, size_t rows, size_t channels, int relu,      \
                             int stream))                                                                          \
    /* sum += dz, product += dz * (x - mean), and where dx is not NULL dx = dz * factor */                         \
    X(void, channel_grad_sums, (float *dx, float *sum, float *product, const cpu_channel_grad *g, size_t rows,     \
                                size_t channels))                                                                  \
    /* dx = dz * factor */                                                                                         \
    X(void, channel_grad_scale, (float *dx, const cpu_channel_grad *g, size_t rows, size_t channels, int stream))  \
    /* dx = factor * (dz - constant - (x - mean) * slope) */                                                       \
    X(void, channel_grad_apply, (float *dx, const cpu_channel_grad *g, size_t rows, size_t channels, int stream))

#endif
