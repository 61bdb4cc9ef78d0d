/* conv2d_winograd_gpu.c: conv2d by Winograd's F(4x4, 3x3) on GPUs, slice by slice of the tiles: patches into planes, 36
 * products, products into tiles. The products are one grouped 1x1 convolution to conv2d_gpu.cl (a pixel for each tile, a
 * group for each plane), or are CLBlast's. */
#include "backends/opencl/blas.h"
#include "backends/opencl/conv2d_gpu.h"
#include "backends/opencl/conv2d_winograd.h"

#define STEM "conv2d_winograd_gpu"
#define NONE (OPENCL_OPERANDS - 1) /* an operand that no convolution has */
#define WORKSPACE (64 << 20)       /* bytes of planes before and after the product; one tile at least */
#define TILES_ALIGNED 128
#define PLANES WINOGRAD_PLANES
enum { X = OPENCL_WINOGRAD_X, W, BIAS, RESIDUAL, Y };

typedef struct work {
    opencl_kernel *kernel;
    const opencl_winograd *plan;
    opencl_constant *constant, *table; /* transformed weights, where they are constant */
    uint64_t weights, from, to;        /* otherwise they, and the planes before and after the product: in the workspace */
    int64_t slice;                     /* tiles at a time */
    const opencl_tile *tile;
    char options[128];
    const char *function;
    uint64_t most;                     /* of the workspace: CLBlast's products take turns in what lies behind the planes */
} work;

/* ---- weights: [plane][output][channel] ---- */

static tl_status fill(opencl_kernel *kernel, const void *source, void *to, void *user) {
    const conv2d_shape *s = user;
    const int64_t plane = s->out_channels * s->channels;
    (void)kernel;
    for (int64_t o = 0; o < s->out_channels; o++)
        for (int64_t c = 0; c < s->channels; c++) {
            double t[PLANES];
            winograd_weights((const float *)source + o * 9 * s->channels, s->channels, c, t);
            for (int i = 0; i < PLANES; i++)
                ((float *)to)[i * plane + o * s->channels + c] = (float)t[i];
        }
    return TL_OK;
}

static tl_status give_weights(work *w) {
    conv2d_shape s = w->plan->shape;
    const size_t bytes = (size_t)(PLANES * s.out_channels * s.channels) * sizeof(float);
    if (opencl_is_constant(w->kernel, W))
        return tl__opencl_constant_derive(w->kernel, W, OPENCL_FORM('W', 0, s.channels, s.out_channels), bytes, fill, &s,
                                          &w->constant);
    w->weights = tl__opencl_workspace(w->kernel, bytes);
    opencl_range range = {.global = {(size_t)s.channels, (size_t)s.out_channels}, .local = {64, 1}};
    return tl__opencl_launch(w->kernel, STEM, "", "conv2d_winograd_kernels", &range, "owii", W, w->weights,
                             (int)s.out_channels, (int)s.channels);
}

/* ---- the three steps of a slice ---- */

static tl_status patches(const work *w, int64_t first, int64_t count) {
    const conv2d_shape *s = &w->plan->shape;
    opencl_range range = {.global = {(size_t)s->channels, (size_t)count}, .local = {64, 1}};
    return tl__opencl_launch(w->kernel, STEM, "", "conv2d_winograd_patches", &range, "owiiiiiiiii", X, w->from, (int)first,
                             (int)count, (int)s->height, (int)s->width, (int)s->channels, (int)s->pad[0], (int)s->pad[1],
                             (int)w->plan->tiles_y, (int)w->plan->tiles_x);
}

static tl_status tiles(const work *w, int64_t first, int64_t count) {
    const conv2d_shape *s = &w->plan->shape;
    opencl_range range = {.global = {(size_t)s->out_channels, (size_t)count}, .local = {64, 1}};
    return tl__opencl_launch(w->kernel, STEM, "", "conv2d_winograd_tiles", &range, "woooiiiiiiii", w->to, BIAS, RESIDUAL, Y,
                             (int)first, (int)count, (int)s->out_height, (int)s->out_width, (int)s->out_channels,
                             (int)w->plan->tiles_y, (int)w->plan->tiles_x, (int)w->kernel->op.relu);
}

static tl_status product(const work *w, int64_t count) {
    const opencl_range range = tl__opencl_gpu_range(w->tile, count, w->plan->shape.out_channels, PLANES);
    if (w->constant)
        return tl__opencl_launch(w->kernel, "conv2d_gpu", w->options, w->function, &range, "ciwcooowiii", w->table, 0,
                                 w->from, w->constant, NONE, NONE, NONE, w->to, 0, (int)count, 0);
    return tl__opencl_launch(w->kernel, "conv2d_gpu", w->options, w->function, &range, "ciwwooowiii", w->table, 0, w->from,
                             w->weights, NONE, NONE, NONE, w->to, 0, (int)count, 0);
}

static tl_status product_gemm(work *w, int64_t count) {
    const conv2d_shape *s = &w->plan->shape;
    const int workspace = (int)w->kernel->count;
    const int64_t floats = sizeof(float);
    const uint64_t before = w->kernel->base.workspace;
    opencl_gemm gemm = {
        .m = count, .n = s->out_channels, .k = s->channels, .count = PLANES, .alpha = 1,
        .a = {.operand = workspace, .at = (int64_t)w->from / floats, .leading = PLANES * s->channels, .step = s->channels},
        .b = {.operand = workspace, .at = (int64_t)w->weights / floats, .leading = s->channels,
              .step = s->out_channels * s->channels, .transposed = true},
        .c = {.operand = workspace, .at = (int64_t)w->to / floats, .leading = PLANES * s->out_channels,
              .step = s->out_channels},
    };
    if (w->constant) {
        gemm.b.constant = w->constant;
        gemm.b.at = 0;
    }
    tl_status status = tl__opencl_gemm(w->kernel, &gemm);
    if (w->kernel->base.workspace > w->most)
        w->most = w->kernel->base.workspace;
    w->kernel->base.workspace = before;
    return status;
}

/* ---- preparing ---- */

/* Which tile, and the table of a 1x1 convolution whose image is a line of tiles. */
static tl_status plan_product(work *w) {
    opencl_kernel *kernel = w->kernel;
    const conv2d_shape *s = &w->plan->shape;
    const int channels = (int)s->channels, outputs = (int)s->out_channels;
    const int read[2] = {channels % 4 ? 1 : 4, channels % 4 ? 1 : 4};
    opencl_gather gather = {
        .source = {1, (cl_int)w->slice, PLANES * channels},
        .depth = channels,
        .taps = {1, 1},
        .mul = {1, 1},
        .step = {1, 1},
        .rows = {1, (cl_int)w->slice},
        .target = {1, (cl_int)w->slice, PLANES * outputs},
        .to = {1, 1},
        .columns = outputs,
        .w_group = outputs * channels,
        .w_column = channels,
        .w_depth = 1,
        .w_tap = {channels, channels},
    };
    const char *name = kernel->base.implementation;
    tl_status status = tl__opencl_gpu_tile(kernel, "GATHER", w->slice, outputs, PLANES, read, false, &w->tile, w->options,
                                           &w->function);
    kernel->base.implementation = name;
    return status == TL_OK ? tl__opencl_constant_make(kernel, sizeof(gather), &gather, &w->table) : status;
}

static int64_t slice_of(const opencl_kernel *kernel, const opencl_winograd *plan) {
    const conv2d_shape *s = &plan->shape;
    const int64_t each = PLANES * (s->channels + s->out_channels) * (int64_t)sizeof(float);
    const int64_t limit = tl__opencl_gpu_launch_limit(kernel->device) / (PLANES * s->channels * s->out_channels);
    int64_t slice = WORKSPACE / each < limit ? WORKSPACE / each : limit;
    slice = slice > TILES_ALIGNED ? slice / TILES_ALIGNED * TILES_ALIGNED : slice;
    return slice < 1 ? 1 : slice < plan->tiles ? slice : plan->tiles;
}

tl_status tl__opencl_winograd_gpu(opencl_kernel *kernel, const opencl_winograd *plan, bool gemm) {
    const conv2d_shape *s = &plan->shape;
    work w = {.kernel = kernel, .plan = plan, .slice = slice_of(kernel, plan)};
    tl_status status = give_weights(&w);
    w.from = tl__opencl_workspace(kernel, (uint64_t)(w.slice * PLANES * s->channels) * sizeof(float));
    w.to = tl__opencl_workspace(kernel, (uint64_t)(w.slice * PLANES * s->out_channels) * sizeof(float));
    w.most = kernel->base.workspace;
    if (status == TL_OK && !gemm)
        status = plan_product(&w);
    for (int64_t first = 0; first < plan->tiles && status == TL_OK; first += w.slice) {
        const int64_t count = plan->tiles - first < w.slice ? plan->tiles - first : w.slice;
        status = patches(&w, first, count);
        if (status == TL_OK)
            status = gemm ? product_gemm(&w, count) : product(&w, count);
        if (status == TL_OK)
            status = tiles(&w, first, count);
    }
    kernel->base.workspace = w.most;
    return status;
}
