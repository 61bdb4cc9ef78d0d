/* elementwise.h: the range over `count` elements of which a work-item takes `each` (on CPU-like devices whole vectors). */
#ifndef TL_OPENCL_ELEMENTWISE_H
#define TL_OPENCL_ELEMENTWISE_H

#include "backends/opencl/opencl.h"

static inline opencl_range opencl_flat(const opencl_kernel *kernel, int64_t count, int64_t each) {
    size_t items = (size_t)((count + each - 1) / each);
    return (opencl_range){.global = {items}, .local = {kernel->device->vectors ? 8 : 64}};
}

#endif
