/* conv2d.c: conv2d. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_conv2d_implementations[] = {
    {NULL, NULL},
};
