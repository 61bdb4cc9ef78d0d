/* maxpool2d_grad.c: maxpool2d_grad. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_maxpool2d_grad_implementations[] = {
    {NULL, NULL},
};
