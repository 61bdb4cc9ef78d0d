/* elementwise.h: ranges of kernels whose work-items take WIDE floats each, see kernels/common.cl. */
#ifndef TL_OPENCL_ELEMENTWISE_H
#define TL_OPENCL_ELEMENTWISE_H

#include "backends/opencl/opencl.h"

static inline int64_t opencl_wide(const opencl_kernel *kernel) {
    return kernel->device->vectors ? 16 : 4;
}

/* Over `count` floats. On CPUs a group of 8 is enough to hide what a group costs. */
static inline opencl_range opencl_flat(const opencl_kernel *kernel, int64_t count) {
    int64_t items = (count + opencl_wide(kernel) - 1) / opencl_wide(kernel);
    return (opencl_range){.global = {(size_t)items}, .local = {kernel->device->vectors ? 8 : 64}};
}

#endif
