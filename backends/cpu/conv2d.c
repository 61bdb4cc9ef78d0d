/* conv2d.c: conv2d by the packed matrix product; the list of all ways. */
#include "backends/cpu/conv2d.h"

enum { X, W, BIAS, RESIDUAL, Y };

static void run(cpu_kernel *kernel) {
    cpu_conv2d_operands operands = {
        .from = kernel->ptr[X],
        .weights = kernel->ptr[W],
        .bias = kernel->ptr[BIAS],
        .residual = kernel->ptr[RESIDUAL],
        .to = kernel->ptr[Y],
        .relu = kernel->op.relu,
    };
    tl__cpu_conv2d_walk_run(kernel, &operands);
}

static tl_status prepare(cpu_kernel *kernel) {
    cpu_conv2d_shape shape;
    cpu_conv2d_walk *walk;
    tl_status status = tl__cpu_expect(kernel, "fffff");
    if (status == TL_OK)
        status = tl__cpu_conv2d_shape(kernel, X, W, Y, &shape);
    if (status == TL_OK)
        status = tl__cpu_conv2d_walk_create(kernel, &shape, false, W, &walk);
    if (status == TL_OK)
        kernel->run = run;
    return status;
}

const cpu_implementation tl__cpu_conv2d_implementations[] = {
    {"winograd", tl__cpu_conv2d_winograd_prepare},
    {"gemm", prepare},
    {"bf16", tl__cpu_conv2d_bf16_prepare},
    {"converted", tl__cpu_conv2d_converted_prepare},
    {"int8", tl__cpu_conv2d_int8_prepare},
    {NULL, NULL},
};
