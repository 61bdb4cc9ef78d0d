/* cross_entropy_grad.c: cross_entropy_grad. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_cross_entropy_grad_implementations[] = {
    {NULL, NULL},
};
