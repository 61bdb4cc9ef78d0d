/* conv2d_grad_weight.c: a matrix product over pixels. x is brought together in blocks of pixels by panels of columns
 * (tap, channel), dy is read where it is. Threads share the output; each goes over all pixels in the same order. Where
 * the output is too small for many threads, the pixels are cut into chunks, of a number that depends on the shapes
 * alone, and the chunks' results are added up in order. */
#include <string.h>

#include "backends/cpu/conv2d.h"
#include "backends/cpu/kernels.h"

enum { X, DY, DW, DBIAS };

#define BLOCK 128          /* pixels at a time: a panel of so many stays in the first cache */
#define LARGE_BLOCK 512    /* the same where dw is so large that going over it costs more */
#define LARGE (8 << 20)    /* bytes of dw */
#define TILE 6             /* rows of a tile of the output */
#define ENOUGH_TILES 64    /* so many need no chunks */
#define CHUNK_PIXELS 2048  /* the least worth a chunk */
#define MULTIPLY_ADDS_PER_THREAD (1 << 19)

typedef struct plan {
    cpu_conv2d_shape shape;
    int64_t pixels;           /* of dy */
    int64_t row_length;       /* of dw: taps x channels of a group */
    int64_t unit;             /* floats of a row of dw that lie side by side in x, inside the image: of a tap or of a */
    int64_t unit_taps;        /* whole kernel row */
    int64_t width, panels;    /* of row_length */
    int64_t block;            /* pixels at a time */
    bool arrange;             /* dy is put in order for each block, since it would be read from few sets of the cache */
    int64_t chunks;
    size_t scratch_bytes;     /* for each thread: a panel of x, pointers to its rows and the next one's, dy in order */
    float zeros[];            /* a row of a panel */
} plan;

typedef struct job {
    cpu_kernel *kernel;
    const plan *plan;
    float *partial;      /* chunks of dw, or dw itself */
    char *scratch;
    int64_t row_tiles, row_parts, panels, panel_parts;
} job;

/* Floats begin .. begin + length - 1 of unit u of one pixel's row: zeros where the tap is outside of the image. */
static inline void gather_unit(const plan *p, const float *x, int64_t n, int64_t y, int64_t out_x, int64_t u,
                               int64_t begin, int64_t length, int64_t group, float *to) {
    const cpu_conv2d_shape *s = &p->shape;
    int64_t taps_x = s->kernel[1] / p->unit_taps, channels = s->group_channels;
    int64_t from_y = y * s->stride[0] - s->pad[0] + u / taps_x * s->dilation[0];
    int64_t from_x = out_x * s->stride[1] - s->pad[1] + u % taps_x * s->dilation[1];
    int64_t low = from_x < 0 ? -from_x * channels : 0;
    int64_t high = (s->width - from_x < p->unit_taps ? s->width - from_x : p->unit_taps) * channels;
    int64_t end = begin + length;
    low = low < begin ? begin : low > end ? end : low;
    high = high < low ? low : high > end ? end : high;
    if ((uint64_t)from_y >= (uint64_t)s->height)
        low = high = end;
    const float *from = x + ((n * s->height + from_y) * s->width + from_x) * s->channels + group * channels;
    if (low == begin && high == end) {
        memcpy(to, from + begin, (size_t)length * sizeof(float));
        return;
    }
    memset(to, 0, (size_t)(low - begin) * sizeof(float));
    memcpy(to + low - begin, from + low, (size_t)(high - low) * sizeof(float));
    memset(to + high - begin, 0, (size_t)(end - high) * sizeof(float));
}

/* to[pixel][width]: columns column .. column + columns - 1 of the pixels' rows, then zeros. */
static void gather(const plan *p, const float *x, int64_t first, int64_t count, int64_t group, int64_t column,
                   int64_t columns, int64_t width, float *to) {
    const cpu_conv2d_shape *s = &p->shape;
    int64_t out_x = first % s->out_width, out_y = first / s->out_width % s->out_height;
    int64_t n = first / s->out_width / s->out_height;
    for (int64_t i = 0; i < count; i++, to += width) {
        int64_t u = column / p->unit, begin = column % p->unit;
        for (int64_t done = 0; done < columns; u++, begin = 0) {
            int64_t length = p->unit - begin < columns - done ? p->unit - begin : columns - done;
            gather_unit(p, x, n, out_y, out_x, u, begin, length, group, to + done);
            done += length;
        }
        memset(to + columns, 0, (size_t)(width - columns) * sizeof(float));
        if (++out_x == s->out_width) {
            out_x = 0;
            if (++out_y == s->out_height) {
                out_y = 0;
                n++;
            }
        }
    }
}

/* Panel q (of all groups) at pixels from `at` on. */
typedef struct piece {
    int64_t at, count;
    int64_t group, column, columns;
    bool whole; /* its columns are of one tap: it is rows of x, or zeros */
} piece;

static piece piece_of(const plan *p, int64_t q, int64_t at, int64_t end) {
    piece b = {.at = at, .group = q / p->panels, .column = q % p->panels * p->width};
    b.count = end - at < p->block ? end - at : p->block;
    b.columns = p->row_length - b.column < p->width ? p->row_length - b.column : p->width;
    b.whole = b.column % p->shape.group_channels + b.columns <= p->shape.group_channels;
    return b;
}

/* Where a whole piece's rows are; false: outside of the image, all of them, so that nothing comes of it. */
static bool point(const plan *p, const float *x, const piece *b, const float **rows) {
    const cpu_conv2d_shape *s = &p->shape;
    const int64_t tap = b->column / s->group_channels;
    const int64_t offset_y = tap / s->kernel[1] * s->dilation[0] - s->pad[0];
    const int64_t offset_x = tap % s->kernel[1] * s->dilation[1] - s->pad[1];
    const float *channel = x + b->group * s->group_channels + b->column % s->group_channels;
    int64_t out_x = b->at % s->out_width, out_y = b->at / s->out_width % s->out_height;
    int64_t n = b->at / s->out_width / s->out_height;
    bool any = false;
    for (int64_t i = 0; i < b->count; i++) {
        int64_t from_y = out_y * s->stride[0] + offset_y, from_x = out_x * s->stride[1] + offset_x;
        bool inside = (uint64_t)from_y < (uint64_t)s->height && (uint64_t)from_x < (uint64_t)s->width;
        any |= inside;
        rows[i] = inside ? channel + ((n * s->height + from_y) * s->width + from_x) * s->channels : p->zeros;
        if (++out_x == s->out_width) {
            out_x = 0;
            if (++out_y == s->out_height) {
                out_y = 0;
                n++;
            }
        }
    }
    return any;
}

static void clear(const cpu_gemm_outer *o) {
    for (int64_t i = 0; i < o->rows; i++)
        memset(o->y + i * o->y_step, 0, (size_t)o->columns * sizeof(float));
}

/* Rows row .. row_end - 1 (outputs of a group) by panels panel .. panel_end - 1 (of all groups) over one chunk. */
static void chunk_part(const job *j, int64_t chunk, int64_t row, int64_t row_end, int64_t panel, int64_t panel_end,
                       float *block) {
    const plan *p = j->plan;
    const cpu_conv2d_shape *s = &p->shape;
    const cpu_kernels *kernels = j->kernel->device->kernels;
    const float *x = j->kernel->ptr[X], *dy = j->kernel->ptr[DY];
    float *dw = j->partial + chunk * s->out_channels * p->row_length;
    const float **rows = (const float **)(block + p->block * p->width), **soon = rows + p->block;
    float *arranged = (float *)(soon + p->block);
    /* It takes about as long as one panel sixteen wide. */
    const bool arrange = p->arrange && panel_end - panel >= p->width;
    const int64_t first = p->pixels * chunk / p->chunks, end = p->pixels * (chunk + 1) / p->chunks;
    piece b = piece_of(p, panel, first, end);
    bool any = !b.whole || point(p, x, &b, rows);
    for (int64_t q = panel, at = first; at < end;) {
        const int64_t width = cpu_round_up(b.columns, kernels->lanes), output = b.group * s->group_outputs + row;
        const bool last = q + 1 == panel_end;
        if (b.whole && any)
            kernels->gemm_gather(rows, b.count, (int)b.columns, block);
        else if (!b.whole)
            gather(p, x, at, b.count, b.group, b.column, b.columns, width, block);
        cpu_gemm_outer outer = {
            .a = dy + at * s->out_channels + output,
            .a_step = s->out_channels,
            .b = block,
            .b_step = width,
            .count = b.count,
            .y = dw + output * p->row_length + b.column,
            .y_step = p->row_length,
            .rows = row_end - row,
            .columns = (int)b.columns,
            .add = at > first,
        };
        if (arrange && q == panel)
            kernels->gemm_arrange(&outer, arranged);
        outer.a_soon = last ? outer.a + p->block * s->out_channels : block;
        outer.a_soon_step = last ? s->out_channels : 0;
        if (arrange) {
            outer.a = arranged;
            outer.a_step = 0;
        }
        at += last ? p->block : 0;
        q = last ? panel : q + 1;
        int64_t listed = 0;
        if (at < end)
            b = piece_of(p, q, at, end);
        const bool now = any;
        any = true;
        if (at < end && b.whole) {
            any = point(p, x, &b, soon);
            listed = b.count;
        }
        for (; listed < outer.count; listed++)
            soon[listed] = block;
        outer.b_soon = soon;
        if (now)
            kernels->gemm_outer(&outer);
        else if (!outer.add)
            clear(&outer);
        const float **other = rows;
        rows = soon;
        soon = other;
    }
}

/* Items: (chunk, row part, panel part). */
static void weights_body(void *user, int64_t first, int64_t last, int thread) {
    const job *j = user;
    const int64_t rows = j->plan->shape.group_outputs;
    float *block = (float *)(j->scratch + (size_t)thread * j->plan->scratch_bytes);
    for (int64_t item = first; item < last; item++) {
        int64_t c = item % j->panel_parts, r = item / j->panel_parts % j->row_parts;
        int64_t chunk = item / j->panel_parts / j->row_parts;
        int64_t row = j->row_tiles * r / j->row_parts * TILE, end = j->row_tiles * (r + 1) / j->row_parts * TILE;
        chunk_part(j, chunk, row, end < rows ? end : rows, j->panels * c / j->panel_parts,
                   j->panels * (c + 1) / j->panel_parts, block);
    }
}

/* Elements of dw: the chunks' sums in order. */
static void add_chunks(void *user, int64_t first, int64_t last, int thread) {
    const job *j = user;
    const plan *p = j->plan;
    const int64_t count = p->shape.out_channels * p->row_length;
    float *dw = j->kernel->ptr[DW];
    (void)thread;
    memcpy(dw + first, j->partial + first, (size_t)(last - first) * sizeof(float));
    for (int64_t c = 1; c < p->chunks; c++)
        for (int64_t i = first; i < last; i++)
            dw[i] += j->partial[c * count + i];
}

static void run_weights(job *j) {
    const plan *p = j->plan;
    const cpu_device *device = j->kernel->device;
    double work = (double)p->pixels * (double)p->row_length * (double)p->shape.out_channels / MULTIPLY_ADDS_PER_THREAD;
    const int64_t parts = work < device->threads ? 1 + (int64_t)work : device->threads;
    j->row_tiles = (p->shape.group_outputs + TILE - 1) / TILE;
    j->panels = p->shape.groups * p->panels;
    const int64_t share = (parts + p->chunks - 1) / p->chunks; /* of a chunk; its parts read the same rows, so no more */
    tl__cpu_conv2d_split(device, (double)(share - 1), j->row_tiles, j->row_tiles, j->panels, &j->row_parts, &j->panel_parts);
    const int64_t items = p->chunks * j->row_parts * j->panel_parts;
    tl__cpu_parallel(device, items, parts < device->threads ? (items + parts - 1) / parts : 1, weights_body, j);
    if (p->chunks > 1)
        tl__cpu_parallel(device, p->shape.out_channels * p->row_length, 1 << 14, add_chunks, j);
}

static void run(cpu_kernel *kernel) {
    const plan *p = kernel->data;
    job j = {.kernel = kernel, .plan = p, .partial = kernel->ptr[DW]};
    j.scratch = (char *)kernel->workspace + tl__cpu_conv2d_grad_bias_bytes(kernel, DBIAS, &p->shape);
    if (p->chunks > 1)
        j.partial = (float *)(j.scratch + (size_t)kernel->device->threads * p->scratch_bytes);
    if (cpu_present(kernel, DW))
        run_weights(&j);
    if (cpu_present(kernel, DBIAS))
        tl__cpu_conv2d_grad_bias(kernel, DY, DBIAS, &p->shape);
}

static tl_status prepare(cpu_kernel *kernel) {
    cpu_device *device = kernel->device;
    cpu_conv2d_shape s;
    tl_status status = tl__cpu_expect(kernel, "ffff");
    if (status == TL_OK)
        status = tl__cpu_conv2d_shape(kernel, X, DW, DY, &s);
    if (status != TL_OK)
        return status;
    const int64_t panel_width = device->kernels->gemm_width();
    plan *p = kernel->data = tl__cpu_allocate(device, sizeof(*p) + (size_t)panel_width * sizeof(float));
    if (!p)
        return TL_ERROR_MEMORY;
    memset(p->zeros, 0, (size_t)panel_width * sizeof(float));
    *p = (plan){.shape = s, .pixels = s.images * s.out_height * s.out_width, .chunks = 1};
    p->row_length = s.kernel[0] * s.kernel[1] * s.group_channels;
    p->unit_taps = s.groups == 1 && s.dilation[1] == 1 ? s.kernel[1] : 1;
    p->unit = p->unit_taps * s.group_channels;
    p->width = panel_width;
    p->panels = (p->row_length + p->width - 1) / p->width;
    if (cpu_present(kernel, DW)) {
        int64_t tiles = (s.group_outputs + TILE - 1) / TILE * p->panels * s.groups, most = p->pixels / CHUNK_PIXELS;
        p->chunks = (ENOUGH_TILES + tiles - 1) / tiles;
        if (p->chunks > most)
            p->chunks = most < 1 ? 1 : most;
        p->block = tl__cpu_bytes(kernel, DW) > LARGE ? LARGE_BLOCK : BLOCK;
        /* Lines 4096 bytes apart share a set of the first cache. The order is that of whole panels' tiles. */
        p->arrange = s.groups == 1 && s.out_channels % 512 == 0 && p->row_length % p->width == 0;
        p->scratch_bytes = (size_t)(p->block * (p->width + (p->arrange ? s.out_channels : 0))) * sizeof(float) +
                           2 * (size_t)p->block * sizeof(float *);
    }
    kernel->base.workspace =
        tl__cpu_conv2d_grad_bias_bytes(kernel, DBIAS, &s) +
        (uint64_t)device->threads * p->scratch_bytes +
        (p->chunks > 1 ? (uint64_t)(p->chunks * s.out_channels * p->row_length) * sizeof(float) : 0);
    kernel->run = run;
    return TL_OK;
}

const cpu_implementation tl__cpu_conv2d_grad_weight_implementations[] = {
    {"winograd", tl__cpu_conv2d_grad_weight_winograd_prepare},
    {"spread", tl__cpu_conv2d_grad_weight_spread_prepare},
    {"gemm", prepare},
    {NULL, NULL},
};
