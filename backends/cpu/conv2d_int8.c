/* conv2d_int8.c: conv2d of values stored in 8 bits, with constant weights rounded to s8 by channel and sums in s32.
 *
 * Threads and blocks are as in conv2d_bf16.c: a part of rows by panels goes over its rows in blocks that stay in the
 * second cache. x = (u8 - zero) * step, so that of a sum of products of u8 and s8 what `zero` contributes is known when
 * the weights are: it is part of the offset that every channel's results get. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <math.h>
#include <string.h>

#include "backends/cpu/conv2d.h"
#include "backends/cpu/int8.h"
#include "backends/cpu/kernels.h"

enum { X, W, BIAS, RESIDUAL, Y };

#define ROWS CPU_INT8_ROWS
#define WIDTH CPU_INT8_WIDTH
#define DEPTH CPU_INT8_DEPTH
#define MOST_ROWS 512                      /* of a block */
#define MULTIPLY_ADDS_PER_THREAD (1 << 22) /* less work is not worth waking another thread for */
#define MOST_DEPTH 65536                   /* 255 * 127 of it are the most that s32 holds */

/* What is derived from weights: panels, then for each channel its step and the sum of its integers. */
typedef struct packed {
    const char *panels;
    const float *steps;
    const int32_t *sums;
} packed;

typedef struct plan {
    cpu_conv2d_shape shape;
    cpu_int8_source source;
    int64_t rows, block;   /* rows of y; of a block */
    int64_t depth, padded; /* k; up to whole steps */
    int64_t panels, panel_bytes;
    bool direct;           /* rows are read where they are */
    bool far;              /* the weights do not stay in the second cache */
    bool f32;              /* y is */
    cpu_int8_way way;
    size_t scratch_bytes;  /* for each thread: a block of rows, and sums */
    packed weights;
    float residual_factor, low;
    float *factor, *offset; /* of each channel, in whole panels; behind the plan */
} plan;

typedef struct job {
    cpu_kernel *kernel;
    const plan *plan;
    int64_t row_parts, panel_parts;
} job;

/* ---- weights ---- */

typedef struct weights_job {
    const plan *plan;
    const float *from;
    char *panels;
    float *steps;
    int32_t *sums;
} weights_job;

static float largest_of(const float *row, int64_t count) {
    float largest = 0;
    for (int64_t k = 0; k < count; k++)
        largest = fabsf(row[k]) > largest ? fabsf(row[k]) : largest;
    return largest;
}

static void pack_channel(const weights_job *j, int64_t channel, char *to, int64_t column) {
    const plan *p = j->plan;
    const float *row = j->from + channel * p->depth, largest = largest_of(row, p->depth);
    const float step = largest > 0 ? largest / 127 : 1;
    int32_t sum = 0;
    for (int64_t k = 0; k < p->depth; k++) {
        const int value = (int)rintf(row[k] / step);
        sum += value;
        if (p->way == CPU_INT8_PAIRS)
            ((int16_t *)to)[(k / 2 * WIDTH + column) * 2 + k % 2] = (int16_t)value;
        else
            ((int8_t *)to)[(k / 4 * WIDTH + column) * 4 + k % 4] = (int8_t)value;
    }
    j->steps[channel] = step;
    j->sums[channel] = sum;
}

static void weights_body(void *user, int64_t first, int64_t last, int thread) {
    const weights_job *j = user;
    const plan *p = j->plan;
    (void)thread;
    for (int64_t panel = first; panel < last; panel++) {
        char *to = j->panels + panel * p->panel_bytes;
        memset(to, 0, (size_t)p->panel_bytes);
        for (int64_t column = 0; column < WIDTH && panel * WIDTH + column < p->shape.out_channels; column++)
            pack_channel(j, panel * WIDTH + column, to, column);
    }
}

static packed parts_of(const plan *p, const void *memory) {
    packed parts = {.panels = memory};
    parts.steps = (const float *)(parts.panels + p->panels * p->panel_bytes);
    parts.sums = (const int32_t *)(parts.steps + p->panels * WIDTH);
    return parts;
}

static tl_status fill_weights(cpu_kernel *kernel, const void *source, void *to, void *user) {
    const plan *p = user;
    const float *from = source;
    for (int64_t i = 0; i < p->shape.out_channels * p->depth; i++)
        if (!isfinite(from[i]))
            return tl__cpu_fail(kernel->device, TL_ERROR_DATA,
                                "cpu: conv2d: a weight is not finite, which int8 has no value for");
    const packed parts = parts_of(p, to);
    memset(to, 0, (size_t)(p->panels * p->panel_bytes + p->panels * WIDTH * 8));
    weights_job j = {p, from, to, (float *)parts.steps, (int32_t *)parts.sums};
    tl__cpu_parallel(kernel->device, p->panels, 1, weights_body, &j);
    return TL_OK;
}

/* ---- running ---- */

typedef struct block {
    int64_t first, count; /* rows of y */
    const uint8_t *a;
    int64_t a_row;
    int32_t *sums;
} block;

/* Rows piece * ROWS .. of a block times one panel; `soon` is fetched meanwhile, `soon_bytes` of it. */
static void multiply(const job *j, const block *b, int64_t piece, int64_t panel, const void *soon, int64_t soon_bytes) {
    const plan *p = j->plan;
    const cpu_kernel *kernel = j->kernel;
    const cpu_kernels *kernels = kernel->device->kernels;
    const int64_t outputs = p->shape.out_channels, column = panel * WIDTH, row = piece * ROWS;
    const int64_t at = (b->first + row) * outputs + column, steps = p->padded / DEPTH;
    const uint8_t *residual = kernel->ptr[RESIDUAL];
    cpu_int8_product product = {
        .a = b->a + row * b->a_row,
        .a_row = b->a_row,
        .rows = (int)(b->count - row < ROWS ? b->count - row : ROWS),
        .b = p->weights.panels + panel * p->panel_bytes,
        .k = p->padded,
        .sums = b->sums,
        .soon = soon,
        .soon_lines = (soon_bytes / 64 + steps - 1) / steps,
    };
    cpu_int8_rows rows = {
        .sums = b->sums,
        .rows = product.rows,
        .columns = (int)(outputs - column < WIDTH ? outputs - column : WIDTH),
        .factor = p->factor + column,
        .offset = p->offset + column,
        .residual = residual ? residual + at : NULL,
        .residual_factor = p->residual_factor,
        .low = p->low,
        .y = p->f32 ? (void *)((float *)kernel->ptr[Y] + at) : (void *)((uint8_t *)kernel->ptr[Y] + at),
        .y_step = outputs,
        .f32 = p->f32,
        .relu = kernel->op.relu,
    };
#ifdef TL_CPU_INT8
    if (p->way == CPU_INT8_AMX)
        tl__cpu_int8_multiply_amx(&product);
    else if (p->way == CPU_INT8_VNNI)
        tl__cpu_int8_multiply_vnni(&product);
    else
        kernels->quantised_multiply(&product);
    if (p->way != CPU_INT8_PAIRS && rows.columns == WIDTH && !rows.f32) {
        tl__cpu_int8_finish(&rows);
        return;
    }
#else
    kernels->quantised_multiply(&product);
#endif
    kernels->quantised_finish(&rows);
}

/* A block of rows times panels panel .. end - 1. Where the weights stay in the cache, rows go by once; where they do
 * not, each panel goes by once for the block, and the next one comes meanwhile. */
static void multiply_block(const job *j, const block *b, int64_t panel, int64_t end) {
    const plan *p = j->plan;
    const int64_t pieces = (b->count + ROWS - 1) / ROWS, outputs = p->shape.out_channels;
    const uint8_t *residual = j->kernel->ptr[RESIDUAL];
    if (!p->far) {
        /* The next rows of the residual, cut into as many parts as there are panels. */
        const int64_t bytes = residual ? ROWS * outputs / (end - panel) / 64 * 64 : 0;
        for (int64_t piece = 0; piece < pieces; piece++)
            for (int64_t i = panel; i < end; i++)
                multiply(j, b, piece, i,
                         residual ? residual + (b->first + (piece + 1) * ROWS) * outputs + (i - panel) * bytes : NULL,
                         bytes);
        return;
    }
    const int64_t bytes = p->panel_bytes / pieces / 64 * 64;
    for (int64_t i = panel; i < end; i++) {
        const char *soon = p->weights.panels + (i + 1 < end ? i + 1 : panel) * p->panel_bytes;
        for (int64_t piece = 0; piece < pieces; piece++)
            multiply(j, b, piece, i, soon + piece * bytes, bytes);
    }
}

/* Rows row .. end - 1 times panels panel .. panel_end - 1, in blocks of as equal a size as can be. */
static void run_part(const job *j, int64_t row, int64_t end, int64_t panel, int64_t panel_end, int32_t *sums) {
    const plan *p = j->plan;
    cpu_int8_source source = p->source;
    uint8_t *scratch = (uint8_t *)(sums + ROWS * WIDTH);
    source.x = j->kernel->ptr[X];
    for (int64_t left = (end - row + p->block - 1) / p->block; row < end; left--) {
        int64_t count = cpu_round_up((end - row + (left > 1 ? left : 1) - 1) / (left > 1 ? left : 1), ROWS);
        if (count > end - row)
            count = end - row;
        /* Tiles read whole 16 rows: the last ones, which are fewer, are copied to where there is room. */
        const bool direct = p->direct && (count >= 16 || p->way != CPU_INT8_AMX);
        if (direct && p->way == CPU_INT8_AMX)
            count -= count % 16;
        if (!direct)
            j->kernel->device->kernels->quantised_gather(&source, row, count, scratch);
        block b = {row, count, direct ? source.x + row * p->depth : scratch, direct ? p->depth : source.row, sums};
        multiply_block(j, &b, panel, panel_end);
        row += count;
    }
}

/* Items are parts: (row part, panel part). */
static void body(void *user, int64_t first_part, int64_t last_part, int thread) {
    const job *j = user;
    const plan *p = j->plan;
    int32_t *sums = (int32_t *)((char *)j->kernel->workspace + (size_t)thread * p->scratch_bytes);
    const int64_t tiles = (p->rows + ROWS - 1) / ROWS;
#ifdef TL_CPU_INT8
    if (p->way == CPU_INT8_AMX)
        tl__cpu_bf16_amx_begin();
#endif
    for (int64_t part = first_part; part < last_part; part++) {
        const int64_t r = part / j->panel_parts, c = part % j->panel_parts;
        int64_t row = tiles * r / j->row_parts * ROWS, end = tiles * (r + 1) / j->row_parts * ROWS;
        run_part(j, row, end > p->rows ? p->rows : end, p->panels * c / j->panel_parts,
                 p->panels * (c + 1) / j->panel_parts, sums);
    }
#ifdef TL_CPU_INT8
    if (p->way == CPU_INT8_AMX)
        tl__cpu_bf16_amx_end();
#endif
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

static cpu_int8_source source_of(const cpu_conv2d_shape *s, int64_t row, int zero) {
    cpu_int8_source source = {
        .height = s->height,
        .width = s->width,
        .channels = s->channels,
        .out_height = s->out_height,
        .out_width = s->out_width,
        .row = row,
        .zero = (uint8_t)zero,
    };
    for (int i = 0; i < 2; i++) {
        source.kernel[i] = s->kernel[i];
        source.stride[i] = s->stride[i];
        source.pad[i] = s->pad[i];
        source.dilation[i] = s->dilation[i];
    }
    return source;
}

static void make_plan(const cpu_kernel *kernel, const cpu_conv2d_shape *s, plan *p) {
    const cpu_device *device = kernel->device;
    *p = (plan){.shape = *s, .way = tl__cpu_int8_way(device), .f32 = kernel->operands[Y].desc.dtype == TL_DTYPE_F32};
    p->rows = s->images * s->out_height * s->out_width;
    p->depth = s->kernel[0] * s->kernel[1] * s->channels;
    p->padded = cpu_round_up(p->depth, DEPTH);
    p->panels = (s->out_channels + WIDTH - 1) / WIDTH;
    p->panel_bytes = p->padded * WIDTH * (p->way == CPU_INT8_PAIRS ? 2 : 1);
    p->direct = p->depth == s->channels && p->depth == p->padded;
    for (int i = 0; i < 2; i++)
        p->direct = p->direct && s->stride[i] == 1 && s->pad[i] == 0;
    p->far = (size_t)(p->panels * p->panel_bytes) > device->l2 / 2;
    /* The space keeps rows from lying in the same sets of the cache. */
    p->source = source_of(s, p->padded + DEPTH, kernel->op.zero[X]);
    p->block = (int64_t)device->l2 * 3 / 4 / p->source.row / ROWS * ROWS;
    if (p->block < ROWS)
        p->block = ROWS;
    if (p->block > MOST_ROWS)
        p->block = MOST_ROWS;
    if (!p->far && !p->direct)
        p->block = ROWS; /* gathered into the first cache, nearly */
    const int64_t sums = ROWS * WIDTH * (int64_t)sizeof(int32_t), gathered = p->block * p->source.row + CPU_PADDING;
    p->scratch_bytes = (size_t)cpu_round_up(sums + gathered, CPU_ALIGNMENT);
}

/* What makes results of sums, in double, rounded once. */
static tl_status make_factors(cpu_kernel *kernel, plan *p) {
    const tl_op_desc *op = &kernel->op;
    const double y_step = p->f32 ? 1 : (double)op->step[Y], x_step = (double)op->step[X];
    const float *bias = NULL;
    const tl_constant *constant = kernel->operands[BIAS].constant;
    if (cpu_present(kernel, BIAS)) {
        const void *data;
        tl_status status = constant->read(constant, &data);
        if (status != TL_OK)
            return status;
        bias = data;
        kernel->derived |= 1u << BIAS;
    }
    double common = p->f32 ? 0 : op->zero[Y];
    if (cpu_present(kernel, RESIDUAL)) {
        p->residual_factor = (float)((double)op->step[RESIDUAL] / y_step);
        common -= op->zero[RESIDUAL] * (double)p->residual_factor;
    }
    p->low = op->relu ? (float)op->zero[Y] : 0;
    for (int64_t o = 0; o < p->shape.out_channels; o++) {
        if (bias && !isfinite(bias[o]))
            return tl__cpu_fail(kernel->device, TL_ERROR_DATA,
                                "cpu: conv2d: a bias is not finite, which int8 has no value for");
        p->factor[o] = (float)((double)p->weights.steps[o] * x_step / y_step);
        p->offset[o] = (float)((bias ? (double)bias[o] / y_step : 0) + common -
                               (double)op->zero[X] * p->weights.sums[o] * (double)p->factor[o]);
    }
    return TL_OK;
}

static bool stands_for_numbers(const cpu_kernel *kernel, int operand) {
    return !cpu_present(kernel, operand) || kernel->operands[operand].desc.dtype != TL_DTYPE_U8 ||
           (kernel->op.step[operand] > 0 && isfinite(kernel->op.step[operand]) && kernel->op.zero[operand] >= 0 &&
            kernel->op.zero[operand] <= 255);
}

static tl_status check(cpu_kernel *kernel, cpu_conv2d_shape *shape) {
    const bool f32 = kernel->operands[Y].desc.dtype == TL_DTYPE_F32;
    tl_status status = tl__cpu_expect(kernel, f32 ? "bffbf" : "bffbb");
    if (status == TL_OK)
        status = tl__cpu_conv2d_shape(kernel, X, W, Y, shape);
    if (status != TL_OK)
        return status;
    if (shape->groups > 1)
        return tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: conv2d: int8 has no convolutions in groups");
    if (!cpu_is_constant(kernel, W) || (cpu_present(kernel, BIAS) && !cpu_is_constant(kernel, BIAS)))
        return tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: conv2d: int8 is for weights that are constant");
    if (shape->kernel[0] * shape->kernel[1] * shape->channels > MOST_DEPTH)
        return tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: conv2d: int8 has no sums of more than %d products",
                            MOST_DEPTH);
    if (!stands_for_numbers(kernel, X) || !stands_for_numbers(kernel, RESIDUAL) || !stands_for_numbers(kernel, Y))
        return tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: conv2d: a stored value without a step");
    return TL_OK;
}

tl_status tl__cpu_conv2d_int8_prepare(cpu_kernel *kernel) {
    static const char *const names[] = {"int8 by pairs", "vnni int8", "amx int8"};
    cpu_device *device = kernel->device;
    cpu_conv2d_shape shape;
    plan made;
    tl_status status = check(kernel, &shape);
    if (status != TL_OK)
        return status;
    make_plan(kernel, &shape, &made);
    const size_t channels = (size_t)(made.panels * WIDTH), head = (size_t)cpu_round_up(sizeof(made), CPU_ALIGNMENT);
    plan *p = kernel->data = tl__cpu_allocate(device, head + 2 * channels * sizeof(float));
    if (!p)
        return TL_ERROR_MEMORY;
    *p = made;
    p->factor = (float *)((char *)p + head);
    p->offset = p->factor + channels;
    memset(p->factor, 0, 2 * channels * sizeof(float));
    kernel->base.workspace = (uint64_t)device->threads * p->scratch_bytes;
    kernel->base.implementation = names[p->way];
    kernel->run = run;
    const void *weights;
    status = tl__cpu_constant_derive(kernel, W, CPU_FORM('Q', p->way, p->padded, shape.out_channels),
                                     (size_t)(p->panels * p->panel_bytes) + channels * 8, fill_weights, p, &weights);
    if (status != TL_OK)
        return status;
    p->weights = parts_of(p, weights);
    return make_factors(kernel, p);
}
