/* conv2d_grad_input.c: conv2d_grad_input. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_conv2d_grad_input_implementations[] = {
    {NULL, NULL},
};
