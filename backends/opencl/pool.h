/* pool.h: what the pooling operations share: their maps, and the ranges of their kernels. */
#ifndef TL_OPENCL_POOL_H
#define TL_OPENCL_POOL_H

#include "backends/opencl/elementwise.h"

typedef struct opencl_pool {
    int n, channels, size[2], outputs[2]; /* height, width */
} opencl_pool;

/* `large` and `small` are the operands with the larger and the smaller map. */
static inline tl_status opencl_pool_fill(opencl_kernel *kernel, int large, int small, opencl_pool *pool) {
    const int64_t *x = opencl_shape(kernel, large), *y = opencl_shape(kernel, small);
    if (kernel->operands[large].desc.rank != 4 || kernel->operands[small].desc.rank != 4)
        return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s works on tensors of rank 4", kernel->stem);
    for (int i = 0; i < 4; i++)
        if (x[i] > INT32_MAX || y[i] > INT32_MAX)
            return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: a map is too large", kernel->stem);
    *pool = (opencl_pool){(int)x[0], (int)x[3], {(int)x[1], (int)x[2]}, {(int)y[1], (int)y[2]}};
    return TL_OK;
}

static inline tl_status opencl_pool_of(opencl_kernel *kernel, const char *types, int large, int small,
                                       opencl_pool *pool) {
    tl_status status = opencl_pool_fill(kernel, large, small, pool);
    return status == TL_OK ? tl__opencl_expect(kernel, types) : status;
}

/* The same for what may be stored in 16 bits, see tl__opencl_expect_stored. */
static inline tl_status opencl_pool_stored(opencl_kernel *kernel, const char *types, int large, int small,
                                           opencl_pool *pool, const char **options) {
    tl_status status = opencl_pool_fill(kernel, large, small, pool);
    return status == TL_OK ? tl__opencl_expect_stored(kernel, types, options) : status;
}

static inline tl_status opencl_pool_index_fits(opencl_kernel *kernel) {
    if ((int64_t)kernel->op.kernel[0] * kernel->op.kernel[1] <= 256) /* what a u8 tells apart */
        return TL_OK;
    return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: a window of more than 256 taps with an index",
                           kernel->stem);
}

/* The arguments POOL of kernels/pool.cl. */
#define OPENCL_POOL_LETTERS "iiiiiiiiiiiiii"
#define OPENCL_POOL_STEP(step) ((step) > 0 ? (int)(step) : 1)
#define OPENCL_POOL_ARGUMENTS(p, op)                                                                                  \
    (p).n, (p).channels, (p).size[0], (p).size[1], (p).outputs[0], (p).outputs[1], (int)(op).kernel[0],          \
        (int)(op).kernel[1], OPENCL_POOL_STEP((op).stride[0]), OPENCL_POOL_STEP((op).stride[1]),                 \
        (int)(op).pad[0], (int)(op).pad[1], OPENCL_POOL_STEP((op).dilation[0]), OPENCL_POOL_STEP((op).dilation[1])

/* A work-item for each WIDE channels of each pixel. */
static inline opencl_range opencl_channels_range(const opencl_kernel *kernel, const opencl_pool *pool,
                                                 const int map[2]) {
    size_t wide = (size_t)opencl_wide(kernel), parts = ((size_t)pool->channels + wide - 1) / wide, side = 1;
    opencl_range range = {.global = {parts, (size_t)map[1], (size_t)pool->n * (size_t)map[0]}, .local = {1, 1, 1}};
    while (side < parts && side < 16)
        side *= 2;
    if (!kernel->device->vectors) {
        range.local[0] = side;
        range.local[1] = 64 / side;
    }
    return range;
}

/* The same on GPUs, a work-item for each row of pixels on CPUs. */
static inline opencl_range opencl_pool_range(const opencl_kernel *kernel, const opencl_pool *pool, const int map[2]) {
    if (kernel->device->vectors)
        return (opencl_range){.global = {(size_t)pool->n * (size_t)map[0]}, .local = {1}};
    return opencl_channels_range(kernel, pool, map);
}

#endif
