/* upsample2d_grad.c: upsample2d_grad. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_upsample2d_grad_implementations[] = {
    {NULL, NULL},
};
