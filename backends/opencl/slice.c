/* slice.c: slice. */
#include "backends/opencl/opencl.h"

const opencl_implementation tl__opencl_slice_implementations[] = {
    {NULL, NULL},
};
