/* add.c: add. */
#include "backends/opencl/elementwise.h"

const opencl_implementation tl__opencl_add_implementations[] = {
    {NULL, NULL},
};
