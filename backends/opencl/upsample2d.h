/* upsample2d.h: what bilinear upsampling and its gradient share: maps, and the table of both dimensions. */
#ifndef TL_OPENCL_UPSAMPLE2D_H
#define TL_OPENCL_UPSAMPLE2D_H

#include "backends/axis.h"
#include "backends/opencl/pool.h"

/* The table of rows, then that of columns. */
static inline tl_status opencl_upsample_table(opencl_kernel *kernel, const opencl_pool *p, opencl_constant **table) {
    const size_t rows = (size_t)AXIS_WORDS((int64_t)p->size[0], (int64_t)p->outputs[0]);
    const size_t bytes = (rows + (size_t)AXIS_WORDS((int64_t)p->size[1], (int64_t)p->outputs[1])) * sizeof(int32_t);
    int32_t *words = tl__opencl_allocate(kernel->device, bytes);
    if (!words)
        return TL_ERROR_MEMORY;
    axis_fill(p->size[0], p->outputs[0], words);
    axis_fill(p->size[1], p->outputs[1], words + rows);
    tl_status status = tl__opencl_constant_make(kernel, bytes, words, table);
    tl__opencl_release(kernel->device, words);
    return status;
}

#endif
