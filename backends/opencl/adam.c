/* adam.c: the optimiser's step over a flat buffer of parameters in segments. */
#include "backends/opencl/elementwise.h"

enum { PARAM, GRAD, M, V, SEGMENTS, TABLE };

static tl_status prepare(opencl_kernel *kernel) {
    tl_status status = tl__opencl_expect(kernel, "fffflf");
    if (status != TL_OK)
        return status;
    bool vectors = kernel->device->vectors;
    int64_t count = opencl_elements(kernel, PARAM), each = vectors ? 1024 : 4;
    opencl_range range = {.global = {(size_t)((count + each - 1) / each)}, .local = {vectors ? 1 : 64}};
    return tl__opencl_launch(kernel, "adam", "", "adam", &range, "ooooooli", PARAM, GRAD, M, V, SEGMENTS, TABLE, count,
                             (int)(opencl_elements(kernel, SEGMENTS) - 1));
}

const opencl_implementation tl__opencl_adam_implementations[] = {{"segments", prepare}, {NULL, NULL}};
