/* conv2d_winograd.h: conv2d with 3x3 kernels, stride 1, by Winograd's F(4x4, 3x3): patches of x are transformed into 36
 * planes, each of which is multiplied with its plane of transformed weights, and tiles of y are transformed back. A
 * quarter of the multiplications, and rounding errors of several times those of direct sums: never where the operation is
 * to be exact.
 *
 * Two ways, for the two kinds of devices: conv2d_winograd.c (CPU-like) and conv2d_winograd_gpu.c. */
#ifndef TL_OPENCL_CONV2D_WINOGRAD_H
#define TL_OPENCL_CONV2D_WINOGRAD_H

#include "backends/conv2d_shape.h"
#include "backends/opencl/opencl.h"
#include "backends/winograd.h"

/* The option "winograd" (opencl_device.winograd). */
typedef enum opencl_winograd_use {
    OPENCL_WINOGRAD_NEVER,
    OPENCL_WINOGRAD_AUTO,   /* where it may be, and is thought to be faster */
    OPENCL_WINOGRAD_ALWAYS, /* in every convolution that it can do, exact or not */
} opencl_winograd_use;

/* Numbers of the operands. */
enum { OPENCL_WINOGRAD_X, OPENCL_WINOGRAD_W, OPENCL_WINOGRAD_BIAS, OPENCL_WINOGRAD_RESIDUAL, OPENCL_WINOGRAD_Y };

/* What both ways plan with. */
typedef struct opencl_winograd {
    conv2d_shape shape;
    int64_t tiles_y, tiles_x, tiles; /* of an image; of all */
} opencl_winograd;

/* Prepares by the one or the other. TL_UNSUPPORTED where it cannot or may not be used; where it is not thought to be
 * faster, too, unless it was asked for by name. */
tl_status tl__opencl_conv2d_winograd(opencl_kernel *kernel);
/* For GPUs: its products by CLBlast. By name alone. */
tl_status tl__opencl_conv2d_winograd_gemm(opencl_kernel *kernel);

tl_status tl__opencl_winograd_vectors(opencl_kernel *kernel, const opencl_winograd *plan);
/* `gemm`: by CLBlast. */
tl_status tl__opencl_winograd_gpu(opencl_kernel *kernel, const opencl_winograd *plan, bool gemm);

#endif
