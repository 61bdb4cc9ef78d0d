/* elementwise.h: loops over flat arrays, one instruction set's; see kernels.h.
 *
 * `stream`: the output is too large to stay in the caches and is stored past them. */
#ifndef TL_CPU_ELEMENTWISE_H
#define TL_CPU_ELEMENTWISE_H

typedef struct cpu_dropout {
    uint32_t key[2], counter[2]; /* counter: its upper two words */
    uint32_t threshold;          /* kept where the stream's number is not below */
    float rest;                  /* 1 - p */
} cpu_dropout;

#define CPU_ELEMENTWISE_LIST(X)                                                                                     \
    X(void, relu, (float *y, const float *x, size_t count, int stream))                                            \
    X(void, relu_grad, (float *dx, const float *dy, const float *y, size_t count, int stream))                      \
    X(void, add, (float *y, const float *a, const float *b, size_t count, int relu, int stream))                    \
    /* y[r,c] = tables[c][x[r,c]], a table of 256 for each channel */                                               \
    X(void, look_up, (float *y, const uint8_t *x, const float *tables, size_t rows, size_t channels))               \
    /* For each row of k numbers: most = its maximum, sum = sum exp(x - most), and e = exp(x - most) where e is not \
     * NULL. Exponentials are within 2 units in the last place, 0 below the smallest normal number; NaN stays. */   \
    X(void, exp_rows, (float *e, float *most, float *sum, const float *x, size_t rows, size_t k))                   \
    /* Elements 4 * block on, `count` of them, of the stream that tl/backend.h describes under dropout */           \
    X(void, dropout, (float *y, const float *x, size_t count, uint64_t block, const cpu_dropout *d))                \
    /* Adam on elements of one segment; see tl/backend.h */                                                         \
    X(void, adam, (float *param, const float *grad, float *m, float *v, size_t count, const float *table))

#endif
