/* avgpool2d_grad.c: avgpool2d_grad. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_avgpool2d_grad_implementations[] = {
    {NULL, NULL},
};
