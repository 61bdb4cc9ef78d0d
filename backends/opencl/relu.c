/* relu.c: relu and relu_grad. */
#include "backends/opencl/elementwise.h"

enum { X, Y };

static tl_status prepare(opencl_kernel *kernel) {
    tl_status status = tl__opencl_expect(kernel, "ff");
    int64_t count = opencl_elements(kernel, X);
    opencl_range range = opencl_flat(kernel, count, 16);
    if (status == TL_OK)
        status = tl__opencl_launch(kernel, "relu", "", "relu", &range, "ool", X, Y, count);
    return status;
}

const opencl_implementation tl__opencl_relu_implementations[] = {
    {"elementwise", prepare},
    {NULL, NULL},
};
