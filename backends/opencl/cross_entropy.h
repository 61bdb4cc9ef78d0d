/* cross_entropy.h: the cut of the rows of logits that loss and gradient share. */
#ifndef TL_OPENCL_CROSS_ENTROPY_H
#define TL_OPENCL_CROSS_ENTROPY_H

#include "backends/opencl/elementwise.h"

typedef struct opencl_rows {
    int64_t rows, groups; /* groups of `step` rows */
    int classes, step;
} opencl_rows;

static inline tl_status opencl_rows_of(opencl_kernel *kernel, opencl_rows *r) {
    int64_t classes = opencl_shape(kernel, 0)[kernel->operands[0].desc.rank - 1];
    if (classes < 1 || classes > 1 << 24)
        return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: %lld classes", kernel->stem, (long long)classes);
    r->classes = (int)classes;
    r->rows = opencl_elements(kernel, 0) / classes;
    /* Long rows, of which there are few, go to as many lanes of a GPU as there are rows. */
    r->step = classes > 64 && !kernel->device->vectors ? 1 : (int)opencl_wide(kernel);
    r->groups = (r->rows + r->step - 1) / r->step;
    return TL_OK;
}

#endif
