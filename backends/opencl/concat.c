/* concat.c: concat. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_concat_implementations[] = {
    {NULL, NULL},
};
