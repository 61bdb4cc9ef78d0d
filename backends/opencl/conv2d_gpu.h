/* conv2d_gpu.h: the three convolutions on devices whose work-items are lanes of a GPU.
 *
 * Two ways:
 *   implicit  kernels/conv2d_gpu.cl and conv2d_gpu_weight.cl: a product of matrices of which one is gathered as it is
 *             read. Every form, and conv2d alone of values stored as fp16, too.
 *   gemm      CLBlast, on the operands themselves where the convolution is 1x1 with stride 1, and otherwise on a matrix
 *             that is gathered before, slice by slice (im2col). Every form.
 * The former has a name for each of its tiles besides the one that lets it choose.
 *
 * Without `tl tune` it is always implicit, in 1x1 convolutions of many channels too, for which CLBlast may be the faster:
 * - what follows the sum (bias, addition, ReLU, mask) is in the same kernel. CLBlast needs another pass over the result, and
 *   up to three to copy matrices into whole tiles; most 1x1 convolutions wait for memory as it is;
 * - CLBlast takes its direct or its indirect kernel by the number of rows, which grows with the batch, and an image's
 *   result must not depend on the batch. Own sums are in the order of their terms in every tile;
 * - it compiles for seconds at first, and is only as right as the parameters that it has for a device. */
#ifndef TL_OPENCL_CONV2D_GPU_H
#define TL_OPENCL_CONV2D_GPU_H

#include "backends/opencl/opencl.h"

/* Sizes of a convolution, from its descriptors. Images, weights and all sizes of one image fit into an int. */
typedef struct opencl_gpu_shape {
    int64_t images, height, width, channels; /* of x */
    int64_t out_height, out_width, outputs;  /* of y */
    int64_t groups, depth, columns;          /* channels of x and of y in a group */
    int64_t kernel[2], stride[2], pad[2], dilation[2];
} opencl_gpu_shape;

/* Fills it in from operands x (or dx) and y (or dy). TL_UNSUPPORTED on CPU-like devices, for operands that are not of the
 * types in `types` (see form_misfit), and where an image or the weights have 2^31 elements or more. A kernel that covers the whole image comes out as a 1x1 one
 * on one pixel of height x width x channels. */
tl_status tl__opencl_gpu_shape(opencl_kernel *kernel, const char *types, int x, int y, opencl_gpu_shape *shape);

/* The numbers that a kernel of conv2d_gpu.cl finds in its table, which names them in the same order. */
typedef struct opencl_gather {
    cl_int source[3]; /* height, width, channels of all groups */
    cl_int depth;
    cl_int taps[2], mul[2], base[2], step[2];
    cl_int rows[2];
    cl_int target[3], to[2], at[2];
    cl_int columns;
    cl_int w_group, w_first, w_column, w_depth, w_tap[2];
} opencl_gather;

void tl__opencl_gpu_forward(const opencl_gpu_shape *shape, opencl_gather *gather);
/* The pixels of dx whose row and column are phase[] plus multiples of the stride: they alone have the same taps. */
void tl__opencl_gpu_backward(const opencl_gpu_shape *shape, const int64_t phase[2], opencl_gather *gather);

/* Numbers of operands, for what is x, or dy; y, or dx; an operand that is always absent where the operation has none. */
typedef struct opencl_gpu_operands {
    int x, w, bias, addend, mask, y;
} opencl_gpu_operands;

/* Both operations as walks: `walk` gets one table (conv2d), or one for each phase (conv2d_grad_input). */
typedef tl_status opencl_gpu_walk(opencl_kernel *kernel, const opencl_gpu_shape *shape, const opencl_gpu_operands *operands,
                                  const opencl_gather *gathers, int count);
tl_status tl__opencl_gpu_forward_by(opencl_kernel *kernel, const char *types, opencl_gpu_walk *walk);
tl_status tl__opencl_gpu_backward_by(opencl_kernel *kernel, opencl_gpu_walk *walk);

/* ---- conv2d_gpu_tile.c ---- */

typedef struct opencl_tile {
    const char *name;  /* of the implementation with it */
    int m, n, k;       /* of a group, k terms at a time; m 0: no local memory, each work-item by itself */
    int rows, columns; /* of a work-item */
} opencl_tile;

#define OPENCL_TILES 6
extern const opencl_tile tl__opencl_tiles[OPENCL_TILES];
static inline int opencl_tile_items(const opencl_tile *tile) {
    return tile->m ? tile->m / tile->rows * (tile->n / tile->columns) : 64;
}
/* The tile for a product: the one that the implementation's name asks for, or the best guess of those that the device
 * allows, whose name the implementation gets. `matrix` is "GATHER" (conv2d_gpu.cl) or "WEIGHT" (conv2d_gpu_weight.cl), and
 * behind a space more options; `options` receives what the program is built with, `function` which it is. */
tl_status tl__opencl_gpu_tile(opencl_kernel *kernel, const char *matrix, int64_t rows, int64_t columns, int64_t groups,
                              const int reads[2], bool along, const opencl_tile **tile, char options[128],
                              const char **function);

/* The work-items of the function of conv2d_gpu.cl that a tile stands for, of a product of so many rows and columns in each of
 * `groups`. */
opencl_range tl__opencl_gpu_range(const opencl_tile *tile, int64_t rows, int64_t columns, int64_t groups);

/* The most multiply-adds of one launch: half a second of a slow device, so that one that drives a display answers and no
 * watchdog ends it. The option "launch" sets it. */
int64_t tl__opencl_gpu_launch_limit(const opencl_device *device);

/* ---- conv2d_gpu_weight.c ---- */

/* Adds up `parts` results of `count` floats that lie one after the other in the workspace. */
tl_status tl__opencl_gpu_sum(opencl_kernel *kernel, uint64_t from, int to, int64_t count, int64_t parts);
/* dbias of conv2d_grad_weight. */
tl_status tl__opencl_gpu_bias(opencl_kernel *kernel, const opencl_gpu_shape *shape);

/* ---- entries of the three lists ---- */

/* The first one chooses its tile; the others are there to be asked for. */
#define OPENCL_IMPLICIT(prepare)                                                                             \
    {"implicit", prepare}, {"implicit 128x128", prepare}, {"implicit 128x64", prepare}, {"implicit 64x64", prepare}, \
        {"implicit 64x64 by 64", prepare}, {"implicit 32x32", prepare}, {"implicit direct", prepare}
tl_status tl__opencl_conv2d_implicit(opencl_kernel *kernel);
tl_status tl__opencl_conv2d_grad_input_implicit(opencl_kernel *kernel);
tl_status tl__opencl_conv2d_grad_weight_implicit(opencl_kernel *kernel);
tl_status tl__opencl_conv2d_gemm(opencl_kernel *kernel);
tl_status tl__opencl_conv2d_grad_input_gemm(opencl_kernel *kernel);
tl_status tl__opencl_conv2d_grad_weight_gemm(opencl_kernel *kernel);

#endif
