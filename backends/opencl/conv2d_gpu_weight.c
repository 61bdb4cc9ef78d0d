/* conv2d_gpu_weight.c: conv2d_grad_weight by the implicit product of conv2d_gpu_weight.cl. The pixels are summed in chunks, whose
 * results lie in the workspace until they are added up in their order: what a chunk is depends on the shape alone, and so
 * does every result. */
#include "backends/opencl/conv2d_gpu.h"

#define MOST ((int64_t)INT32_MAX)
#define WORKSPACE (64 << 20) /* bytes of chunks' results */
#define GROUPS_WANTED 512    /* of work-items, which keep a large device busy */
#define CHUNK 256            /* the fewest pixels of a chunk: adding up must be little work beside the products */
#define BIAS_PARTS 512

enum { X, DY, DW, DBIAS };

typedef struct chunks {
    int64_t pixels, each, count;
    int64_t images; /* the most that a launch may see */
} chunks;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t divided(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static tl_status cut(opencl_kernel *kernel, const opencl_gpu_shape *s, int64_t elements, chunks *c) {
    const int64_t x = s->height * s->width * s->channels, y = s->out_height * s->out_width * s->outputs;
    const int64_t pixels = s->out_height * s->out_width, columns = elements / s->outputs;
    const int64_t tiles = divided(s->columns, 64) * divided(columns, 64) * s->groups;
    *c = (chunks){.pixels = s->images * pixels, .images = MOST / (x > y ? x : y)};
    if (c->images < 2)
        return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: an image has 2^30 elements or more", kernel->stem);
    int64_t count = least(divided(GROUPS_WANTED, tiles), c->pixels / CHUNK);
    count = least(count, WORKSPACE / ((int64_t)sizeof(float) * elements));
    c->each = least(opencl_round_up(divided(c->pixels, count > 0 ? count : 1), 16), (c->images - 1) * pixels);
    c->count = divided(c->pixels, c->each);
    return TL_OK;
}

/* Chunks of the pixels of dy summed up, for the sums of its channels. */
static tl_status bias(opencl_kernel *kernel, const opencl_gpu_shape *s, int64_t pixels) {
    const int64_t chunk = opencl_round_up(divided(pixels, least(divided(pixels, CHUNK), BIAS_PARTS)), 16);
    const int64_t parts = divided(pixels, chunk);
    opencl_range range = {.global = {(size_t)s->outputs, (size_t)parts}, .local = {64, 1}};
    if (parts == 1)
        return tl__opencl_launch(kernel, "conv2d_gpu_parts", "", "conv2d_gpu_bias", &range, "ooili", DY, DBIAS,
                                 (int)s->outputs, pixels, (int)chunk);
    const uint64_t at = tl__opencl_workspace(kernel, (uint64_t)(parts * s->outputs) * sizeof(float));
    tl_status status = tl__opencl_launch(kernel, "conv2d_gpu_parts", "", "conv2d_gpu_bias", &range, "owili", DY, at,
                                         (int)s->outputs, pixels, (int)chunk);
    if (status != TL_OK)
        return status;
    return tl__opencl_gpu_sum(kernel, at, DBIAS, s->outputs, parts);
}

tl_status tl__opencl_gpu_sum(opencl_kernel *kernel, uint64_t from, int to, int64_t count, int64_t parts) {
    opencl_range range = {.global = {(size_t)count}, .local = {64}};
    return tl__opencl_launch(kernel, "conv2d_gpu_parts", "", "conv2d_gpu_sum", &range, "woli", from, to, count,
                             (int)parts);
}

tl_status tl__opencl_gpu_bias(opencl_kernel *kernel, const opencl_gpu_shape *shape) {
    return bias(kernel, shape, shape->images * shape->out_height * shape->out_width);
}

typedef struct work {
    opencl_kernel *kernel;
    const opencl_gpu_shape *shape;
    const chunks *chunks;
    const opencl_tile *tile;
    const char *options, *function;
    opencl_constant *table;
    int64_t elements; /* of dw */
    uint64_t workspace;
} work;

/* Chunks first .. end, rows row .. row_end of each group. */
static tl_status launch(const work *w, int64_t first, int64_t end, int64_t row, int64_t row_end) {
    const opencl_gpu_shape *s = w->shape;
    const chunks *c = w->chunks;
    const opencl_tile *t = w->tile;
    const int64_t pixels = s->out_height * s->out_width, image = first * c->each / pixels;
    const int64_t x = image * s->height * s->width * s->channels, y = image * pixels * s->outputs;
    const int64_t columns = w->elements / s->outputs, rows = row_end - row, tm = t->m ? t->m : 4, tn = t->m ? t->n : 4;
    const size_t items = t->m ? (size_t)opencl_tile_items(t) : 1;
    opencl_range range = {.global = {(size_t)divided(columns, tn) * items, (size_t)divided(rows, tm),
                                     (size_t)((end - first) * s->groups)},
                          .local = {t->m ? items : 8, t->m ? 1 : 8, 1},
                          .fixed = t->m != 0};
    const int begin = (int)(first * c->each - image * pixels), there = (int)least(end * c->each, c->pixels) -
                      (int)(image * pixels);
    if (c->count == 1)
        return tl__opencl_launch(w->kernel, "conv2d_gpu_weight", w->options, w->function, &range, "cppo" "iiiiii", w->table, X, x, DY,
                                 y, DW, begin, there, (int)c->each, (int)s->groups, (int)row, (int)row_end);
    return tl__opencl_launch(w->kernel, "conv2d_gpu_weight", w->options, w->function, &range, "cppw" "iiiiii", w->table, X, x, DY, y,
                             w->workspace + (uint64_t)(first * w->elements) * sizeof(float), begin, there, (int)c->each,
                             (int)s->groups, (int)row, (int)row_end);
}

static tl_status launch_slices(const work *w) {
    const opencl_gpu_shape *s = w->shape;
    const chunks *c = w->chunks;
    const int64_t limit = tl__opencl_gpu_launch_limit(w->kernel->device), pixels = s->out_height * s->out_width;
    const int64_t each = c->each * w->elements; /* multiply-adds of a chunk */
    const int64_t together = limit / each > 0 ? limit / each : 1;
    int64_t rows = limit / (c->each * (w->elements / s->columns)) / 128 * 128;
    rows = each <= limit ? s->columns : rows > 128 ? rows : 128;
    tl_status status = TL_OK;
    for (int64_t first = 0, end; first < c->count && status == TL_OK; first = end) {
        const int64_t image = first * c->each / pixels;
        end = least(first + together, c->count);
        end = least(end, (image + c->images) * pixels / c->each);
        for (int64_t row = 0; row < s->columns && status == TL_OK; row += rows)
            status = launch(w, first, end, row, least(row + rows, s->columns));
    }
    return status;
}

tl_status tl__opencl_conv2d_grad_weight_implicit(opencl_kernel *kernel) {
    opencl_gpu_shape shape;
    opencl_gather gather;
    chunks c;
    char options[128];
    tl_status status = tl__opencl_gpu_shape(kernel, "ffff", X, DY, &shape);
    if (status != TL_OK)
        return status;
    tl__opencl_gpu_forward(&shape, &gather);
    work w = {.kernel = kernel, .shape = &shape, .chunks = &c, .options = options,
              .elements = shape.outputs * shape.kernel[0] * shape.kernel[1] * shape.depth};
    status = cut(kernel, &shape, w.elements, &c);
    if (status == TL_OK && opencl_present(kernel, DW)) {
        const int64_t columns = w.elements / shape.outputs;
        const int read[2] = {shape.columns % 4 ? 1 : 4, shape.depth % 4 ? 1 : 4};
        status = tl__opencl_gpu_tile(kernel, "WEIGHT", shape.columns, columns, shape.groups * c.count, read, false, &w.tile,
                                     options, &w.function);
        if (status == TL_OK)
            status = tl__opencl_constant_make(kernel, sizeof(gather), &gather, &w.table);
        if (c.count > 1)
            w.workspace = tl__opencl_workspace(kernel, (uint64_t)(c.count * w.elements) * sizeof(float));
        if (status == TL_OK)
            status = launch_slices(&w);
        if (status == TL_OK && c.count > 1)
            status = tl__opencl_gpu_sum(kernel, w.workspace, DW, w.elements, c.count);
    }
    if (status == TL_OK && opencl_present(kernel, DBIAS))
        status = tl__opencl_gpu_bias(kernel, &shape);
    return status;
}
