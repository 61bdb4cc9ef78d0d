/* blocks.h: products of matrices whose rows come from a map of stored values; see kernels.h. A number takes one byte or
 * two, and here it is bytes that count: a step of k is CPU_BLOCK_STEP bytes of every row. */
#ifndef TL_CPU_BLOCKS_H
#define TL_CPU_BLOCKS_H

#include <stdint.h>

#define CPU_BLOCK_ROWS 32  /* of one call of a product */
#define CPU_BLOCK_WIDTH 32 /* columns of a panel of weights */
#define CPU_BLOCK_STEP 64  /* bytes of k in one step of tiles; rows are whole steps */
#define CPU_BLOCK_STEPS 64 /* of one call, at most */
#define CPU_BLOCK_STREAMS 3

/* Rows times a panel. Step t of row i is at a + i * a_row + at[t]. */
typedef struct cpu_block_product {
    const uint8_t *a; /* CPU_BLOCK_ROWS rows can be read, or `rows` where those are whole tiles of 16 */
    int64_t a_row;    /* bytes */
    const int32_t *at;
    int64_t steps;
    int rows;
    int add;          /* to the sums that are there */
    const void *b;    /* the panel, from the first of these steps on */
    void *sums;       /* [CPU_BLOCK_ROWS][CPU_BLOCK_WIDTH], of f32 or s32 */
    /* What will be needed soon: `lines` cache lines of each for each step are fetched, of the last one to be written. */
    const char *soon[CPU_BLOCK_STREAMS];
    int lines[CPU_BLOCK_STREAMS];
} cpu_block_product;

/* Where the rows come from. What lies outside of the map is bytes of `zero`. */
typedef struct cpu_gather_source {
    const uint8_t *x;
    int64_t height, width, pixel; /* bytes of one */
    int64_t out_height, out_width;
    int64_t kernel[2], stride[2], pad[2], dilation[2];
    int64_t row; /* from row to row of gather_rows, CPU_BLOCK_STEP or more above what a row holds */
    uint8_t zero;
} cpu_gather_source;

/* Rows first .. first + count - 1 (pixels of y) into to, each up to whole steps. gather_steps is for pixels of whole steps:
 * `steps` steps of k from `from` on, of CPU_BLOCK_ROWS rows at most, [step][CPU_BLOCK_ROWS][CPU_BLOCK_STEP]. */
#define CPU_BLOCKS_LIST(X)                                                                                   \
    X(void, gather_rows, (const cpu_gather_source *source, int64_t first, int64_t count, uint8_t *to))      \
    X(void, gather_steps, (const cpu_gather_source *source, int64_t first, int64_t count, int64_t from,     \
                           int64_t steps, uint8_t *to))

#endif
