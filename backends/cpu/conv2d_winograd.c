/* conv2d_winograd.c: conv2d with constant 3x3 weights, stride 1, by F(4x4, 3x3): patches of x are transformed into 36
 * planes, each of which is multiplied with its plane of transformed weights, and tiles of y are transformed back. And
 * conv2d_grad_input, which is the same of dy with the weights turned: dx has dy's place and y's has x's.
 *
 * Where there are enough tiles, each thread takes blocks of them through all three steps, so small that they stay in
 * its cache. Where there are not, or where the weights are so large that each thread should read a part of them only,
 * the steps are taken one after the other, each by all threads. Neither changes a tile's arithmetic.
 *
 * Whether conv2d uses it depends on the layer alone, never on the batch. */
#include <string.h>

#include "backends/cpu/conv2d.h"
#include "backends/cpu/kernels.h"
#include "backends/cpu/winograd_tiles.h"

enum { X, W, BIAS, RESIDUAL, Y };
enum { DY, GRAD_W, ADDEND, MASK, DX };

#define PLANES CPU_WINOGRAD_PLANES
#define PATCH CPU_WINOGRAD_PATCH
#define TILE CPU_WINOGRAD_TILE
#define GROUP CPU_GEMM_GROUP
#define TILES_FOR_LARGE 4          /* in an image; with fewer, weights four times as large are not worth it */
#define STAGED_TILES 192
#define LEAST_TILES 24
#define LINE 16                     /* floats; planes are a line further apart than they are long, or they would all lie
                                     * in the same few sets of the cache */

typedef struct plan {
    cpu_conv2d_shape shape;          /* of the convolution that is computed: conv2d's, or that of dy */
    cpu_tiles tiles;
    int64_t width, panels;           /* of outputs */
    int64_t block;                   /* the most tiles at a time */
    bool staged;
    int64_t from_plane, to_plane;    /* floats from plane to plane */
    size_t scratch_bytes;            /* for each block under way */
    size_t weight_bytes;
    const float *weights;            /* [plane][panel][channel][output]; NULL: transformed at every run */
    float zeros[];                   /* a pixel outside */
} plan;

typedef struct job {
    const cpu_device *device;
    const plan *plan;
    const cpu_conv2d_operands *operands;
    const float *weights; /* transformed */
    char *scratch;
    int64_t first, count; /* the block: tiles */
    float *from, *to;     /* its planes */
    int stream;
} job;

/* ---- weights ---- */

typedef struct weights_job {
    const plan *plan;
    const float *source;
    float *to;
} weights_job;

/* Items: groups of channels of a panel, so that what is written together lies together. */
static void weights_body(void *user, int64_t first, int64_t last, int thread) {
    const weights_job *j = user;
    const plan *p = j->plan;
    const int64_t channels = p->shape.channels, outputs = p->shape.out_channels;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t panel = item / channels, c = item % channels, o = panel * p->width;
        int64_t width = outputs - o < p->width ? outputs - o : p->width;
        float *to = j->to + o * channels + c * width;
        for (int64_t i = 0; i < width; i++) {
            double t[PLANES];
            winograd_weights(j->source + (o + i) * 9 * channels, channels, c, t);
            for (int plane = 0; plane < PLANES; plane++)
                to[plane * channels * outputs + i] = (float)t[plane];
        }
    }
}

/* The same for dy's convolution, whose outputs are the weights' channels: vectors of them lie side by side. */
static void turned_body(void *user, int64_t first, int64_t last, int thread) {
    const job *j = user;
    const plan *p = j->plan;
    const int64_t channels = p->shape.channels, outputs = p->shape.out_channels;
    float *weights = (float *)(uintptr_t)j->weights;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t panel = item / channels, c = item % channels, o = panel * p->width;
        int64_t width = outputs - o < p->width ? outputs - o : p->width;
        j->device->kernels->winograd_turned(j->operands->weights + c * 9 * outputs + o, outputs, width, channels * outputs,
                                            weights + o * channels + c * width);
    }
}

static tl_status fill_weights(cpu_kernel *kernel, const void *source, void *to, void *user) {
    weights_job j = {user, source, to};
    tl__cpu_parallel(kernel->device, j.plan->panels * j.plan->shape.channels, 16, weights_body, &j);
    return TL_OK;
}

/* ---- the three steps, for a part of a block each ---- */

static void pixels_of(const job *j, int64_t tile, const float **pixels) {
    const plan *p = j->plan;
    const cpu_conv2d_shape *s = &p->shape;
    int64_t n, y, x;
    cpu_tile_at(&p->tiles, tile, &n, &y, &x);
    cpu_tile_pixels(j->operands->from + n * s->height * s->width * s->channels, p->zeros, s->height, s->width, s->channels,
                    s->dilation, y - s->pad[0], x - s->pad[1], PATCH, pixels);
}

static void transform_patches(const job *j, int64_t first, int64_t last) {
    const plan *p = j->plan;
    const cpu_kernels *kernels = j->device->kernels;
    const float *pixels[2][PLANES];
    pixels_of(j, j->first + first, pixels[0]);
    for (int64_t t = first; t < last; t++) {
        pixels_of(j, j->first + (t + 1 < last ? t + 1 : t), pixels[(t + 1 - first) & 1]);
        kernels->winograd_input(pixels[(t - first) & 1], pixels[(t + 1 - first) & 1], p->shape.channels, p->from_plane,
                                j->from + t * p->shape.channels);
    }
}

/* Items: (plane, panel). */
static void multiply(const job *j, int64_t first, int64_t last) {
    const plan *p = j->plan;
    const int64_t channels = p->shape.channels, outputs = p->shape.out_channels;
    const float *rows[GROUP];
    int64_t at[GROUP];
    for (int64_t item = first; item < last; item++) {
        int64_t plane = item / p->panels, o = item % p->panels * p->width;
        int64_t row = 0;
        /* The panel that comes next, wherever it is: all planes' together stay in no cache. */
        const int64_t next = item + 1 < last ? item + 1 : first, next_o = next % p->panels * p->width;
        const float *soon = j->weights + next / p->panels * channels * outputs + next_o * channels;
        int64_t soon_bytes = (outputs - next_o < p->width ? outputs - next_o : p->width) * channels * (int64_t)sizeof(float);
        if ((int64_t)p->weight_bytes < (int64_t)j->device->l2 / 4)
            soon_bytes = 0;
        for (int64_t left = (j->count + GROUP - 1) / GROUP; left > 0; left--) {
            int count = (int)((j->count - row + left - 1) / left);
            for (int i = 0; i < count; i++) {
                rows[i] = j->from + plane * p->from_plane + (row + i) * channels;
                at[i] = (row + i) * outputs;
            }
            cpu_gemm_panel panel = {
                .rows = rows,
                .taps = 1,
                .depth = channels,
                .b = j->weights + plane * channels * outputs + o * channels,
                .y = j->to + plane * p->to_plane + o,
                .at = at,
                .count = count,
                .columns = (int)(outputs - o < p->width ? outputs - o : p->width),
                .soon = rows,
                .b_soon = soon,
                .b_soon_bytes = soon_bytes,
            };
            j->device->kernels->gemm_panel(&panel);
            row += count;
            soon_bytes = 0;
        }
    }
}

/* How many of a tile's rows or columns there are where so many pixels are left. */
static int fitting(int64_t left, int64_t dilation) {
    const int64_t count = (left + dilation - 1) / dilation;
    return left <= 0 ? 0 : count < TILE ? (int)count : TILE;
}

static void transform_tiles(const job *j, int64_t first, int64_t last) {
    const plan *p = j->plan;
    const cpu_conv2d_shape *s = &p->shape;
    const cpu_conv2d_operands *operands = j->operands;
    cpu_winograd_output out = {
        .plane = p->to_plane,
        .channels = s->out_channels,
        .bias = operands->bias,
        .row = s->dilation[0] * s->out_width * s->out_channels,
        .pixel = s->dilation[1] * s->out_channels,
        .relu = operands->relu,
        .stream = j->stream,
    };
    for (int64_t t = first; t < last; t++) {
        int64_t n, y, x;
        cpu_tile_at(&p->tiles, j->first + t, &n, &y, &x);
        out.height = fitting(s->out_height - y, s->dilation[0]);
        out.width = fitting(s->out_width - x, s->dilation[1]);
        if (out.height == 0 || out.width == 0)
            continue;
        int64_t at = ((n * s->out_height + y) * s->out_width + x) * s->out_channels;
        out.from = j->to + t * s->out_channels;
        out.y = operands->to + at;
        out.residual = operands->residual ? operands->residual + at : NULL;
        out.mask = operands->mask ? operands->mask + at : NULL;
        j->device->kernels->winograd_output(&out);
    }
}

/* ---- running ---- */

static void place(job *j, char *scratch) {
    j->from = (float *)scratch;
    j->to = j->from + PLANES * j->plan->from_plane;
}

static void local_body(void *user, int64_t first, int64_t last, int thread) {
    job j = *(const job *)user;
    place(&j, j.scratch + (size_t)thread * j.plan->scratch_bytes);
    for (int64_t left = (last - first + j.plan->block - 1) / j.plan->block; left > 0; left--) {
        j.first = first;
        j.count = (last - first + left - 1) / left;
        transform_patches(&j, 0, j.count);
        multiply(&j, 0, PLANES * j.plan->panels);
        transform_tiles(&j, 0, j.count);
        first += j.count;
    }
}

static void patches_body(void *user, int64_t first, int64_t last, int thread) {
    (void)thread;
    transform_patches(user, first, last);
}

static void multiply_body(void *user, int64_t first, int64_t last, int thread) {
    (void)thread;
    multiply(user, first, last);
}

static void tiles_body(void *user, int64_t first, int64_t last, int thread) {
    (void)thread;
    transform_tiles(user, first, last);
}

static void run(cpu_kernel *kernel, const cpu_conv2d_operands *operands) {
    const plan *p = kernel->data;
    const cpu_device *device = kernel->device;
    job j = {.device = device, .plan = p, .operands = operands, .weights = p->weights, .scratch = kernel->workspace};
    uint64_t bytes = (uint64_t)(p->shape.images * p->shape.out_height * p->shape.out_width) *
                     (uint64_t)p->shape.out_channels * sizeof(float);
    /* A store past the caches must fill a line. */
    j.stream = device->kernels->lanes == LINE && cpu_streams(device, bytes) && operands->to != operands->residual;
    if (!j.weights) {
        j.weights = (const float *)j.scratch;
        j.scratch += p->weight_bytes;
        tl__cpu_parallel(device, p->panels * p->shape.channels, 16, turned_body, &j);
    }
    if (!p->staged) {
        tl__cpu_parallel(device, p->tiles.count, p->block, local_body, &j);
        return;
    }
    place(&j, j.scratch);
    for (int64_t left = (p->tiles.count + p->block - 1) / p->block; left > 0; left--) {
        j.count = (p->tiles.count - j.first + left - 1) / left;
        tl__cpu_parallel(device, j.count, 2, patches_body, &j);
        tl__cpu_parallel(device, PLANES * p->panels, 1, multiply_body, &j);
        tl__cpu_parallel(device, j.count, 2, tiles_body, &j);
        j.first += j.count;
    }
}

static void run_forward(cpu_kernel *kernel) {
    const cpu_conv2d_operands operands = {
        .from = kernel->ptr[X],
        .bias = kernel->ptr[BIAS],
        .residual = kernel->ptr[RESIDUAL],
        .to = kernel->ptr[Y],
        .relu = kernel->op.relu,
    };
    run(kernel, &operands);
}

static void run_grad_input(cpu_kernel *kernel) {
    const cpu_conv2d_operands operands = {
        .from = kernel->ptr[DY],
        .weights = kernel->ptr[GRAD_W],
        .residual = kernel->ptr[ADDEND],
        .mask = kernel->ptr[MASK],
        .to = kernel->ptr[DX],
    };
    run(kernel, &operands);
}

/* ---- preparing ---- */

/* What passes between the caches for each tile decides: a block that stays in the second cache has its planes there, and
 * reads all weights for its few tiles; with staged blocks the planes go out and back, and each thread reads its part of
 * the weights once for many tiles. */
static void choose_block(const cpu_device *device, plan *p) {
    const int64_t channels = p->shape.channels, outputs = p->shape.out_channels;
    const int64_t tile_bytes = PLANES * (channels + outputs) * (int64_t)sizeof(float);
    const int64_t weight_bytes = (int64_t)p->weight_bytes;
    p->block = (int64_t)device->l2 * 5 / 8 / tile_bytes / 6 * 6;
    if (p->block < LEAST_TILES)
        p->block = LEAST_TILES;
    if (p->block > GROUP)
        p->block = GROUP;
    const int64_t staged = p->tiles.count < STAGED_TILES ? p->tiles.count : STAGED_TILES;
    const int64_t local_cost = weight_bytes / p->block;
    const int64_t staged_cost = 2 * tile_bytes + weight_bytes / staged / device->threads;
    p->staged = p->tiles.count < p->block * device->threads ||
                (weight_bytes > (int64_t)device->l2 && staged_cost < local_cost);
    if (p->staged)
        p->block = STAGED_TILES;
    if (p->block > p->tiles.count)
        p->block = p->tiles.count;
    p->from_plane = p->block * channels + LINE;
    p->to_plane = p->block * outputs + LINE;
    p->scratch_bytes = (size_t)(PLANES * (p->from_plane + p->to_plane)) * sizeof(float);
}

/* Makes kernel->data for the convolution `s`. */
static tl_status create(cpu_kernel *kernel, const cpu_conv2d_shape *s) {
    cpu_device *device = kernel->device;
    if (!cpu_tiles_suit(kernel, s))
        return tl__cpu_fail(device, TL_UNSUPPORTED, "cpu: not a convolution for Winograd's algorithm");
    plan *p = kernel->data = tl__cpu_allocate(device, sizeof(*p) + (size_t)s->channels * sizeof(float));
    if (!p)
        return TL_ERROR_MEMORY;
    *p = (plan){.shape = *s, .width = device->kernels->gemm_width()};
    memset(p->zeros, 0, (size_t)s->channels * sizeof(float));
    p->tiles = cpu_tiles_of(s);
    p->panels = (s->out_channels + p->width - 1) / p->width;
    p->weight_bytes = (size_t)cpu_tiles_weight_bytes(s);
    choose_block(device, p);
    kernel->base.workspace = (uint64_t)(p->staged ? 1 : device->threads) * p->scratch_bytes;
    return TL_OK;
}

tl_status tl__cpu_conv2d_winograd_prepare(cpu_kernel *kernel) {
    cpu_conv2d_shape s;
    tl_status status = tl__cpu_expect(kernel, "fffff");
    if (status == TL_OK)
        status = tl__cpu_conv2d_shape(kernel, X, W, Y, &s);
    if (status == TL_OK)
        status = create(kernel, &s);
    if (status != TL_OK)
        return status;
    plan *p = kernel->data;
    const bool slower = p->tiles.per_image < TILES_FOR_LARGE && p->weight_bytes >= CPU_TILES_LARGE;
    if (!cpu_is_constant(kernel, W) || (slower && !kernel->asked))
        return tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: conv2d: Winograd's algorithm would be slower");
    kernel->run = run_forward;
    const void *weights;
    status = tl__cpu_constant_derive(kernel, W, CPU_FORM('W', 0, s.channels, s.out_channels), p->weight_bytes,
                                     fill_weights, p, &weights);
    if (status == TL_OK)
        p->weights = weights;
    return status;
}

tl_status tl__cpu_conv2d_grad_input_winograd_prepare(cpu_kernel *kernel) {
    cpu_conv2d_shape s;
    tl_status status = tl__cpu_expect(kernel, "fffff");
    if (status == TL_OK)
        status = tl__cpu_conv2d_shape(kernel, DX, GRAD_W, DY, &s);
    if (status != TL_OK)
        return status;
    cpu_conv2d_shape turned = s;
    turned.height = s.out_height;
    turned.width = s.out_width;
    turned.channels = s.out_channels;
    turned.out_height = s.height;
    turned.out_width = s.width;
    turned.out_channels = s.channels;
    for (int i = 0; i < 2; i++)
        turned.pad[i] = s.dilation[i] * (s.kernel[i] - 1) - s.pad[i];
    status = create(kernel, &turned);
    if (status != TL_OK)
        return status;
    const plan *p = kernel->data;
    if (!cpu_tiles_pay(kernel, &turned))
        return tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: conv2d_grad_input: Winograd's algorithm would be slower");
    kernel->base.workspace += p->weight_bytes;
    kernel->run = run_grad_input;
    return TL_OK;
}
