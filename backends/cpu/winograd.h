/* winograd.h: the transforms of Winograd's F(4x4, 3x3) for convolution (Lavin and Gray, "Fast algorithms for
 * convolutional neural networks", 2016); compiled for each instruction set.
 *
 * Four by four outputs of a 3x3 convolution come from six by six inputs with 36 multiplications in place of 144:
 * y = A^T [(G w G^T) . (B^T x B)] A. The points are 0, +-1/sqrt 2, +-sqrt 2 and infinity: products of both pairs are 1,
 * which keeps the matrices' entries near 1 and rounding errors a third of those of the usual 0, +-1, +-2.
 *
 *        1   0  -5/2  0   1  0            1     0     0          1  1   1   1   1  0
 *        0  -q   -2   p   1  0         -2/3  -2p/3  -1/3         0  p  -p   q  -q  0
 *  B^T = 0   q   -2  -p   1  0    G =  -2/3   2p/3  -1/3   A^T = 0 1/2 1/2  2   2  0
 *        0  -p  -1/2  q   1  0          1/6   q/6    1/3         0 p/2 -p/2 2q -2q 1
 *        0   p  -1/2 -q   1  0          1/6  -q/6    1/3
 *        0   1    0 -5/2  0  1           0     0     1           p = 1/sqrt 2, q = sqrt 2 */
#ifndef TL_CPU_WINOGRAD_H
#define TL_CPU_WINOGRAD_H

#include <stdint.h>

#include "backends/winograd.h"

#define CPU_WINOGRAD_TILE WINOGRAD_TILE
#define CPU_WINOGRAD_PATCH WINOGRAD_PATCH
#define CPU_WINOGRAD_PLANES WINOGRAD_PLANES

#define CPU_WINOGRAD_P WINOGRAD_P
#define CPU_WINOGRAD_Q WINOGRAD_Q

typedef struct cpu_winograd_output {
    const float *from;    /* plane i at from + i * plane */
    int64_t plane;
    int64_t channels;     /* whole vectors */
    float *y;             /* the tile's first pixel */
    const float *bias, *residual, *mask; /* NULL: none; the latter are laid out as y. Where mask <= 0 y becomes 0 */
    int64_t row, pixel;   /* floats from one row, one pixel, to the next */
    int height, width;    /* how much of the tile there is: 1 .. CPU_WINOGRAD_TILE */
    int relu;
    int stream;           /* store past the caches */
} cpu_winograd_output;

/* What the weights' gradient is made of: [outputs][9][channels] from planes of [outputs][width]. */
typedef struct cpu_winograd_gradient {
    const float *from;    /* plane i at from + i * plane */
    int64_t plane, width; /* whole vectors */
    float *dw;            /* the gradient's first number that these are: */
    int64_t outputs, channels;
} cpu_winograd_gradient;

/* winograd_input: plane i of one patch to to + i * plane, from pixels[i] (36 of them, by rows); `soon` are the next
 * patch's, to be fetched meanwhile. `channels` are whole vectors.
 *
 * The gradient by the weights, being that of a bilinear form, goes the same way back: for each patch and its tile dy,
 * dw = G^T [(A dy A^T) . (B^T x B)] G, of which the product is summed up over all tiles before it is transformed.
 * winograd_turned: G w G^T for `channels` whole vectors of filters at w, turned by half a turn, of which tap t is at
 * w + t * step; plane i to to + i * plane. That is what dy is convolved with for the gradient by x.
 * winograd_tile: A dy A^T, from pixels[i] (16). winograd_gradient: G^T [.] G. */
#define CPU_WINOGRAD_LIST(X)                                                                              \
    X(void, winograd_input, (const float *const *pixels, const float *const *soon, int64_t channels,     \
                             int64_t plane, float *to))                                                   \
    X(void, winograd_tile, (const float *const *pixels, int64_t channels, int64_t plane, float *to))      \
    X(void, winograd_turned, (const float *w, int64_t step, int64_t channels, int64_t plane, float *to))  \
    X(void, winograd_gradient, (const cpu_winograd_gradient *gradient))                                   \
    X(void, winograd_output, (const cpu_winograd_output *output))

#endif
