/* elementwise.h: ranges of kernels whose work-items take WIDE floats each, see kernels/common.cl. */
#ifndef TL_OPENCL_ELEMENTWISE_H
#define TL_OPENCL_ELEMENTWISE_H

#include "backends/opencl/opencl.h"

static inline int64_t opencl_wide(const opencl_kernel *kernel) {
    return kernel->device->vectors ? 16 : 4;
}

/* A double as two arguments 'f': a number of twice the precision. */
#define OPENCL_TWICE(value) (double)(float)(value), (value) - (double)(float)(value)

/* Over `count` floats in pieces of FLAT. */
static inline opencl_range opencl_flat(const opencl_kernel *kernel, int64_t count) {
    bool vectors = kernel->device->vectors;
    int64_t flat = vectors ? 1024 : 4;
    return (opencl_range){.global = {(size_t)((count + flat - 1) / flat)}, .local = {vectors ? 1 : 64}};
}

#endif
