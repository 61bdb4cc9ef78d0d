/* winograd_tiles.h: where the tiles of F(4x4, 3x3) lie in a map. A convolution of dilation d is one of dilation 1 for every
 * d-th row and column, whichever it begins with: each of these sub-maps has tiles of its own. */
#ifndef TL_CPU_WINOGRAD_TILES_H
#define TL_CPU_WINOGRAD_TILES_H

#include "backends/cpu/conv2d.h"
#include "backends/cpu/kernels.h"

typedef struct cpu_tiles {
    int64_t rows, columns; /* of tiles in a sub-map */
    int64_t phases[2];     /* sub-maps along each axis */
    int64_t dilation[2];
    int64_t per_image, count;
} cpu_tiles;

static inline cpu_tiles cpu_tiles_of(const cpu_conv2d_shape *s) {
    const int64_t size[2] = {s->out_height, s->out_width};
    int64_t along[2];
    cpu_tiles t;
    for (int i = 0; i < 2; i++) {
        t.dilation[i] = s->dilation[i];
        t.phases[i] = s->dilation[i] < size[i] ? s->dilation[i] : size[i];
        const int64_t pixels = (size[i] + s->dilation[i] - 1) / s->dilation[i];
        along[i] = (pixels + CPU_WINOGRAD_TILE - 1) / CPU_WINOGRAD_TILE;
    }
    t.rows = along[0];
    t.columns = along[1];
    t.per_image = t.rows * t.columns * t.phases[0] * t.phases[1];
    t.count = s->images * t.per_image;
    return t;
}

/* The tile's image and its first pixel, which is outside of the map where other sub-maps have a tile more. */
static inline void cpu_tile_at(const cpu_tiles *t, int64_t tile, int64_t *n, int64_t *y, int64_t *x) {
    *x = tile % t->columns * CPU_WINOGRAD_TILE * t->dilation[1];
    tile /= t->columns;
    *x += tile % t->phases[1];
    tile /= t->phases[1];
    *y = tile % t->rows * CPU_WINOGRAD_TILE * t->dilation[0];
    tile /= t->rows;
    *y += tile % t->phases[0];
    *n = tile / t->phases[0];
}

/* size x size pixels of an image from (y, x) on, `dilation` apart; zeros outside. */
static inline void cpu_tile_pixels(const float *image, const float *zeros, int64_t height, int64_t width, int64_t channels,
                                   const int64_t dilation[2], int64_t y, int64_t x, int size, const float **pixels) {
    for (int64_t a = y, i = 0; i < size; a += dilation[0], i++)
        for (int64_t b = x, j = 0; j < size; b += dilation[1], j++) {
            bool inside = (uint64_t)a < (uint64_t)height && (uint64_t)b < (uint64_t)width;
            *pixels++ = inside ? image + (a * width + b) * channels : zeros;
        }
}

#define CPU_TILES_LARGE (16 << 20)       /* bytes of planes of weights, or of their gradient, that stay in no cache */
#define CPU_TILES_FEWEST 128             /* fewer do not pay for planes of weights that are made at every run, */
#define CPU_TILES_FEWEST_FOR_LARGE 256   /* nor where those are large */
#define CPU_TILES_FEWEST_CHANNELS 32     /* with fewer the transforms cost more than is saved */

static inline int64_t cpu_tiles_weight_bytes(const cpu_conv2d_shape *s) {
    return CPU_WINOGRAD_PLANES * s->channels * s->out_channels * (int64_t)sizeof(float);
}

/* Whether a gradient is thought to be faster so, unless the user or what was measured says that it is to be so. */
static inline bool cpu_tiles_pay(const cpu_kernel *kernel, const cpu_conv2d_shape *s) {
    const bool large = cpu_tiles_weight_bytes(s) >= CPU_TILES_LARGE;
    return kernel->asked || kernel->device->winograd == CPU_WINOGRAD_ALWAYS ||
           cpu_tiles_of(s).count >= (large ? CPU_TILES_FEWEST_FOR_LARGE : CPU_TILES_FEWEST);
}

/* Whether the kernel may round so coarsely; 3x3 taps, stride 1, whole vectors of channels; and if taps are apart, whether
 * tiles are filled well enough to be better than direct sums, which pass by what is outside. */
static inline bool cpu_tiles_suit(const cpu_kernel *kernel, const cpu_conv2d_shape *s) {
    const cpu_winograd_use use = kernel->device->winograd;
    const int64_t lanes = kernel->device->kernels->lanes;
    if (use == CPU_WINOGRAD_NEVER || (use == CPU_WINOGRAD_AUTO && kernel->op.exact))
        return false;
    for (int i = 0; i < 2; i++)
        if (s->kernel[i] != 3 || s->stride[i] != 1 || s->pad[i] < 0)
            return false;
    if (s->groups != 1 || s->channels % lanes || s->out_channels % lanes || s->channels < CPU_TILES_FEWEST_CHANNELS ||
        s->out_channels < CPU_TILES_FEWEST_CHANNELS)
        return false;
    const cpu_tiles t = cpu_tiles_of(s);
    return (t.dilation[0] == 1 && t.dilation[1] == 1) || 9 * t.per_image <= s->out_height * s->out_width;
}

#endif
