/* add.c: the sum of two tensors of one shape, with ReLU or without. */
#include "backends/opencl/elementwise.h"

enum { A, B, Y };

static tl_status prepare(opencl_kernel *kernel) {
    int64_t count = opencl_elements(kernel, Y);
    opencl_range range = opencl_flat(kernel, count);
    const char *options;
    tl_status status = tl__opencl_expect_stored(kernel, "xxy", &options);
    if (status != TL_OK)
        return status;
    return tl__opencl_launch(kernel, "elementwise", options, "add", &range, "oooil", A, B, Y, kernel->op.relu != 0, count);
}

const opencl_implementation tl__opencl_add_implementations[] = {{"elementwise", prepare}, {NULL, NULL}};
