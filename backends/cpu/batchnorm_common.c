/* batchnorm_common.c: sums per channel in a fixed order: rows in runs of f32, runs in blocks of f64, blocks in
 * order. */
#include "backends/cpu/batchnorm_common.h"

#include <string.h>

#define BLOCK_ELEMENTS (64 << 10) /* a block is worth a thread */
#define MOST_BLOCKS 64

tl_status tl__cpu_batchnorm_plan(cpu_kernel *kernel, int parameters) {
    cpu_batchnorm *b = tl__cpu_allocate(kernel->device, sizeof(*b));
    if (!b)
        return TL_ERROR_MEMORY;
    kernel->data = b;
    b->channels = cpu_shape(kernel, 0)[kernel->operands[0].desc.rank - 1];
    b->rows = b->channels ? tl__cpu_elements(kernel, 0) / b->channels : 0;
    b->padded = cpu_round_up(b->channels, 16);
    int64_t rows = BLOCK_ELEMENTS / (b->channels ? b->channels : 1);
    if (rows < b->rows / MOST_BLOCKS)
        rows = b->rows / MOST_BLOCKS;
    b->block_rows = cpu_round_up(rows + 1, CPU_BATCHNORM_RUN);
    b->blocks = (b->rows + b->block_rows - 1) / b->block_rows;
    b->totals = 0;
    b->partial = (uint64_t)(b->blocks * 2 * b->padded) * sizeof(double);
    b->parameters = b->partial + (uint64_t)(kernel->device->threads * 2 * b->padded) * sizeof(float);
    kernel->base.workspace = b->parameters + (uint64_t)(parameters * b->padded) * sizeof(float);
    return TL_OK;
}

typedef struct sums {
    cpu_kernel *kernel;
    cpu_batchnorm_add *add;
} sums;

static void sum_blocks(void *user, int64_t first, int64_t last, int thread) {
    const sums *s = user;
    const cpu_batchnorm *b = s->kernel->data;
    float *partial = (float *)((char *)s->kernel->workspace + b->partial) + thread * 2 * b->padded;
    for (int64_t block = first; block < last; block++) {
        double *total = (double *)((char *)s->kernel->workspace + b->totals) + block * 2 * b->padded;
        memset(total, 0, (size_t)(2 * b->padded) * sizeof(double));
        int64_t row = block * b->block_rows, end = row + b->block_rows < b->rows ? row + b->block_rows : b->rows;
        for (; row < end; row += CPU_BATCHNORM_RUN) {
            int64_t count = end - row < CPU_BATCHNORM_RUN ? end - row : CPU_BATCHNORM_RUN;
            memset(partial, 0, (size_t)(2 * b->padded) * sizeof(float));
            s->add(s->kernel, row, count, partial, partial + b->padded);
            for (int64_t c = 0; c < 2 * b->padded; c++)
                total[c] += partial[c];
        }
    }
}

void tl__cpu_batchnorm_sums(cpu_kernel *kernel, cpu_batchnorm_add *add) {
    const cpu_batchnorm *b = kernel->data;
    sums s = {kernel, add};
    tl__cpu_parallel(kernel->device, b->blocks, 1, sum_blocks, &s);
    double *total = (double *)((char *)kernel->workspace + b->totals);
    for (int64_t block = 1; block < b->blocks; block++)
        for (int64_t c = 0; c < 2 * b->padded; c++)
            total[c] += total[block * 2 * b->padded + c];
}

void tl__cpu_batchnorm_rows(cpu_kernel *kernel, cpu_range *body) {
    const cpu_batchnorm *b = kernel->data;
    tl__cpu_parallel(kernel->device, b->rows, 1 + (16 << 10) / (b->channels ? b->channels : 1), body, kernel);
}
