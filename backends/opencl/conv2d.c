/* conv2d.c: the ways of conv2d. */
#include "backends/opencl/conv2d_gpu.h"

const opencl_implementation tl__opencl_conv2d_implementations[] = {
    OPENCL_IMPLICIT(tl__opencl_conv2d_implicit),
    {NULL, NULL},
};
