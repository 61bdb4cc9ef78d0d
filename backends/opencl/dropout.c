/* dropout.c: dropout, and its gradient, which is the same operation. */
#include "backends/opencl/elementwise.h"

enum { X, COUNTER, Y };

static tl_status prepare(opencl_kernel *kernel) {
    tl_status status = tl__opencl_expect(kernel, "fif");
    if (status != TL_OK)
        return status;
    bool vectors = kernel->device->vectors;
    int64_t count = opencl_elements(kernel, X), each = vectors ? 64 : 4;
    opencl_range range = {.global = {(size_t)((count + each - 1) / each)}, .local = {vectors ? 8 : 64}};
    uint32_t threshold = (uint32_t)((double)kernel->op.p * 4294967296.0);
    return tl__opencl_launch(kernel, "dropout", "", "dropout", &range, "oooliif", X, COUNTER, Y, count,
                             (int)kernel->op.stream, (int)threshold, (double)(1 - kernel->op.p));
}

const opencl_implementation tl__opencl_dropout_implementations[] = {{"philox", prepare}, {NULL, NULL}};
