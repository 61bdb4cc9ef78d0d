/* pool.h: the loops of pooling, a row of pixels at a time; see kernels.h. */
#ifndef TL_CPU_POOL_H
#define TL_CPU_POOL_H

typedef struct cpu_pool {
    int64_t n, h, w, c, oh, ow;
    int64_t kernel[2], stride[2], pad[2], dilation[2];
    int stream; /* the output is stored past the caches; c is then a multiple of 16 */
} cpu_pool;

#define CPU_POOL_TAPS 256 /* what a u8 index tells apart */

#define CPU_POOL_LIST(X)                                                                                           \
    /* Row `oh` of an image's maxima: y and index (NULL: not wanted) are that row, x is the image. */              \
    X(void, maxpool, (float *y, uint8_t *index, const float *x, const cpu_pool *p, int64_t oh))                    \
    /* Row `h` of an image's gradient: dx is that row, dy and index are the image's. */                            \
    X(void, maxpool_grad, (float *dx, const float *dy, const uint8_t *index, const cpu_pool *p, int64_t h))        \
    /* y[c] = mean over h x w pixels that begin at x, `pitch` floats from row to row and `step` between pixels. */ \
    X(void, avgpool, (float *y, const float *x, int64_t h, int64_t w, int64_t pitch, int64_t step, int64_t c))     \
    X(void, avgpool_grad, (float *dx, const float *dy, const cpu_pool *p, int64_t h))

#endif
