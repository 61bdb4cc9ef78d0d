/* conv2d_bf16.c: conv2d of values stored in bf16, with constant weights rounded to bf16 and sums in f32, where the
 * machine has instructions for it.
 *
 * Threads take parts of rows by panels. A part goes over its rows in blocks that stay in the second cache: a block is
 * gathered (a 1x1 convolution's rows lie side by side already), and every panel of weights is multiplied with it. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <string.h>

#include "backends/cpu/bf16.h"
#include "backends/cpu/conv2d.h"
#include "backends/cpu/kernels.h"

enum { X, W, BIAS, RESIDUAL, Y };

#ifdef TL_CPU_BF16

#define ROWS CPU_BF16_ROWS
#define WIDTH CPU_BF16_WIDTH
#define DEPTH CPU_BF16_DEPTH
#define MOST_ROWS 512                     /* of a block */
#define MULTIPLY_ADDS_PER_THREAD (1 << 21) /* less work is not worth waking another thread for */
#define FEWEST_OUTPUTS 16                 /* of a group */

typedef struct plan {
    cpu_conv2d_shape shape;
    cpu_bf16_source source;
    int64_t rows, block;    /* rows of y; of a block */
    int64_t depth, padded;  /* k; up to whole steps */
    int64_t panels;
    bool direct;            /* rows are read where they are */
    bool far;               /* the weights do not stay in the second cache */
    bool amx;
    size_t scratch_bytes;   /* for each thread: a block of rows, and sums */
    const uint16_t *weights;
} plan;

typedef struct job {
    cpu_kernel *kernel;
    const plan *plan;
    int64_t row_parts, panel_parts;
} job;

/* ---- weights: [panel][k / 2][column][2] ---- */

static uint16_t narrow(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    if (x != x)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

typedef struct weights_job {
    const plan *plan;
    const float *from;
    uint16_t *to;
} weights_job;

static void weights_body(void *user, int64_t first, int64_t last, int thread) {
    const weights_job *j = user;
    const plan *p = j->plan;
    (void)thread;
    for (int64_t panel = first; panel < last; panel++) {
        uint16_t *to = j->to + panel * p->padded * WIDTH;
        memset(to, 0, (size_t)(p->padded * WIDTH) * sizeof(*to));
        for (int64_t o = 0; o < WIDTH && panel * WIDTH + o < p->shape.out_channels; o++) {
            const float *row = j->from + (panel * WIDTH + o) * p->depth;
            for (int64_t k = 0; k < p->depth; k++)
                to[(k / 2 * WIDTH + o) * 2 + (k & 1)] = narrow(row[k]);
        }
    }
}

static tl_status fill_weights(cpu_kernel *kernel, const void *source, void *to, void *user) {
    weights_job j = {user, source, to};
    tl__cpu_parallel(kernel->device, j.plan->panels, 1, weights_body, &j);
    return TL_OK;
}

/* ---- running ---- */

typedef struct block {
    int64_t first, count; /* rows of y */
    const uint16_t *a;
    int64_t a_row;
    float *sums;
} block;

/* Rows piece * ROWS .. of a block times one panel; `soon` is fetched meanwhile, `soon_bytes` of it. */
static void multiply(const job *j, const block *b, int64_t piece, int64_t panel, const void *soon, int64_t soon_bytes) {
    const plan *p = j->plan;
    const cpu_kernel *kernel = j->kernel;
    const int64_t outputs = p->shape.out_channels, column = panel * WIDTH, row = piece * ROWS;
    const int64_t at = (b->first + row) * outputs + column, steps = p->padded / DEPTH;
    const uint16_t *residual = kernel->ptr[RESIDUAL];
    const float *bias = kernel->ptr[BIAS];
    const bool f32 = kernel->operands[Y].desc.dtype == TL_DTYPE_F32;
    cpu_bf16_product product = {
        .a = b->a + row * b->a_row,
        .a_row = b->a_row,
        .rows = (int)(b->count - row < ROWS ? b->count - row : ROWS),
        .b = p->weights + panel * p->padded * WIDTH,
        .k = p->padded,
        .sums = b->sums,
        .soon = soon,
        .soon_lines = (soon_bytes / 64 + steps - 1) / steps,
    };
    if (p->amx)
        tl__cpu_bf16_multiply_amx(&product);
    else
        tl__cpu_bf16_multiply_dot(&product);
    cpu_stored_rows rows = {
        .sums = b->sums,
        .step = WIDTH,
        .rows = product.rows,
        .columns = (int)(outputs - column < WIDTH ? outputs - column : WIDTH),
        .bias = bias ? bias + column : NULL,
        .residual = residual ? residual + at : NULL,
        .y = f32 ? (void *)((float *)kernel->ptr[Y] + at) : (void *)((uint16_t *)kernel->ptr[Y] + at),
        .y_step = outputs,
        .f32 = f32,
        .relu = kernel->op.relu,
    };
    if (rows.columns == WIDTH && !f32)
        tl__cpu_bf16_finish(&rows);
    else
        kernel->device->kernels->stored_finish(&rows);
}

/* A block of rows times panels panel .. end - 1. Where the weights stay in the cache, rows go by once; where they do
 * not, each panel goes by once for the block, and the next one comes meanwhile. */
static void multiply_block(const job *j, const block *b, int64_t panel, int64_t end) {
    const plan *p = j->plan;
    const int64_t pieces = (b->count + ROWS - 1) / ROWS, panel_elements = p->padded * WIDTH;
    const int64_t outputs = p->shape.out_channels;
    const uint16_t *residual = j->kernel->ptr[RESIDUAL];
    if (!p->far) {
        /* The next rows of the residual, cut into as many parts as there are panels. */
        const int64_t bytes = residual ? ROWS * outputs * (int64_t)sizeof(*residual) / (end - panel) / 64 * 64 : 0;
        for (int64_t piece = 0; piece < pieces; piece++)
            for (int64_t i = panel; i < end; i++)
                multiply(j, b, piece, i,
                         residual ? (const char *)(residual + (b->first + (piece + 1) * ROWS) * outputs) + (i - panel) * bytes
                                  : NULL, bytes);
        return;
    }
    const int64_t bytes = panel_elements * (int64_t)sizeof(*p->weights) / pieces / 64 * 64;
    for (int64_t i = panel; i < end; i++) {
        const char *soon = (const char *)(p->weights + (i + 1 < end ? i + 1 : panel) * panel_elements);
        for (int64_t piece = 0; piece < pieces; piece++)
            multiply(j, b, piece, i, soon + piece * bytes, bytes);
    }
}

/* Items are parts: (row part, panel part). */
static void body(void *user, int64_t first_part, int64_t last_part, int thread) {
    const job *j = user;
    const plan *p = j->plan;
    cpu_bf16_source source = p->source;
    float *sums = (float *)((char *)j->kernel->workspace + (size_t)thread * p->scratch_bytes);
    uint16_t *scratch = (uint16_t *)(sums + ROWS * WIDTH);
    const int64_t tiles = (p->rows + ROWS - 1) / ROWS;
    source.x = j->kernel->ptr[X];
    if (p->amx)
        tl__cpu_bf16_amx_begin();
    for (int64_t part = first_part; part < last_part; part++) {
        const int64_t r = part / j->panel_parts, c = part % j->panel_parts;
        int64_t row = tiles * r / j->row_parts * ROWS, end = tiles * (r + 1) / j->row_parts * ROWS;
        const int64_t panel = p->panels * c / j->panel_parts, panel_end = p->panels * (c + 1) / j->panel_parts;
        if (end > p->rows)
            end = p->rows;
        for (int64_t left = (end - row + p->block - 1) / p->block; row < end; left--) {
            /* Blocks of as equal a size as can be; what is read in place must be whole tiles. */
            int64_t count = cpu_round_up((end - row + (left > 1 ? left : 1) - 1) / (left > 1 ? left : 1), ROWS);
            if (count > end - row)
                count = end - row;
            const bool direct = p->direct && (count >= 16 || !p->amx);
            if (direct && p->amx)
                count -= count % 16;
            if (!direct)
                tl__cpu_bf16_gather(&source, row, count, scratch);
            block b = {row, count, direct ? source.x + row * p->depth : scratch, direct ? p->depth : source.row, sums};
            multiply_block(j, &b, panel, panel_end);
            row += count;
        }
    }
    if (p->amx)
        tl__cpu_bf16_amx_end();
}

static void run(cpu_kernel *kernel) {
    const plan *p = kernel->data;
    job j = {.kernel = kernel, .plan = p};
    const double work = (double)p->rows * (double)p->depth * (double)p->shape.out_channels / MULTIPLY_ADDS_PER_THREAD;
    tl__cpu_conv2d_split(kernel->device, work, (p->block + ROWS - 1) / ROWS, (p->rows + ROWS - 1) / ROWS, p->panels,
                         &j.row_parts, &j.panel_parts);
    tl__cpu_parallel(kernel->device, j.row_parts * j.panel_parts, 1, body, &j);
}

/* ---- preparing ---- */

static void make_plan(const cpu_device *device, const cpu_conv2d_shape *s, plan *p) {
    *p = (plan){.shape = *s, .amx = device->isa == CPU_ISA_AMX};
    p->rows = s->images * s->out_height * s->out_width;
    p->depth = s->kernel[0] * s->kernel[1] * s->channels;
    p->padded = cpu_round_up(p->depth, DEPTH);
    p->panels = (s->out_channels + WIDTH - 1) / WIDTH;
    p->direct = p->depth == s->channels && p->depth == p->padded;
    for (int i = 0; i < 2; i++)
        p->direct = p->direct && s->stride[i] == 1 && s->pad[i] == 0;
    p->far = (size_t)(p->panels * p->padded * WIDTH) * sizeof(uint16_t) > device->l2 / 2;
    p->source = (cpu_bf16_source){
        .height = s->height,
        .width = s->width,
        .channels = s->channels,
        .out_height = s->out_height,
        .out_width = s->out_width,
        .k = p->depth,
        .row = p->padded + DEPTH, /* and the space keeps rows from lying in the same sets of the cache */
    };
    for (int i = 0; i < 2; i++) {
        p->source.kernel[i] = s->kernel[i];
        p->source.stride[i] = s->stride[i];
        p->source.pad[i] = s->pad[i];
        p->source.dilation[i] = s->dilation[i];
    }
    p->block = (int64_t)device->l2 * 3 / 4 / (p->source.row * (int64_t)sizeof(uint16_t)) / ROWS * ROWS;
    if (p->block < ROWS)
        p->block = ROWS;
    if (p->block > MOST_ROWS)
        p->block = MOST_ROWS;
    if (!p->far && !p->direct)
        p->block = ROWS; /* gathered into the first cache, nearly */
    p->scratch_bytes = (size_t)cpu_round_up(ROWS * WIDTH * (int64_t)sizeof(float) +
                                            p->block * p->source.row * (int64_t)sizeof(uint16_t) + CPU_PADDING,
                                            CPU_ALIGNMENT);
}

tl_status tl__cpu_conv2d_bf16_prepare(cpu_kernel *kernel) {
    cpu_device *device = kernel->device;
    cpu_conv2d_shape shape;
    tl_status status = tl__cpu_expect(kernel, "hffha");
    if (status == TL_OK)
        status = tl__cpu_conv2d_shape(kernel, X, W, Y, &shape);
    if (status != TL_OK)
        return status;
    if ((device->isa != CPU_ISA_AMX && device->isa != CPU_ISA_AVX512BF16) || shape.groups > 1 ||
        shape.out_channels < FEWEST_OUTPUTS || !cpu_is_constant(kernel, W))
        return tl__cpu_fail(device, TL_UNSUPPORTED, "cpu: conv2d: not a form for products of bf16");
    plan *p = kernel->data = tl__cpu_allocate(device, sizeof(*p));
    if (!p)
        return TL_ERROR_MEMORY;
    make_plan(device, &shape, p);
    kernel->base.workspace = (uint64_t)device->threads * p->scratch_bytes;
    kernel->base.implementation = p->amx ? "amx bf16" : "avx512 bf16";
    kernel->run = run;
    const void *weights;
    status = tl__cpu_constant_derive(kernel, W, CPU_FORM('H', 0, p->padded, shape.out_channels),
                                     (size_t)(p->panels * p->padded * WIDTH) * sizeof(uint16_t), fill_weights, p,
                                     &weights);
    if (status == TL_OK)
        p->weights = weights;
    return status;
}

#else

tl_status tl__cpu_conv2d_bf16_prepare(cpu_kernel *kernel) {
    return tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: conv2d: no products of bf16");
}

#endif
