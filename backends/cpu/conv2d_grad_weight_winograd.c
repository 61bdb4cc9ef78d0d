/* conv2d_grad_weight_winograd.c: the gradient by the weights of a 3x3 convolution of stride 1, by F(4x4, 3x3) backwards:
 * patches of x and tiles of dy are transformed into 36 planes each, of which the products are summed up over all tiles,
 * and the sums are transformed into weights. A ninth of the sums' terms is a quarter of the multiplications.
 *
 * Each step is taken by all threads for a block of tiles after the other, and every sum goes over the tiles in their
 * order, in pieces that depend on the shape alone: results do not depend on the threads. */
#include <string.h>

#include "backends/cpu/conv2d.h"
#include "backends/cpu/kernels.h"

enum { X, DY, DW, DBIAS };

#define PLANES CPU_WINOGRAD_PLANES
#define PATCH CPU_WINOGRAD_PATCH
#define TILE CPU_WINOGRAD_TILE
#define LINE 16               /* floats; rows and planes are a line further apart than they are long, or they would lie in
                               * few sets of the caches */
#define FEWEST_CHANNELS 32    /* with fewer the transforms cost more than is saved, */
#define FEWEST_TILES 128      /* and with fewer tiles or */
#define LARGE (16 << 20)      /* more bytes of sums their transform does */
#define SUM_TILES 128         /* of a sum; a panel of so many stays in the first cache */
#define BLOCK (2 * SUM_TILES)

typedef struct plan {
    cpu_conv2d_shape shape;
    int64_t tiles_y, tiles_x, tiles; /* of an image; of all */
    int64_t width, panels;           /* of channels */
    int64_t block;                   /* the most tiles at a time */
    int64_t x_row, dy_row, x_plane, dy_plane; /* floats from tile to tile, from plane to plane */
    size_t sums_bytes;
    float zeros[];                   /* a pixel outside */
} plan;

typedef struct job {
    cpu_kernel *kernel;
    const plan *plan;
    int64_t first, count; /* the block: tiles */
    float *x, *dy;        /* its planes */
    float *sums;          /* [plane][panel][output][width] */
} job;

/* The pixels of size x size from (y, x) on in image n, zeros outside. */
static void pixels_of(const float *images, const float *zeros, int64_t n, int64_t height, int64_t width, int64_t channels,
                      int64_t y, int64_t x, int size, const float **pixels) {
    const float *image = images + n * height * width * channels;
    for (int64_t a = y; a < y + size; a++)
        for (int64_t b = x; b < x + size; b++) {
            bool inside = (uint64_t)a < (uint64_t)height && (uint64_t)b < (uint64_t)width;
            *pixels++ = inside ? image + (a * width + b) * channels : zeros;
        }
}

static void patch_of(const job *j, int64_t tile, const float **pixels) {
    const plan *p = j->plan;
    const cpu_conv2d_shape *s = &p->shape;
    pixels_of(j->kernel->ptr[X], p->zeros, tile / p->tiles_x / p->tiles_y, s->height, s->width, s->channels,
              tile / p->tiles_x % p->tiles_y * TILE - s->pad[0], tile % p->tiles_x * TILE - s->pad[1], PATCH, pixels);
}

/* Items: tiles of the block. */
static void transform_body(void *user, int64_t first, int64_t last, int thread) {
    const job *j = user;
    const plan *p = j->plan;
    const cpu_conv2d_shape *s = &p->shape;
    const cpu_kernels *kernels = j->kernel->device->kernels;
    const float *patches[2][PLANES], *pixels[TILE * TILE];
    (void)thread;
    patch_of(j, j->first + first, patches[first & 1]);
    for (int64_t t = first; t < last; t++) {
        const int64_t tile = j->first + t;
        patch_of(j, t + 1 < last ? tile + 1 : tile, patches[(t + 1) & 1]);
        kernels->winograd_input(patches[t & 1], patches[(t + 1) & 1], s->channels, p->x_plane, j->x + t * p->x_row);
        pixels_of(j->kernel->ptr[DY], p->zeros, tile / p->tiles_x / p->tiles_y, s->out_height, s->out_width, s->out_channels,
                  tile / p->tiles_x % p->tiles_y * TILE, tile % p->tiles_x * TILE, TILE, pixels);
        kernels->winograd_tile(pixels, s->out_channels, p->dy_plane, j->dy + t * p->dy_row);
    }
}

static int64_t panel_columns(const plan *p, int64_t panel) {
    int64_t left = p->shape.channels - panel * p->width;
    return left < p->width ? left : p->width;
}

/* Items: (plane, panel). */
static void multiply_body(void *user, int64_t first, int64_t last, int thread) {
    const job *j = user;
    const plan *p = j->plan;
    const int64_t outputs = p->shape.out_channels;
    const float *soon[SUM_TILES];
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        const int64_t plane = item / p->panels, panel = item % p->panels, columns = panel_columns(p, panel);
        const float *x = j->x + plane * p->x_plane + panel * p->width;
        for (int64_t t = 0; t < j->count; t += SUM_TILES) {
            const int64_t count = j->count - t < SUM_TILES ? j->count - t : SUM_TILES;
            const bool more = t + count < j->count;
            /* What comes next of x: further tiles, or the next panel's. */
            const int64_t next = item + 1 < last ? item + 1 : item;
            const float *x_soon = more ? x + (t + count) * p->x_row
                                       : j->x + next / p->panels * p->x_plane + next % p->panels * p->width;
            for (int64_t i = 0; i < count; i++)
                soon[i] = x_soon + (more && t + count + i >= j->count ? 0 : i) * p->x_row;
            const float *dy = j->dy + plane * p->dy_plane + t * p->dy_row;
            cpu_gemm_outer outer = {
                .a = dy,
                .a_step = p->dy_row,
                .b = x + t * p->x_row,
                .b_step = p->x_row,
                .count = count,
                .y = j->sums + (plane * p->shape.channels + panel * p->width) * outputs,
                .y_step = columns,
                .rows = outputs,
                .columns = (int)columns,
                .add = j->first + t > 0,
                .a_soon = more ? dy + count * p->dy_row : dy,
                .b_soon = soon,
            };
            j->kernel->device->kernels->gemm_outer(&outer);
        }
    }
}

/* Items: outputs. */
static void gradient_body(void *user, int64_t first, int64_t last, int thread) {
    const job *j = user;
    const plan *p = j->plan;
    const int64_t channels = p->shape.channels, outputs = p->shape.out_channels;
    (void)thread;
    for (int64_t panel = 0; panel < p->panels; panel++) {
        const int64_t columns = panel_columns(p, panel), at = panel * p->width;
        const cpu_winograd_gradient gradient = {
            .from = j->sums + at * outputs + first * columns,
            .plane = channels * outputs,
            .width = columns,
            .dw = (float *)j->kernel->ptr[DW] + first * 9 * channels + at,
            .outputs = last - first,
            .channels = channels,
        };
        j->kernel->device->kernels->winograd_gradient(&gradient);
    }
}

static void run(cpu_kernel *kernel) {
    const plan *p = kernel->data;
    const cpu_device *device = kernel->device;
    job j = {.kernel = kernel, .plan = p};
    j.sums = (float *)((char *)kernel->workspace + tl__cpu_conv2d_grad_bias_bytes(kernel, DBIAS, &p->shape));
    j.x = j.sums + p->sums_bytes / sizeof(float);
    j.dy = j.x + PLANES * p->x_plane;
    for (; j.first < p->tiles; j.first += j.count) {
        j.count = p->tiles - j.first < p->block ? p->tiles - j.first : p->block;
        tl__cpu_parallel(device, j.count, 2, transform_body, &j);
        tl__cpu_parallel(device, PLANES * p->panels, 1, multiply_body, &j);
    }
    tl__cpu_parallel(device, p->shape.out_channels, 4, gradient_body, &j);
    if (cpu_present(kernel, DBIAS))
        tl__cpu_conv2d_grad_bias(kernel, DY, DBIAS, &p->shape);
}

static bool suits(const cpu_kernel *kernel, const cpu_conv2d_shape *s) {
    const cpu_device *device = kernel->device;
    const int64_t lanes = device->kernels->lanes;
    if (device->winograd == CPU_WINOGRAD_NEVER || (device->winograd == CPU_WINOGRAD_AUTO && kernel->op.exact))
        return false;
    for (int i = 0; i < 2; i++)
        if (s->kernel[i] != 3 || s->stride[i] != 1 || s->dilation[i] != 1)
            return false;
    const int64_t tiles = s->images * ((s->out_height + TILE - 1) / TILE) * ((s->out_width + TILE - 1) / TILE);
    return cpu_present(kernel, DW) && s->groups == 1 && s->channels % lanes == 0 && s->out_channels % lanes == 0 &&
           s->channels >= FEWEST_CHANNELS && s->out_channels >= FEWEST_CHANNELS &&
           (device->winograd == CPU_WINOGRAD_ALWAYS ||
            (tiles >= FEWEST_TILES && PLANES * s->channels * s->out_channels * (int64_t)sizeof(float) < LARGE));
}

tl_status tl__cpu_conv2d_grad_weight_winograd_prepare(cpu_kernel *kernel) {
    cpu_device *device = kernel->device;
    cpu_conv2d_shape s;
    tl_status status = tl__cpu_expect(kernel, "ffff");
    if (status == TL_OK)
        status = tl__cpu_conv2d_shape(kernel, X, DW, DY, &s);
    if (status != TL_OK)
        return status;
    if (!suits(kernel, &s))
        return tl__cpu_fail(device, TL_UNSUPPORTED, "cpu: conv2d_grad_weight: not a form for Winograd's algorithm");
    const int64_t zeros = s.channels > s.out_channels ? s.channels : s.out_channels;
    plan *p = kernel->data = tl__cpu_allocate(device, sizeof(*p) + (size_t)zeros * sizeof(float));
    if (!p)
        return TL_ERROR_MEMORY;
    *p = (plan){.shape = s, .width = device->kernels->gemm_width()};
    memset(p->zeros, 0, (size_t)zeros * sizeof(float));
    p->tiles_y = (s.out_height + TILE - 1) / TILE;
    p->tiles_x = (s.out_width + TILE - 1) / TILE;
    p->tiles = s.images * p->tiles_y * p->tiles_x;
    p->panels = (s.channels + p->width - 1) / p->width;
    p->block = p->tiles < BLOCK ? p->tiles : BLOCK;
    p->x_row = s.channels + LINE;
    p->dy_row = s.out_channels + LINE;
    p->x_plane = p->block * p->x_row + LINE;
    p->dy_plane = p->block * p->dy_row + LINE;
    p->sums_bytes = (size_t)(PLANES * s.channels * s.out_channels) * sizeof(float);
    kernel->base.workspace = tl__cpu_conv2d_grad_bias_bytes(kernel, DBIAS, &s) + p->sums_bytes +
                             (uint64_t)(PLANES * (p->x_plane + p->dy_plane)) * sizeof(float);
    kernel->run = run;
    return TL_OK;
}
