/* stored.h: loops over values that are stored in 16 bits (bf16); see kernels.h. */
#ifndef TL_CPU_STORED_H
#define TL_CPU_STORED_H

#include "backends/cpu/pool.h"

/* What ends rows of a product: y[i][o] = act(sums[i][o] + bias[o] + residual[i][o]). */
typedef struct cpu_stored_rows {
    const float *sums; /* rows of `step` floats */
    int64_t step;
    int rows, columns;
    const float *bias;        /* NULL: none */
    const uint16_t *residual; /* NULL: none; laid out as y */
    void *y;                  /* bf16, or f32 */
    int64_t y_step;           /* elements from row to row of y and residual */
    int f32;                  /* y is f32 */
    int relu;
} cpu_stored_rows;

#define CPU_STORED_LIST(X)                                                                                           \
    X(void, stored_widen, (float *to, const uint16_t *from, size_t count))                                          \
    X(void, stored_narrow, (uint16_t *to, const float *from, size_t count))                                         \
    X(void, stored_finish, (const cpu_stored_rows *rows))                                                           \
    /* As look_up, relu, add, channel_affine, maxpool and avgpool without an index. */                              \
    X(void, stored_look_up, (uint16_t *y, const uint8_t *x, const float *tables, size_t rows, size_t channels))     \
    X(void, stored_relu, (uint16_t *y, const uint16_t *x, size_t count))                                            \
    X(void, stored_add, (uint16_t *y, const uint16_t *a, const uint16_t *b, size_t count, int relu))                \
    X(void, stored_maxpool, (uint16_t *y, const uint16_t *x, const cpu_pool *p, int64_t oh))                        \
    X(void, stored_avgpool, (float *y, const uint16_t *x, int64_t h, int64_t w, int64_t pitch, int64_t step,        \
                             int64_t c))

#endif
