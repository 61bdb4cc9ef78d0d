/* avgpool2d.c: avgpool2d. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_avgpool2d_implementations[] = {
    {NULL, NULL},
};
