/* relu.c: relu. */
#include "backends/opencl/elementwise.h"

enum { X, Y };

static tl_status prepare(opencl_kernel *kernel) {
    int64_t count = opencl_elements(kernel, X);
    opencl_range range = opencl_flat(kernel, count);
    const char *options;
    tl_status status = tl__opencl_expect_stored(kernel, "xy", &options);
    if (status != TL_OK)
        return status;
    return tl__opencl_launch(kernel, "elementwise", options, "relu", &range, "ool", X, Y, count);
}

const opencl_implementation tl__opencl_relu_implementations[] = {{"elementwise", prepare}, {NULL, NULL}};
