/* relu_grad.c: relu_grad. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_relu_grad_implementations[] = {
    {NULL, NULL},
};
