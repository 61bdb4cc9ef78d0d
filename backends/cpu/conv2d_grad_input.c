/* conv2d_grad_input.c: the transposed convolution, by the same walk as conv2d. */
#include "backends/cpu/conv2d.h"

enum { DY, W, ADDEND, MASK, DX };

static void run(cpu_kernel *kernel) {
    cpu_conv2d_operands operands = {
        .from = kernel->ptr[DY],
        .weights = kernel->ptr[W],
        .residual = kernel->ptr[ADDEND],
        .mask = kernel->ptr[MASK],
        .to = kernel->ptr[DX],
    };
    tl__cpu_conv2d_walk_run(kernel, &operands);
}

static tl_status prepare(cpu_kernel *kernel) {
    cpu_conv2d_shape shape;
    cpu_conv2d_walk *walk;
    tl_status status = tl__cpu_expect(kernel, "fffff");
    if (status == TL_OK)
        status = tl__cpu_conv2d_shape(kernel, DX, W, DY, &shape);
    if (status == TL_OK)
        status = tl__cpu_conv2d_walk_create(kernel, &shape, true, W, &walk);
    if (status == TL_OK)
        kernel->run = run;
    return status;
}

const cpu_implementation tl__cpu_conv2d_grad_input_implementations[] = {
    {"winograd", tl__cpu_conv2d_grad_input_winograd_prepare},
    {"gemm", prepare},
    {NULL, NULL},
};
