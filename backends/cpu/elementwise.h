/* elementwise.h: loops over flat arrays, one instruction set's; see kernels.h.
 *
 * `stream`: the output is too large to stay in the caches and is stored past them. */
#ifndef TL_CPU_ELEMENTWISE_H
#define TL_CPU_ELEMENTWISE_H

#define CPU_ELEMENTWISE_LIST(X)                                                                                     \
    X(void, relu, (float *y, const float *x, size_t count, int stream))                                            \
    X(void, relu_grad, (float *dx, const float *dy, const float *y, size_t count, int stream))                      \
    X(void, add, (float *y, const float *a, const float *b, size_t count, int relu, int stream))

#endif
