/* quantised.h: loops over values that are stored in 8 bits, u8 for (u8 - zero) * step; see kernels.h.
 *
 * All of them give the same bits with every instruction set: sums are of integers, and what makes a stored value of
 * a sum is one fused multiplication and addition, a second one for a residual, and one rounding to nearest. */
#ifndef TL_CPU_QUANTISED_H
#define TL_CPU_QUANTISED_H

#include "backends/cpu/blocks.h"
#include "backends/cpu/pool.h"

/* What ends rows of a product: y[i][o] = sums[i][o] * factor[o] + offset[o] (+ residual[i][o] * residual_factor), which
 * is limited to low .. 255 and rounded to u8, or with `f32` stays as it is, or with relu at 0 or above. */
typedef struct cpu_int8_rows {
    const int32_t *sums; /* rows of CPU_BLOCK_WIDTH */
    int rows, columns;
    const float *factor, *offset; /* of CPU_BLOCK_WIDTH columns */
    const uint8_t *residual;      /* NULL: none; laid out as y */
    float residual_factor, low;
    void *y;
    int64_t y_step; /* elements from row to row of y and residual */
    int f32, relu;
} cpu_int8_rows;

/* y[c] = sum of x over a window * factor + offset, stored as above with low = 0. */
typedef struct cpu_int8_mean {
    const uint8_t *x;
    int64_t height, width, pitch, step, channels;
    float factor, offset;
    void *y;
    int f32;
} cpu_int8_mean;

#define CPU_QUANTISED_LIST(X)                                                                                        \
    /* A panel is s16 [k / 2][column][2], with sums in s32. */                                                     \
    X(void, quantised_multiply, (const cpu_block_product *product))                                                 \
    X(void, quantised_finish, (const cpu_int8_rows *rows))                                                          \
    X(void, quantised_look_up, (uint8_t *y, const uint8_t *x, const uint8_t *tables, size_t rows, size_t channels)) \
    X(void, quantised_maxpool, (uint8_t *y, const uint8_t *x, const cpu_pool *p, int64_t oh))                       \
    X(void, quantised_mean, (const cpu_int8_mean *mean))

#endif
