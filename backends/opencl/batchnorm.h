/* batchnorm.h: what the two passes of batch-norm share: the cut of the rows into runs and blocks (the CPU backend's, so
 * that sums are added up in the same order), and their ranges. */
#ifndef TL_OPENCL_BATCHNORM_H
#define TL_OPENCL_BATCHNORM_H

#include "backends/opencl/elementwise.h"

#define OPENCL_BATCHNORM_RUN 64

typedef struct opencl_batchnorm {
    int64_t rows, blocks, block_rows, runs;
    int channels, padded, each;
    uint64_t partial, totals, parameters; /* in the workspace */
    opencl_range by_channel, by_sum, by_block, by_row;
} opencl_batchnorm;

static inline opencl_range opencl_batchnorm_range(const opencl_kernel *kernel, int64_t parts, int64_t rows) {
    if (kernel->device->vectors)
        return (opencl_range){.global = {(size_t)rows}, .local = {1}};
    size_t side = 1;
    while (side < (size_t)parts && side < 64)
        side *= 2;
    return (opencl_range){.global = {(size_t)parts, (size_t)rows}, .local = {side, 64 / side}};
}

static inline tl_status opencl_batchnorm_plan(opencl_kernel *kernel, opencl_batchnorm *b) {
    int64_t channels = opencl_shape(kernel, 0)[kernel->operands[0].desc.rank - 1], wide = opencl_wide(kernel);
    if (channels > INT32_MAX / 8)
        return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: %lld channels", kernel->stem, (long long)channels);
    int64_t rows = channels ? opencl_elements(kernel, 0) / channels : 0;
    int64_t most = (64 << 10) / (channels ? channels : 1);
    if (most < rows / 64)
        most = rows / 64;
    int64_t padded = opencl_round_up(channels, 16), block_rows = opencl_round_up(most + 1, OPENCL_BATCHNORM_RUN);
    bool vectors = kernel->device->vectors;
    b->rows = rows;
    b->block_rows = block_rows;
    b->blocks = (rows + block_rows - 1) / block_rows;
    b->runs = (rows + OPENCL_BATCHNORM_RUN - 1) / OPENCL_BATCHNORM_RUN;
    b->channels = (int)channels;
    b->padded = (int)padded;
    b->each = vectors ? (int)(1 + (16 << 10) / (channels ? channels : 1)) : 8;
    int64_t row_parts = (rows + b->each - 1) / b->each, parts = (channels + wide - 1) / wide;
    b->by_channel = (opencl_range){.global = {(size_t)(padded / wide)}, .local = {vectors ? 1 : 64}};
    b->by_sum = opencl_batchnorm_range(kernel, padded / wide, vectors ? b->blocks : b->runs);
    b->by_block = opencl_batchnorm_range(kernel, padded / wide, b->blocks);
    b->by_row = opencl_batchnorm_range(kernel, parts, row_parts);
    return TL_OK;
}

/* Room for partial and total sums. */
static inline void opencl_batchnorm_sums(opencl_kernel *kernel, opencl_batchnorm *b) {
    uint64_t bytes = (uint64_t)b->padded * sizeof(float);
    int64_t partial = kernel->device->vectors ? b->blocks : b->runs;
    b->partial = tl__opencl_workspace(kernel, (uint64_t)partial * 2 * bytes);
    b->totals = tl__opencl_workspace(kernel, (uint64_t)b->blocks * 4 * bytes);
}

/* On a GPU runs are there one by one: makes blocks of them. */
static inline tl_status opencl_batchnorm_join(opencl_kernel *kernel, const opencl_batchnorm *b) {
    if (kernel->device->vectors)
        return TL_OK;
    return tl__opencl_launch(kernel, "batchnorm", "", "join", &b->by_block, "wwlil", b->partial, b->totals, b->rows,
                             b->padded, b->block_rows);
}

#endif
