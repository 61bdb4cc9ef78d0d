/* conv2d_int8.c: conv2d of values stored in 8 bits, with constant weights rounded to s8 by channel and sums in s32.
 *
 * x = (u8 - zero) * step, so that of a sum of products of u8 and s8 what `zero` contributes is known when
 * the weights are: it is part of the offset that every channel's results get. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <math.h>
#include <string.h>

#include "backends/cpu/conv2d_blocks.h"
#include "backends/cpu/int8.h"
#include "backends/cpu/kernels.h"

enum { X, W, BIAS, RESIDUAL, Y };

#define WIDTH CPU_BLOCK_WIDTH
#define MULTIPLY_ADDS_PER_THREAD (1 << 22) /* less work is not worth waking another thread for */
#define MOST_DEPTH 65536                   /* 255 * 127 of it are the most that s32 holds */

/* Behind the panels of what is derived from weights: each channel's step, and the sum of its integers. */
typedef struct packed {
    const float *steps;
    const int32_t *sums;
} packed;

typedef struct plan {
    cpu_blocks blocks;
    bool f32; /* y is */
    cpu_int8_way way;
    packed weights;
    float residual_factor, low;
    float *factor, *offset; /* of each channel, in whole panels; behind the plan */
} plan;

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
    const float *row = j->from + channel * p->blocks.depth, largest = largest_of(row, p->blocks.depth);
    const float step = largest > 0 ? largest / 127 : 1;
    int32_t sum = 0;
    for (int64_t k = 0; k < p->blocks.depth; k++) {
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
        char *to = j->panels + panel * p->blocks.panel_bytes;
        memset(to, 0, (size_t)p->blocks.panel_bytes);
        for (int64_t column = 0; column < WIDTH && panel * WIDTH + column < p->blocks.shape.out_channels; column++)
            pack_channel(j, panel * WIDTH + column, to, column);
    }
}

static packed parts_of(const plan *p, const void *memory) {
    packed parts = {.steps = (const float *)((const char *)memory + p->blocks.panels * p->blocks.panel_bytes)};
    parts.sums = (const int32_t *)(parts.steps + p->blocks.panels * WIDTH);
    return parts;
}

static tl_status fill_weights(cpu_kernel *kernel, const void *source, void *to, void *user) {
    const plan *p = user;
    const float *from = source;
    for (int64_t i = 0; i < p->blocks.shape.out_channels * p->blocks.depth; i++)
        if (!isfinite(from[i]))
            return tl__cpu_fail(kernel->device, TL_ERROR_DATA,
                                "cpu: conv2d: a weight is not finite, which int8 has no value for");
    const packed parts = parts_of(p, to);
    memset(to, 0, (size_t)(p->blocks.panels * p->blocks.panel_bytes + p->blocks.panels * WIDTH * 8));
    weights_job j = {p, from, to, (float *)parts.steps, (int32_t *)parts.sums};
    tl__cpu_parallel(kernel->device, p->blocks.panels, 1, weights_body, &j);
    return TL_OK;
}

/* ---- running ---- */

static void finish(const cpu_kernel *kernel, const void *sums, int64_t row, int count, int64_t panel) {
    const plan *p = kernel->data;
    const int64_t outputs = p->blocks.shape.out_channels, column = panel * WIDTH, at = row * outputs + column;
    const uint8_t *residual = kernel->ptr[RESIDUAL];
    cpu_int8_rows rows = {
        .sums = sums,
        .rows = count,
        .columns = cpu_block_columns(&p->blocks, panel),
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
    if (p->way != CPU_INT8_PAIRS && rows.columns == WIDTH && !rows.f32) {
        tl__cpu_int8_finish(&rows);
        return;
    }
#endif
    kernel->device->kernels->quantised_finish(&rows);
}

static void (*product_of(const cpu_device *device, cpu_int8_way way))(const cpu_block_product *) {
#ifdef TL_CPU_INT8
    if (way == CPU_INT8_AMX)
        return tl__cpu_int8_multiply_amx;
    if (way == CPU_INT8_VNNI)
        return tl__cpu_int8_multiply_vnni;
#endif
    (void)way;
    return device->kernels->quantised_multiply;
}

/* ---- preparing ---- */

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
    for (int64_t o = 0; o < p->blocks.shape.out_channels; o++) {
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
    made = (plan){.way = tl__cpu_int8_way(device), .f32 = kernel->operands[Y].desc.dtype == TL_DTYPE_F32};
    made.blocks = tl__cpu_blocks_plan(device, &shape, 1, made.way == CPU_INT8_PAIRS ? 2 : 1, kernel->op.zero[X],
                                      made.way == CPU_INT8_AMX, MULTIPLY_ADDS_PER_THREAD);
    made.blocks.multiply = product_of(device, made.way);
    made.blocks.finish = finish;
    const size_t channels = (size_t)(made.blocks.panels * WIDTH);
    const size_t head = (size_t)cpu_round_up(sizeof(made), CPU_ALIGNMENT);
    plan *p = kernel->data = tl__cpu_allocate(device, head + 2 * channels * sizeof(float));
    if (!p)
        return TL_ERROR_MEMORY;
    *p = made;
    p->factor = (float *)((char *)p + head);
    p->offset = p->factor + channels;
    memset(p->factor, 0, 2 * channels * sizeof(float));
    kernel->base.workspace = (uint64_t)device->threads * p->blocks.scratch_bytes;
    kernel->base.implementation = names[p->way];
    kernel->run = tl__cpu_blocks_run;
    const void *weights;
    status = tl__cpu_constant_derive(kernel, W, CPU_FORM('Q', p->way, p->blocks.steps, shape.out_channels),
                                     (size_t)(p->blocks.panels * p->blocks.panel_bytes) + channels * 8, fill_weights, p, &weights);
    if (status != TL_OK)
        return status;
    p->weights = parts_of(p, weights);
    p->blocks.weights = weights;
    return make_factors(kernel, p);
}
