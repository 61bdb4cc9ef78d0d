/* maxpool2d.c: maxpool2d. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_maxpool2d_implementations[] = {
    {NULL, NULL},
};
