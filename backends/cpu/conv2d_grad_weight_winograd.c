/* conv2d_grad_weight_winograd.c: the gradient by the weights of a 3x3 convolution of stride 1, by F(4x4, 3x3) backwards:
 * patches of x and tiles of dy are transformed into 36 planes each, of which the products are summed up over all tiles,
 * and the sums are transformed into weights. A ninth of the sums' terms is a quarter of the multiplications.
 *
 * Each step is taken by all threads for a block of tiles after the other, and every sum goes over the tiles in their
 * order, in pieces that depend on the shape alone: results do not depend on the threads. */
#include <string.h>

#include "backends/cpu/conv2d.h"
#include "backends/cpu/kernels.h"
#include "backends/cpu/winograd_tiles.h"

enum { X, DY, DW, DBIAS };

#define PLANES CPU_WINOGRAD_PLANES
#define PATCH CPU_WINOGRAD_PATCH
#define TILE CPU_WINOGRAD_TILE
#define LINE 16               /* floats; rows and planes are a line further apart than they are long, or they would lie in
                               * few sets of the caches */
#define SUM_TILES 128         /* of a sum; a panel of so many stays in the first cache */
#define BLOCK (2 * SUM_TILES)

typedef struct plan {
    cpu_conv2d_shape shape;
    cpu_tiles tiles;
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

static void patch_of(const job *j, int64_t tile, const float **pixels) {
    const plan *p = j->plan;
    const cpu_conv2d_shape *s = &p->shape;
    int64_t n, y, x;
    cpu_tile_at(&p->tiles, tile, &n, &y, &x);
    cpu_tile_pixels((const float *)j->kernel->ptr[X] + n * s->height * s->width * s->channels, p->zeros, s->height, s->width,
                    s->channels, s->dilation, y - s->pad[0], x - s->pad[1], PATCH, pixels);
}

static void tile_of(const job *j, int64_t tile, const float **pixels) {
    const plan *p = j->plan;
    const cpu_conv2d_shape *s = &p->shape;
    int64_t n, y, x;
    cpu_tile_at(&p->tiles, tile, &n, &y, &x);
    cpu_tile_pixels((const float *)j->kernel->ptr[DY] + n * s->out_height * s->out_width * s->out_channels, p->zeros,
                    s->out_height, s->out_width, s->out_channels, s->dilation, y, x, TILE, pixels);
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
        tile_of(j, tile, pixels);
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
    for (; j.first < p->tiles.count; j.first += j.count) {
        j.count = p->tiles.count - j.first < p->block ? p->tiles.count - j.first : p->block;
        tl__cpu_parallel(device, j.count, 2, transform_body, &j);
        tl__cpu_parallel(device, PLANES * p->panels, 1, multiply_body, &j);
    }
    tl__cpu_parallel(device, p->shape.out_channels, 4, gradient_body, &j);
    if (cpu_present(kernel, DBIAS))
        tl__cpu_conv2d_grad_bias(kernel, DY, DBIAS, &p->shape);
}

tl_status tl__cpu_conv2d_grad_weight_winograd_prepare(cpu_kernel *kernel) {
    cpu_device *device = kernel->device;
    cpu_conv2d_shape s;
    tl_status status = tl__cpu_expect(kernel, "ffff");
    if (status == TL_OK)
        status = tl__cpu_conv2d_shape(kernel, X, DW, DY, &s);
    if (status != TL_OK)
        return status;
    if (!cpu_present(kernel, DW) || !cpu_tiles_suit(kernel, &s) || !cpu_tiles_pay(kernel, &s))
        return tl__cpu_fail(device, TL_UNSUPPORTED, "cpu: conv2d_grad_weight: not a form for Winograd's algorithm");
    const int64_t zeros = s.channels > s.out_channels ? s.channels : s.out_channels;
    plan *p = kernel->data = tl__cpu_allocate(device, sizeof(*p) + (size_t)zeros * sizeof(float));
    if (!p)
        return TL_ERROR_MEMORY;
    *p = (plan){.shape = s, .width = device->kernels->gemm_width()};
    memset(p->zeros, 0, (size_t)zeros * sizeof(float));
    p->tiles = cpu_tiles_of(&s);
    p->panels = (s.channels + p->width - 1) / p->width;
    p->block = p->tiles.count < BLOCK ? p->tiles.count : BLOCK;
    p->x_row = s.channels + LINE;
    p->dy_row = s.out_channels + LINE;
    p->x_plane = p->block * p->x_row + LINE;
    p->dy_plane = p->block * p->dy_row + LINE;
    p->sums_bytes = (size_t)cpu_tiles_weight_bytes(&s);
    kernel->base.workspace = tl__cpu_conv2d_grad_bias_bytes(kernel, DBIAS, &s) + p->sums_bytes +
                             (uint64_t)(PLANES * (p->x_plane + p->dy_plane)) * sizeof(float);
    kernel->run = run;
    return TL_OK;
}
