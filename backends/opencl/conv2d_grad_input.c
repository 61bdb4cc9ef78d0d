/* conv2d_grad_input.c: the ways of conv2d_grad_input. */
#include "backends/opencl/conv2d_gpu.h"
#include "backends/opencl/conv2d_vectors.h"

const opencl_implementation tl__opencl_conv2d_grad_input_implementations[] = {
    {"spread", tl__opencl_conv2d_grad_input_spread},
    {"vectors", tl__opencl_conv2d_grad_input_vectors},
    OPENCL_IMPLICIT(tl__opencl_conv2d_grad_input_implicit),
    {"gemm", tl__opencl_conv2d_grad_input_gemm},
    {NULL, NULL},
};
