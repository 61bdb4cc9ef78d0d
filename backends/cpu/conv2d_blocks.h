/* conv2d_blocks.h: how a convolution of stored values goes over its rows, whatever they are stored in.
 *
 * Threads take parts of rows by panels. A part goes over its rows in blocks, over its panels in groups and over k in chunks, so
 * that the rows of a chunk stay in the first cache and the weights of a chunk in the second: for each chunk the block's rows come
 * in pieces, each is gathered (unless rows lie side by side already) and multiplied with every panel of the group. Between
 * chunks the block's sums wait in memory, which changes no bits. */
#ifndef TL_CPU_CONV2D_BLOCKS_H
#define TL_CPU_CONV2D_BLOCKS_H

#include "backends/cpu/blocks.h"
#include "backends/cpu/conv2d.h"

/* Sums of rows row .. row + rows - 1 by one panel become values of y. */
typedef void cpu_block_finish(const cpu_kernel *kernel, const void *sums, int64_t row, int rows, int64_t panel);

typedef enum cpu_block_rows {
    CPU_ROWS_DIRECT, /* rows are read where they are */
    CPU_ROWS_STEPS,  /* a piece of them is gathered for a chunk */
    CPU_ROWS_WHOLE,  /* a block of them is gathered for all of k: pixels are not whole steps */
} cpu_block_rows;

/* The first member of kernel->data. */
typedef struct cpu_blocks {
    cpu_conv2d_shape shape;
    cpu_gather_source source;
    cpu_block_rows gathering;
    int64_t element;               /* bytes of a stored number */
    int64_t rows, depth;           /* of y; bytes of k */
    int64_t panels, panel_bytes, step_bytes; /* of weights; step_bytes of a panel */
    int64_t steps, chunk;          /* of k; of a chunk */
    int64_t block, group;          /* rows, panels */
    int64_t ahead;                 /* pixels from a row's own to the last one that it reads; -1: not so simple */
    bool far;                      /* the weights do not stay in the second cache */
    bool amx;
    double least;                  /* multiplications and additions that are worth another thread */
    size_t sums_bytes, scratch_bytes; /* for each thread: sums, then rows */
    int32_t apart[CPU_BLOCK_STEPS], close[CPU_BLOCK_STEPS]; /* where steps begin: of gather_steps; of one row */
    const char *weights;           /* panels */
    void (*multiply)(const cpu_block_product *product);
    cpu_block_finish *finish;
} cpu_blocks;

/* All but `weights`, `multiply` and `finish`. A panel is `widened` times as many bytes as its numbers are stored in. */
cpu_blocks tl__cpu_blocks_plan(const cpu_device *device, const cpu_conv2d_shape *shape, int64_t element, int64_t widened,
                               int zero, bool amx, double least);
/* kernel->run. */
void tl__cpu_blocks_run(cpu_kernel *kernel);

static inline int cpu_block_columns(const cpu_blocks *p, int64_t panel) {
    const int64_t left = p->shape.out_channels - panel * CPU_BLOCK_WIDTH;
    return (int)(left < CPU_BLOCK_WIDTH ? left : CPU_BLOCK_WIDTH);
}

#endif
