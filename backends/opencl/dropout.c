/* dropout.c: dropout. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_dropout_implementations[] = {
    {NULL, NULL},
};
