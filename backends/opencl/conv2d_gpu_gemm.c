/* conv2d_gpu_gemm.c: the three convolutions by CLBlast's matrix products.
 *
 * Where a matrix of the product is an operand as it lies (1x1, stride 1), it is used there; otherwise slices of it are
 * gathered into the workspace, in the same order as conv2d_gpu.cl walks: conv2d_grad_input gathers dy for the pixels of
 * each phase and needs no scattering of columns back into an image, which could only be done with atomics or a second
 * gathering. What follows the sum (bias, addition, ReLU, mask) reads a slice of the product from the workspace. */
#include <stdio.h>

#include "backends/opencl/blas.h"
#include "backends/opencl/conv2d_gpu.h"

#define NONE (OPENCL_OPERANDS - 1) /* an operand that no convolution has */
#define WORKSPACE (64 << 20)       /* bytes of gathered rows and their product; one row at least */
#define ROWS_ALIGNED 128

typedef struct work {
    opencl_kernel *kernel;
    const opencl_gpu_shape *shape;
    const opencl_gpu_operands *operands;
    opencl_constant *tables;
    const opencl_constant *weights; /* NULL: they are an operand */
    char options[64];
    uint64_t most; /* of the workspace: products take turns in what lies behind the slices */
} work;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t terms_of(const opencl_gather *g) {
    return (int64_t)g->taps[0] * g->taps[1] * g->depth;
}

static tl_status product(work *w, const opencl_gemm *gemm) {
    const uint64_t before = w->kernel->base.workspace;
    tl_status status = tl__opencl_gemm(w->kernel, gemm);
    if (w->kernel->base.workspace > w->most)
        w->most = w->kernel->base.workspace;
    w->kernel->base.workspace = before;
    return status;
}

static tl_status columns(work *w, const opencl_gather *g, int table, uint64_t to, int64_t first, int64_t end) {
    const int64_t all = terms_of(g) * w->shape->groups;
    const int read = g->depth % 4 ? 1 : 4;
    opencl_range range = {.global = {(size_t)((all + read - 1) / read), (size_t)(end - first)}, .local = {64, 1}};
    return tl__opencl_launch(w->kernel, "conv2d_gpu", w->options, "conv2d_gpu_columns", &range, "ciowiii", w->tables, table,
                             w->operands->x, to, (int)first, (int)end, (int)w->shape->groups);
}

/* The weights as matrices of terms and columns, one for each group. */
static tl_status pack(work *w, const opencl_gather *g, int table, uint64_t *to) {
    const int64_t groups = w->shape->groups;
    *to = tl__opencl_workspace(w->kernel, (uint64_t)(terms_of(g) * g->columns * groups) * sizeof(float));
    opencl_range range = {.global = {(size_t)g->columns, (size_t)terms_of(g), (size_t)groups}, .local = {16, 4, 1}};
    return tl__opencl_launch(w->kernel, "conv2d_gpu", w->options, "conv2d_gpu_weights", &range, "ciow", w->tables, table,
                             w->operands->w, *to);
}

static tl_status finish(work *w, const opencl_gather *g, int table, bool any, uint64_t from, int64_t first, int64_t end) {
    const opencl_gpu_operands *o = w->operands;
    opencl_range range = {.global = {(size_t)((g->target[2] + 3) / 4), (size_t)(end - first)}, .local = {16, 4}};
    if (!any)
        return tl__opencl_launch(w->kernel, "conv2d_gpu", w->options, "conv2d_gpu_finish", &range, "cioooooiii", w->tables,
                                 table, NONE, o->bias, o->addend, o->mask, o->y, (int)first, (int)end, w->kernel->op.relu);
    return tl__opencl_launch(w->kernel, "conv2d_gpu", w->options, "conv2d_gpu_finish", &range, "ciwooooiii", w->tables, table,
                             from, o->bias, o->addend, o->mask, o->y, (int)first, (int)end, w->kernel->op.relu);
}

/* Are the rows of the gathered matrix the source's pixels, one by one? */
static bool is_plain(const opencl_gather *g) {
    bool plain = true;
    for (int i = 0; i < 2; i++)
        plain = plain && g->taps[i] == 1 && g->mul[i] == 1 && g->base[i] == 0 && g->rows[i] == g->source[i];
    return plain;
}

static bool is_finished(const opencl_kernel *kernel, const opencl_gpu_operands *o, const opencl_gather *g) {
    return !opencl_present(kernel, o->bias) && !opencl_present(kernel, o->addend) && !opencl_present(kernel, o->mask) &&
           !kernel->op.relu && g->to[0] == 1 && g->to[1] == 1;
}

/* Weights as they lie are the transposed matrix where terms are next to each other, and the matrix of one tap. */
static opencl_matrix weights_of(const work *w, const opencl_gather *g) {
    bool along = g->w_column == 1 && (g->depth > 1 || g->w_depth > 1); /* those of one term are a column */
    return (opencl_matrix){.operand = w->operands->w, .constant = w->weights, .leading = along ? g->w_depth : g->w_column,
                           .step = g->w_group, .transposed = !along};
}

/* One phase: its rows in slices. */
static tl_status walk(work *w, const opencl_gather *g, int table) {
    opencl_kernel *kernel = w->kernel;
    const opencl_gpu_operands *o = w->operands;
    const int64_t groups = w->shape->groups, terms = terms_of(g), count = w->shape->images * g->rows[0] * g->rows[1];
    const bool plain = is_plain(g), finished = is_finished(kernel, o, g) && terms > 0;
    const bool packed = g->w_column == 1 && w->shape->kernel[0] * w->shape->kernel[1] > 1 && terms > 0;
    const int64_t row = (plain ? 0 : terms * groups) + (finished ? 0 : g->target[2]); /* floats in the workspace */
    const int64_t limit = tl__opencl_gpu_launch_limit(kernel->device) / (terms * g->target[2] + 1);
    int64_t rows = least(limit, row > 0 ? WORKSPACE / (int64_t)sizeof(float) / row : limit);
    rows = rows >= count ? count : rows > ROWS_ALIGNED ? rows / ROWS_ALIGNED * ROWS_ALIGNED : rows > 0 ? rows : 1;
    const uint64_t begin = kernel->base.workspace;
    uint64_t weights = 0;
    tl_status status = packed ? pack(w, g, table, &weights) : TL_OK;
    const uint64_t gathered = plain ? 0 : tl__opencl_workspace(kernel, (uint64_t)(rows * terms * groups) * sizeof(float));
    const uint64_t made = finished ? 0 : tl__opencl_workspace(kernel, (uint64_t)(rows * g->target[2]) * sizeof(float));
    for (int64_t first = 0; first < count && status == TL_OK; first += rows) {
        const int64_t end = least(first + rows, count);
        const int workspace = (int)kernel->count;
        opencl_gemm gemm = {.m = end - first, .n = g->columns, .k = terms, .count = groups, .alpha = 1};
        gemm.a = (opencl_matrix){.operand = plain ? o->x : workspace, .leading = plain ? g->source[2] : terms * groups,
                                 .at = plain ? first * g->source[2] : (int64_t)(gathered / sizeof(float)),
                                 .step = plain ? g->depth : terms};
        gemm.b = weights_of(w, g);
        if (packed)
            gemm.b = (opencl_matrix){.operand = workspace, .at = (int64_t)(weights / sizeof(float)), .leading = g->columns,
                                     .step = terms * g->columns};
        gemm.c = (opencl_matrix){.operand = finished ? o->y : workspace, .leading = g->target[2], .step = g->columns,
                                 .at = finished ? first * g->target[2] : (int64_t)(made / sizeof(float))};
        if (terms > 0 && !plain)
            status = columns(w, g, table, gathered, first, end);
        if (terms > 0 && status == TL_OK)
            status = product(w, &gemm);
        if (!finished && status == TL_OK)
            status = finish(w, g, table, terms > 0, made, first, end);
    }
    if (kernel->base.workspace > w->most)
        w->most = kernel->base.workspace;
    kernel->base.workspace = begin; /* phases take turns in it */
    return status;
}

static tl_status prepare(opencl_kernel *kernel, const opencl_gpu_shape *s, const opencl_gpu_operands *o,
                         const opencl_gather *gathers, int count) {
    work w = {.kernel = kernel, .shape = s, .operands = o};
    snprintf(w.options, sizeof(w.options), "-DSPREAD -DVA=%d", gathers->depth % 4 ? 1 : 4);
    tl_status status = tl__opencl_constant_make(kernel, (size_t)count * sizeof(*gathers), gathers, &w.tables);
    if (status == TL_OK && opencl_is_constant(kernel, o->w)) {
        status = tl__opencl_constant_copy(kernel, o->w);
        w.weights = kernel->copies[o->w];
    }
    for (int i = 0; i < count && status == TL_OK; i++)
        if (gathers[i].rows[0] > 0 && gathers[i].rows[1] > 0)
            status = walk(&w, &gathers[i], i * (int)(sizeof(*gathers) / sizeof(cl_int)));
    kernel->base.workspace = w.most;
    return status;
}

tl_status tl__opencl_conv2d_gemm(opencl_kernel *kernel) {
    return tl__opencl_gpu_forward_by(kernel, "fffff", prepare);
}

tl_status tl__opencl_conv2d_grad_input_gemm(opencl_kernel *kernel) {
    return tl__opencl_gpu_backward_by(kernel, prepare);
}

/* dw = the transposed dy times the gathered x, slice after slice added up in dw. */
tl_status tl__opencl_conv2d_grad_weight_gemm(opencl_kernel *kernel) {
    enum { X, DY, DW, DBIAS };
    static const opencl_gpu_operands operands = {.x = X, .w = NONE, .bias = NONE, .addend = NONE, .mask = NONE, .y = DW};
    opencl_gpu_shape s;
    opencl_gather g;
    tl_status status = tl__opencl_gpu_shape(kernel, "ffff", X, DY, &s);
    if (status != TL_OK)
        return status;
    tl__opencl_gpu_forward(&s, &g);
    work w = {.kernel = kernel, .shape = &s, .operands = &operands};
    snprintf(w.options, sizeof(w.options), "-DSPREAD -DVA=%d", g.depth % 4 ? 1 : 4);
    const int64_t terms = terms_of(&g), count = s.images * g.rows[0] * g.rows[1];
    const bool plain = is_plain(&g);
    int64_t rows = tl__opencl_gpu_launch_limit(kernel->device) / (terms * s.outputs);
    rows = plain ? rows : least(rows, WORKSPACE / (int64_t)sizeof(float) / (terms * s.groups));
    rows = rows >= count ? count : rows > ROWS_ALIGNED ? rows / ROWS_ALIGNED * ROWS_ALIGNED : rows > 0 ? rows : 1;
    if (opencl_present(kernel, DW)) {
        const uint64_t gathered = plain ? 0 : tl__opencl_workspace(kernel, (uint64_t)(rows * terms * s.groups) * sizeof(float));
        status = tl__opencl_constant_make(kernel, sizeof(g), &g, &w.tables);
        for (int64_t first = 0; first < count && status == TL_OK; first += rows) {
            const int64_t end = least(first + rows, count);
            opencl_gemm gemm = {.m = s.columns, .n = terms, .k = end - first, .count = s.groups, .alpha = 1,
                                .beta = first > 0};
            gemm.a = (opencl_matrix){.operand = DY, .at = first * s.outputs, .leading = s.outputs, .step = s.columns,
                                     .transposed = true};
            gemm.b = (opencl_matrix){.operand = plain ? X : (int)kernel->count, .leading = plain ? s.channels : terms * s.groups,
                                     .at = plain ? first * s.channels : (int64_t)(gathered / sizeof(float)),
                                     .step = plain ? s.depth : terms};
            gemm.c = (opencl_matrix){.operand = DW, .leading = terms, .step = s.columns * terms};
            status = plain ? TL_OK : columns(&w, &g, 0, gathered, first, end);
            if (status == TL_OK)
                status = product(&w, &gemm);
        }
        kernel->base.workspace = w.most;
    }
    if (status == TL_OK && opencl_present(kernel, DBIAS))
        status = tl__opencl_gpu_bias(kernel, &s);
    return status;
}
