/* conv2d_grad_weight.c: conv2d_grad_weight. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_conv2d_grad_weight_implementations[] = {
    {NULL, NULL},
};
