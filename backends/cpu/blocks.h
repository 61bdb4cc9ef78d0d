/* blocks.h: rows of a matrix product that are gathered from a map of stored values; see kernels.h. A number takes one byte or
 * two, and here it is bytes that count. */
#ifndef TL_CPU_BLOCKS_H
#define TL_CPU_BLOCKS_H

#include <stdint.h>

#define CPU_BLOCK_ROWS 32  /* of one call of a product */
#define CPU_BLOCK_WIDTH 32 /* columns of a panel of weights */
#define CPU_BLOCK_STEP 64  /* bytes of k in one step of tiles; rows are whole steps */

/* Where the rows come from. What lies outside of the map is bytes of `zero`. */
typedef struct cpu_gather_source {
    const uint8_t *x;
    int64_t height, width, pixel; /* bytes of one */
    int64_t out_height, out_width;
    int64_t kernel[2], stride[2], pad[2], dilation[2];
    int64_t row; /* from row to row, CPU_BLOCK_STEP or more above what a row holds */
    uint8_t zero;
} cpu_gather_source;

/* Rows first .. first + count - 1 (pixels of y) into to, each up to whole steps. */
#define CPU_BLOCKS_LIST(X) X(void, gather_rows, (const cpu_gather_source *source, int64_t first, int64_t count, uint8_t *to))

#endif
