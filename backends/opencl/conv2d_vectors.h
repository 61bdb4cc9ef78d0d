/* conv2d_vectors.h: the three convolutions on devices whose work-items are threads with wide vectors (PoCL, Intel's
 * CPU runtime).
 *
 * conv2d and conv2d_grad_input are one walk: rows of a matrix product, each made of pieces of the source (x, or dy)
 * that the taps name, times packed weights. For grad_input with strides the destination's pixels fall into phases
 * (residues by the stride), each of which has taps of its own and is a launch; conv2d has one phase. */
#ifndef TL_OPENCL_CONV2D_VECTORS_H
#define TL_OPENCL_CONV2D_VECTORS_H

#include "backends/conv2d_shape.h"
#include "backends/opencl/opencl.h"

/* Its numbers all fit into an int, as do the numbers of pixels. */
typedef conv2d_shape opencl_vectors_shape;

/* From the operands' numbers, see conv2d_shape_of; TL_UNSUPPORTED on other devices and for other types than f32 in all
 * `count` operands. */
tl_status tl__opencl_vectors_shape(opencl_kernel *kernel, int x, int w, int y, opencl_vectors_shape *shape);

/* What a kernel keeps in registers, as the options that its program is built with. */
typedef struct opencl_vectors_tile {
    int rows, width; /* of columns: floats */
    char options[64];
} opencl_vectors_tile;
opencl_vectors_tile tl__opencl_vectors_tile(const opencl_device *device, bool narrow);

#define OPENCL_VECTORS_STRIP 96  /* the most rows that go over a panel one after the other; whole tiles of any height */
#define OPENCL_VECTORS_BLOCK 512 /* the most pixels of a block of conv2d_grad_weight */

/* Pixels of the destination whose row and column are first[] + q * the walk's to_step[], q < count[]; tap (i, j) of
 * such a pixel is the source's pixel q * from_step[] + offset[] + (i, j) * tap_step[], and has the kernel's weights
 * index[] + (i, j) * index_step[]. */
typedef struct opencl_vectors_phase {
    int first[2], count[2];
    int taps[2];
    int offset[2], tap_step[2];
    int index[2], index_step[2];
    int64_t weights; /* where its packed weights begin, in floats */
} opencl_vectors_phase;

typedef struct opencl_vectors_walk {
    opencl_vectors_shape shape;
    opencl_vectors_tile tile;
    int64_t from_size[2], to_size[2]; /* pixels of source and destination */
    int64_t from_step[2], to_step[2];
    int64_t from_channels, to_channels; /* all groups */
    int64_t groups, depth, columns;   /* channels of source and destination in a group */
    bool transposed;                  /* grad_input: weights are read [out][tap][in] with `in` the columns */
    bool spread;                      /* groups of few channels lie side by side in a vector: `groups` is 1 */
    int64_t merged;                   /* taps that are one piece, because they lie side by side: 1 or a kernel row */
    bool padded;                      /* they do so in a copy whose lines have the padding */
    int64_t panels;                   /* of a group */
    int64_t zeros_at, zeros;          /* what lies outside of the source: floats at the end of the packed weights */
    int phase_count;
    opencl_vectors_phase *phases;
} opencl_vectors_walk;

typedef struct opencl_vectors_operands {
    int from, weights, bias, residual, mask, to; /* numbers; OPENCL_VECTORS_NONE: the operation has no such operand */
} opencl_vectors_operands;
/* No convolution has so many operands: this one is always absent. */
#define OPENCL_VECTORS_NONE (OPENCL_OPERANDS - 1)

/* Adds the launches of a walk over kernel->op, and what they need of constants and workspace. */
typedef tl_status opencl_vectors_way(opencl_kernel *kernel, const opencl_vectors_shape *shape, bool transposed,
                                     const opencl_vectors_operands *operands);
opencl_vectors_way tl__opencl_vectors_walk;
/* conv2d and conv2d_grad_input by one way of walking. */
tl_status tl__opencl_vectors_forward_by(opencl_kernel *kernel, opencl_vectors_way *way);
tl_status tl__opencl_vectors_backward_by(opencl_kernel *kernel, opencl_vectors_way *way);

/* The plan, where `phases` is to be released whether that succeeds or not; `spread` for conv2d_vectors_spread.c. */
tl_status tl__opencl_vectors_plan(opencl_kernel *kernel, const opencl_vectors_shape *shape, bool transposed,
                                  bool spread, opencl_vectors_walk *walk);
/* What the packed form of constant weights depends on besides their own bytes. */
uint64_t tl__opencl_vectors_form(const opencl_vectors_walk *walk);

/* Makes the packed weights: derived, where they are constant; otherwise by launches into the workspace, from byte *at
 * on. */
tl_status tl__opencl_vectors_pack(opencl_kernel *kernel, const opencl_vectors_walk *walk, int weights,
                                  opencl_constant **constant, uint64_t *at);

/* For the three lists: */
tl_status tl__opencl_conv2d_vectors(opencl_kernel *kernel);
tl_status tl__opencl_conv2d_spread(opencl_kernel *kernel);
tl_status tl__opencl_conv2d_grad_input_vectors(opencl_kernel *kernel);
tl_status tl__opencl_conv2d_grad_input_spread(opencl_kernel *kernel);
tl_status tl__opencl_conv2d_grad_weight_vectors(opencl_kernel *kernel);
tl_status tl__opencl_conv2d_grad_weight_spread(opencl_kernel *kernel);

#endif
