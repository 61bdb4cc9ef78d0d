/* normalize.c: normalize. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_normalize_implementations[] = {
    {NULL, NULL},
};
