/* conv2d_gpu.c: conv2d and conv2d_grad_input by the implicit product of conv2d_gpu.cl. */
#include <math.h>
#include <stdio.h>

#include "backends/conv2d_shape.h"
#include "backends/half.h"
#include "backends/opencl/conv2d_gpu.h"

#define NONE (OPENCL_OPERANDS - 1) /* an operand that no convolution has */
#define MOST ((int64_t)INT32_MAX)
#define ROWS_ALIGNED 128           /* slices of one image are whole tiles of any size */

/* ---- sizes ---- */

tl_status tl__opencl_gpu_shape(opencl_kernel *kernel, const char *types, int x, int y, opencl_gpu_shape *shape) {
    if (kernel->device->vectors)
        return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: for GPUs", kernel->stem);
    tl_status status = tl__opencl_expect(kernel, types);
    if (status != TL_OK)
        return status;
    conv2d_shape c;
    if (!conv2d_shape_of(&kernel->op, &kernel->operands[x], NULL, &kernel->operands[y], &c))
        return tl__opencl_fail(kernel->device, TL_ERROR_ARGUMENT, "%s: the shapes do not fit each other", kernel->stem);
    opencl_gpu_shape s = {.images = c.images, .height = c.height, .width = c.width, .channels = c.channels,
                          .out_height = c.out_height, .out_width = c.out_width, .outputs = c.out_channels,
                          .groups = c.groups, .depth = c.group_channels, .columns = c.group_outputs};
    for (int i = 0; i < 2; i++) {
        s.kernel[i] = c.kernel[i];
        s.stride[i] = c.stride[i];
        s.pad[i] = c.pad[i];
        s.dilation[i] = c.dilation[i];
    }
    int64_t weights = s.outputs * s.kernel[0] * s.kernel[1] * s.depth;
    if (s.images > MOST || s.height * s.width * s.channels > MOST || s.out_height * s.out_width * s.outputs > MOST ||
        weights > MOST)
        return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: an image or the weights have 2^31 elements or more",
                               kernel->stem);
    *shape = s;
    return TL_OK;
}

static void weights(const opencl_gpu_shape *s, opencl_gather *g) {
    g->w_group = (cl_int)(s->columns * s->kernel[0] * s->kernel[1] * s->depth);
    g->w_tap[0] = (cl_int)(s->kernel[1] * s->depth);
    g->w_tap[1] = (cl_int)(s->depth);
}

void tl__opencl_gpu_forward(const opencl_gpu_shape *s, opencl_gather *gather) {
    opencl_gather g = {
        .source = {(cl_int)s->height, (cl_int)s->width, (cl_int)s->channels},
        .depth = (cl_int)s->depth,
        .rows = {(cl_int)s->out_height, (cl_int)s->out_width},
        .target = {(cl_int)s->out_height, (cl_int)s->out_width, (cl_int)s->outputs},
        .to = {1, 1},
        .columns = (cl_int)s->columns,
        .w_column = (cl_int)(s->kernel[0] * s->kernel[1] * s->depth),
        .w_depth = 1,
    };
    weights(s, &g);
    for (int i = 0; i < 2; i++) {
        g.taps[i] = (cl_int)s->kernel[i];
        g.mul[i] = (cl_int)s->stride[i];
        g.base[i] = (cl_int)-s->pad[i];
        g.step[i] = (cl_int)s->dilation[i];
    }
    *gather = g;
}

static int64_t common_divisor(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Row h of dx is under tap i of row (h + pad - i dilation) / stride of dy where that is whole: for h = phase + a stride
 * the taps first, first + every, ..., whose rows of dy are a + base - t (every dilation / stride). */
void tl__opencl_gpu_backward(const opencl_gpu_shape *s, const int64_t phase[2], opencl_gather *gather) {
    opencl_gather g = {
        .source = {(cl_int)s->out_height, (cl_int)s->out_width, (cl_int)s->outputs},
        .depth = (cl_int)s->columns,
        .mul = {1, 1},
        .target = {(cl_int)s->height, (cl_int)s->width, (cl_int)s->channels},
        .columns = (cl_int)s->depth,
        .w_column = 1,
        .w_depth = (cl_int)(s->kernel[0] * s->kernel[1] * s->depth),
    };
    const int64_t size[2] = {s->height, s->width};
    weights(s, &g);
    for (int i = 0; i < 2; i++) {
        int64_t every = s->stride[i] / common_divisor(s->stride[i], s->dilation[i]), first = 0;
        while (first < every && (phase[i] + s->pad[i] - first * s->dilation[i]) % s->stride[i])
            first++;
        bool any = first < every && first < s->kernel[i];
        g.taps[i] = any ? (cl_int)((s->kernel[i] - first + every - 1) / every) : 0;
        g.base[i] = any ? (cl_int)((phase[i] + s->pad[i] - first * s->dilation[i]) / s->stride[i]) : 0;
        g.step[i] = (cl_int)-(every * s->dilation[i] / s->stride[i]);
        g.rows[i] = phase[i] < size[i] ? (cl_int)((size[i] - phase[i] + s->stride[i] - 1) / s->stride[i]) : 0;
        g.to[i] = (cl_int)s->stride[i];
        g.at[i] = (cl_int)phase[i];
        g.w_first += any ? (cl_int)first * g.w_tap[i] : 0;
        g.w_tap[i] *= (cl_int)every;
    }
    *gather = g;
}

/* ---- launches ---- */

typedef struct work {
    opencl_kernel *kernel;
    const opencl_gpu_shape *shape;
    const opencl_gpu_operands *operands;
    const opencl_tile *tile;
    const char *options, *function;
    opencl_constant *tables, *weights; /* the latter NULL: they are an operand */
    int relu;
} work;

/* Rows first .. end of the images from `image` on. */
static tl_status launch(const work *w, const opencl_gather *g, int table, int64_t image, int64_t first, int64_t end) {
    const opencl_gpu_operands *o = w->operands;
    const int64_t from = image * g->source[0] * g->source[1] * g->source[2];
    const int64_t to = image * g->target[0] * g->target[1] * g->target[2];
    const opencl_range range = tl__opencl_gpu_range(w->tile, end - first, g->columns, w->shape->groups);
#define VALUES o->bias, o->addend, to, o->mask, to, o->y, to, (int)first, (int)end, w->relu
    if (w->weights)
        return tl__opencl_launch(w->kernel, "conv2d_gpu", w->options, w->function, &range, "cipcoppp" "iii", w->tables, table,
                                 o->x, from, w->weights, VALUES);
    return tl__opencl_launch(w->kernel, "conv2d_gpu", w->options, w->function, &range, "cipooppp" "iii", w->tables, table,
                             o->x, from, o->w, VALUES);
#undef VALUES
}

/* All images, in as many launches as the limits ask for. */
static tl_status launch_slices(const work *w, const opencl_gather *g, int table) {
    const opencl_gpu_shape *s = w->shape;
    const int64_t pixels = (int64_t)g->rows[0] * g->rows[1];
    const int64_t each = (int64_t)g->taps[0] * g->taps[1] * g->depth * g->columns * s->groups + 1; /* of a pixel */
    const int64_t limit = tl__opencl_gpu_launch_limit(w->kernel->device);
    const int64_t source = (int64_t)g->source[0] * g->source[1] * g->source[2];
    const int64_t target = (int64_t)g->target[0] * g->target[1] * g->target[2];
    int64_t images = MOST / (source > target ? source : target), rows = limit / each / ROWS_ALIGNED * ROWS_ALIGNED;
    if (pixels == 0)
        return TL_OK;
    if (images > limit / each / pixels)
        images = limit / each / pixels > 0 ? limit / each / pixels : 1;
    rows = images > 1 || rows >= pixels ? images * pixels : rows > 0 ? rows : ROWS_ALIGNED;
    tl_status status = TL_OK;
    for (int64_t i = 0; i < s->images; i += images) {
        const int64_t end = (s->images - i < images ? s->images - i : images) * pixels;
        for (int64_t first = 0; first < end && status == TL_OK; first += rows)
            status = launch(w, g, table, i, first, first + rows < end ? first + rows : end);
    }
    return status;
}

static int reads(int64_t channels) {
    return channels % 4 == 0 ? 4 : 1;
}

/* ---- storage in 16 bits ---- */

/* TL_UNSUPPORTED where a weight is beyond what a half holds. */
static tl_status narrow(opencl_kernel *kernel, const void *source, void *to, void *user) {
    const float *from = source;
    for (int64_t i = 0; i < *(const int64_t *)user; i++) {
        ((uint16_t *)to)[i] = half_of(from[i]);
        if (!isfinite(half_value(((uint16_t *)to)[i])) && isfinite(from[i]))
            return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: a weight is too large for fp16", kernel->stem);
    }
    return TL_OK;
}

/* What a walk is built with for the types of its operands. Beside stored activations constant weights are halves, too:
 * with small batches they are most of what is read. */
static tl_status store(work *w, char matrix[64]) {
    opencl_kernel *kernel = w->kernel;
    const opencl_gpu_operands *o = w->operands;
    const bool in = kernel->operands[o->x].desc.dtype == TL_DTYPE_F16, out = kernel->operands[o->y].desc.dtype == TL_DTYPE_F16;
    int64_t count = opencl_elements(kernel, o->w);
    tl_status status = TL_OK;
    if (in && opencl_is_constant(kernel, o->w)) {
        status = tl__opencl_constant_derive(kernel, o->w, OPENCL_FORM('h', 0, 0, 0), (size_t)count * sizeof(uint16_t), narrow,
                                            &count, &w->weights);
        if (status == TL_UNSUPPORTED)
            status = TL_OK; /* they stay floats */
    }
    snprintf(matrix, 64, "GATHER%s%s%s", in ? " -DHALF_IN" : "", out ? " -DHALF_OUT" : "", w->weights ? " -DHALF_W" : "");
    return status;
}

static tl_status implicit(opencl_kernel *kernel, const opencl_gpu_shape *shape, const opencl_gpu_operands *o,
                          const opencl_gather *gathers, int count) {
    const bool along = gathers->w_column == 1;
    const int read[2] = {reads(gathers->depth), reads(along ? gathers->columns : gathers->depth)};
    const int64_t rows = shape->images * gathers->rows[0] * gathers->rows[1];
    char options[128], matrix[64];
    work w = {.kernel = kernel, .shape = shape, .operands = o, .options = options, .relu = kernel->op.relu};
    tl_status status = store(&w, matrix);
    if (status == TL_OK)
        status = tl__opencl_gpu_tile(kernel, matrix, rows, gathers->columns, shape->groups, read, along, &w.tile, options,
                                     &w.function);
    if (status == TL_OK)
        status = tl__opencl_constant_make(kernel, (size_t)count * sizeof(*gathers), gathers, &w.tables);
    for (int i = 0; i < count && status == TL_OK; i++)
        status = launch_slices(&w, &gathers[i], i * (int)(sizeof(*gathers) / sizeof(cl_int)));
    return status;
}

/* ---- the two operations that are such a walk ---- */

tl_status tl__opencl_gpu_forward_by(opencl_kernel *kernel, const char *types, opencl_gpu_walk *walk) {
    enum { X, W, BIAS, RESIDUAL, Y };
    static const opencl_gpu_operands operands = {X, W, BIAS, RESIDUAL, NONE, Y};
    opencl_gpu_shape shape;
    opencl_gather gather;
    tl_status status = tl__opencl_gpu_shape(kernel, types, X, Y, &shape);
    if (status != TL_OK)
        return status;
    tl__opencl_gpu_forward(&shape, &gather);
    return walk(kernel, &shape, &operands, &gather, 1);
}

tl_status tl__opencl_gpu_backward_by(opencl_kernel *kernel, opencl_gpu_walk *walk) {
    enum { DY, W, ADDEND, MASK, DX };
    static const opencl_gpu_operands operands = {DY, W, NONE, ADDEND, MASK, DX};
    opencl_gpu_shape shape;
    tl_status status = tl__opencl_gpu_shape(kernel, "fffff", DX, DY, &shape);
    if (status != TL_OK)
        return status;
    int count = (int)(shape.stride[0] * shape.stride[1]);
    opencl_gather *gathers = tl__opencl_allocate(kernel->device, (size_t)count * sizeof(*gathers));
    if (!gathers)
        return TL_ERROR_MEMORY;
    for (int i = 0; i < count; i++) {
        const int64_t phase[2] = {i / shape.stride[1], i % shape.stride[1]};
        tl__opencl_gpu_backward(&shape, phase, &gathers[i]);
    }
    status = walk(kernel, &shape, &operands, gathers, count);
    tl__opencl_release(kernel->device, gathers);
    return status;
}

tl_status tl__opencl_conv2d_implicit(opencl_kernel *kernel) {
    const bool stored = kernel->operands[0].desc.dtype == TL_DTYPE_F16;
    return tl__opencl_gpu_forward_by(kernel, stored ? "effeg" : "ffffg", implicit);
}

tl_status tl__opencl_conv2d_grad_input_implicit(opencl_kernel *kernel) {
    return tl__opencl_gpu_backward_by(kernel, implicit);
}
