/* upsample2d.c: upsample2d. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_upsample2d_implementations[] = {
    {NULL, NULL},
};
