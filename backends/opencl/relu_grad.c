/* relu_grad.c: relu_grad. */
#include "backends/opencl/elementwise.h"

enum { DY, Y, DX };

static tl_status prepare(opencl_kernel *kernel) {
    int64_t count = opencl_elements(kernel, DX);
    opencl_range range = opencl_flat(kernel, count);
    tl_status status = tl__opencl_expect(kernel, "fff");
    if (status != TL_OK)
        return status;
    return tl__opencl_launch(kernel, "elementwise", "", "relu_grad", &range, "oool", DY, Y, DX, count);
}

const opencl_implementation tl__opencl_relu_grad_implementations[] = {{"elementwise", prepare}, {NULL, NULL}};
