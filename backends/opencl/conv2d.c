/* conv2d.c: the ways of conv2d. */
#include "backends/opencl/conv2d_gpu.h"
#include "backends/opencl/conv2d_vectors.h"

const opencl_implementation tl__opencl_conv2d_implementations[] = {
    {"spread", tl__opencl_conv2d_spread},
    {"vectors", tl__opencl_conv2d_vectors},
    OPENCL_IMPLICIT(tl__opencl_conv2d_implicit),
    {"gemm", tl__opencl_conv2d_gemm},
    {NULL, NULL},
};
