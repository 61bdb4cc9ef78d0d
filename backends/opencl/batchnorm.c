/* batchnorm.c: batchnorm. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_batchnorm_implementations[] = {
    {NULL, NULL},
};
