/* adam.c: adam. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_adam_implementations[] = {
    {NULL, NULL},
};
