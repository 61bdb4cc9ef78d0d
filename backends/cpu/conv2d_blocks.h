/* conv2d_blocks.h: how a convolution of stored values goes over its rows, whatever they are stored in.
 *
 * Threads take parts of rows by panels. A part goes over its rows in blocks that stay in the second cache: a block is
 * gathered (a 1x1 convolution's rows lie side by side already), and every panel of weights is multiplied with it. */
#ifndef TL_CPU_CONV2D_BLOCKS_H
#define TL_CPU_CONV2D_BLOCKS_H

#include "backends/cpu/blocks.h"
#include "backends/cpu/conv2d.h"

typedef struct cpu_block {
    int64_t first, count; /* rows of y */
    const uint8_t *a;
    int64_t a_row; /* bytes */
    void *sums;    /* [CPU_BLOCK_ROWS][CPU_BLOCK_WIDTH], of f32 or s32 */
} cpu_block;

/* Rows piece * CPU_BLOCK_ROWS .. of a block times one panel; `soon_lines` of `soon` are fetched in each step of k. */
typedef void cpu_block_multiply(const cpu_kernel *kernel, const cpu_block *block, int64_t piece, int64_t panel,
                                const void *soon, int64_t soon_lines);

/* The first member of kernel->data. */
typedef struct cpu_blocks {
    cpu_conv2d_shape shape;
    cpu_gather_source source;
    int64_t element;       /* bytes of a stored number */
    int64_t rows, block;   /* rows of y; of a block */
    int64_t depth, padded; /* bytes of k; up to whole steps */
    int64_t panels, panel_bytes;
    bool direct;           /* rows are read where they are */
    bool far;              /* the weights do not stay in the second cache */
    bool amx;
    double least;          /* multiplications and additions that are worth another thread */
    size_t scratch_bytes;  /* for each thread: sums, and a block of rows */
    const char *weights;   /* panels */
    cpu_block_multiply *multiply;
} cpu_blocks;

/* All but `weights` and `multiply`. A panel is `widened` times as many bytes as its numbers are stored in. */
cpu_blocks tl__cpu_blocks_plan(const cpu_device *device, const cpu_conv2d_shape *shape, int64_t element, int64_t widened,
                               int zero, bool amx, double least);
/* kernel->run. */
void tl__cpu_blocks_run(cpu_kernel *kernel);

/* Of the block's rows, in a piece. */
static inline int cpu_block_rows(const cpu_block *block, int64_t piece) {
    const int64_t left = block->count - piece * CPU_BLOCK_ROWS;
    return (int)(left < CPU_BLOCK_ROWS ? left : CPU_BLOCK_ROWS);
}
static inline int cpu_block_columns(const cpu_blocks *p, int64_t panel) {
    const int64_t left = p->shape.out_channels - panel * CPU_BLOCK_WIDTH;
    return (int)(left < CPU_BLOCK_WIDTH ? left : CPU_BLOCK_WIDTH);
}

#endif
