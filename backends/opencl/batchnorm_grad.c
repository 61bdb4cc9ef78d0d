/* batchnorm_grad.c: batchnorm_grad. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_batchnorm_grad_implementations[] = {
    {NULL, NULL},
};
