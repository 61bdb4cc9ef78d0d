/* conv2d_grad_weight.c: the ways of conv2d_grad_weight. */
#include "backends/opencl/conv2d_gpu.h"
#include "backends/opencl/conv2d_vectors.h"

const opencl_implementation tl__opencl_conv2d_grad_weight_implementations[] = {
    {"spread", tl__opencl_conv2d_grad_weight_spread},
    {"vectors", tl__opencl_conv2d_grad_weight_vectors},
    OPENCL_IMPLICIT(tl__opencl_conv2d_grad_weight_implicit),
    {"gemm", tl__opencl_conv2d_grad_weight_gemm},
    {NULL, NULL},
};
