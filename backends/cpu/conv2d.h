/* conv2d.h: what the three convolution operations share.
 *
 * conv2d and conv2d_grad_input are one walk: rows of a matrix product, each made of pieces of the source (x, or dy)
 * that the walk's taps name, times packed weights. For grad_input with strides the destination's pixels fall into
 * phases (residues by the stride), each of which has taps of its own; conv2d has one phase. */
#ifndef TL_CPU_CONV2D_H
#define TL_CPU_CONV2D_H

#include "backends/conv2d_shape.h"
#include "backends/cpu/cpu.h"
#include "backends/cpu/gemm.h"

typedef conv2d_shape cpu_conv2d_shape;

/* From the operands' numbers, see conv2d_shape_of; fails where they do not fit each other. */
tl_status tl__cpu_conv2d_shape(cpu_kernel *kernel, int x, int w, int y, cpu_conv2d_shape *shape);

/* Pixels of the destination whose row and column are first[] + q * the walk's to_step[], q < count[]; tap (i, j) of
 * such a pixel is the source's pixel q * from_step[] + (offset[0][i], offset[1][j]), zeros where that is outside. */
typedef struct cpu_conv2d_phase {
    int64_t first[2], count[2];
    int64_t taps[2];
    int64_t *offset[2];
    int64_t *index[2]; /* which of the kernel's rows and columns the taps are */
    int64_t weights;   /* where its packed weights begin, in floats */
} cpu_conv2d_phase;

typedef struct cpu_conv2d_walk {
    cpu_conv2d_shape shape;
    int64_t from_size[2], to_size[2];  /* pixels of source and destination */
    int64_t from_step[2], to_step[2];
    int64_t from_channels, to_channels; /* all groups */
    int64_t groups, depth, columns;     /* channels of source and destination in a group */
    bool spread; /* groups of few channels lie side by side in a vector: `groups` is 1, columns are of all groups */
    bool transposed;                    /* grad_input: weights are read [out][tap][in] with `in` the columns */
    int phase_count;
    cpu_conv2d_phase *phases;
    /* How rows are brought together: */
    int64_t merged;       /* taps in a piece: 1, or a whole kernel row where they lie side by side */
    int64_t pieces_depth; /* floats of a piece */
    bool patches;         /* for few channels: copied, with padding, so that they do lie side by side */
    /* Packed weights and scratch memory: */
    int64_t width, panels, padded; /* of a panel; of panels and columns in a group, the latter in whole vectors */
    size_t packed_bytes;
    int64_t part;         /* the most of k that a panel may have to stay in the cache */
    int64_t patch;        /* floats of scratch memory for patches */
    size_t scratch_bytes; /* for each thread */
    const float *packed;  /* where the weights are constant; otherwise they are packed at every run */
    float *zeros;         /* what lies outside of the source */
} cpu_conv2d_walk;

/* Operands of the walk at run time. to may be the very view that residual is. */
typedef struct cpu_conv2d_operands {
    const float *from, *weights, *bias, *residual, *mask;
    float *to;
    int relu;
} cpu_conv2d_operands;

/* Makes the walk for kernel->op (kernel->data) and sets base.workspace; `weights` is the operand's number. */
tl_status tl__cpu_conv2d_walk_create(cpu_kernel *kernel, const cpu_conv2d_shape *shape, bool transposed, int weights,
                                     cpu_conv2d_walk **walk);
/* Bytes of workspace are walk->packed_bytes (rounded up to CPU_ALIGNMENT; none where packed is set), then
 * scratch_bytes for each thread. */
void tl__cpu_conv2d_walk_run(cpu_kernel *kernel, const cpu_conv2d_operands *operands);

/* Writes the packed form (walk->packed_bytes) of weights [O, KH, KW, C / groups]. */
void tl__cpu_conv2d_pack(const cpu_device *device, const cpu_conv2d_walk *walk, const float *weights, float *packed);

/* Implementations in files of their own. */
tl_status tl__cpu_conv2d_winograd_prepare(cpu_kernel *kernel);
tl_status tl__cpu_conv2d_grad_input_winograd_prepare(cpu_kernel *kernel);
tl_status tl__cpu_conv2d_bf16_prepare(cpu_kernel *kernel);
tl_status tl__cpu_conv2d_converted_prepare(cpu_kernel *kernel);
tl_status tl__cpu_conv2d_int8_prepare(cpu_kernel *kernel);
tl_status tl__cpu_conv2d_grad_weight_spread_prepare(cpu_kernel *kernel);
tl_status tl__cpu_conv2d_grad_weight_winograd_prepare(cpu_kernel *kernel);

/* The gradient by the bias: the sum of operand dy's pixels to operand dbias. It needs the first `bytes` of the workspace,
 * none where dbias is absent. */
uint64_t tl__cpu_conv2d_grad_bias_bytes(const cpu_kernel *kernel, int dbias, const cpu_conv2d_shape *shape);
void tl__cpu_conv2d_grad_bias(cpu_kernel *kernel, int dy, int dbias, const cpu_conv2d_shape *shape);

/* How as many of the device's threads as `work` is worth share `rows` tiles by `columns` panels: one part each, or where
 * they then have `piece` tiles or more, several, so that a fast thread can do more than a slow one. */
void tl__cpu_conv2d_split(const cpu_device *device, double work, int64_t piece, int64_t rows, int64_t columns,
                          int64_t *row_parts, int64_t *column_parts);

#endif
