/* conv2d.c: the ways of conv2d. */
#include "backends/opencl/conv2d_gpu.h"
#include "backends/opencl/conv2d_vectors.h"
#include "backends/opencl/conv2d_winograd.h"

const opencl_implementation tl__opencl_conv2d_implementations[] = {
    {"spread", tl__opencl_conv2d_spread},
    {"winograd", tl__opencl_conv2d_winograd},
    {"vectors", tl__opencl_conv2d_vectors},
    OPENCL_IMPLICIT(tl__opencl_conv2d_implicit),
    {"gemm", tl__opencl_conv2d_gemm},
    {"winograd gemm", tl__opencl_conv2d_winograd_gemm},
    {NULL, NULL},
};
