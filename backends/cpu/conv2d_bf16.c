/* conv2d_bf16.c: conv2d of values stored in bf16, with constant weights rounded to bf16 and sums in f32, where the
 * machine has instructions for it. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <string.h>

#include "backends/cpu/bf16.h"
#include "backends/cpu/conv2d_blocks.h"
#include "backends/cpu/kernels.h"

enum { X, W, BIAS, RESIDUAL, Y };

#ifdef TL_CPU_BF16

#define WIDTH CPU_BLOCK_WIDTH
#define ELEMENT ((int64_t)sizeof(uint16_t))
#define MULTIPLY_ADDS_PER_THREAD (1 << 21) /* less work is not worth waking another thread for */
#define FEWEST_OUTPUTS 16                  /* of a group */

/* ---- weights: [panel][k / 2][column][2] ---- */

static uint16_t narrow(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    if (x != x)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

typedef struct weights_job {
    const cpu_blocks *blocks;
    const float *from;
    uint16_t *to;
} weights_job;

static void weights_body(void *user, int64_t first, int64_t last, int thread) {
    const weights_job *j = user;
    const cpu_blocks *p = j->blocks;
    const int64_t depth = p->depth / ELEMENT, each = p->panel_bytes / ELEMENT;
    (void)thread;
    for (int64_t panel = first; panel < last; panel++) {
        uint16_t *to = j->to + panel * each;
        memset(to, 0, (size_t)p->panel_bytes);
        for (int64_t o = 0; o < WIDTH && panel * WIDTH + o < p->shape.out_channels; o++) {
            const float *row = j->from + (panel * WIDTH + o) * depth;
            for (int64_t k = 0; k < depth; k++)
                to[(k / 2 * WIDTH + o) * 2 + (k & 1)] = narrow(row[k]);
        }
    }
}

static tl_status fill_weights(cpu_kernel *kernel, const void *source, void *to, void *user) {
    weights_job j = {user, source, to};
    tl__cpu_parallel(kernel->device, j.blocks->panels, 1, weights_body, &j);
    return TL_OK;
}

/* ---- running ---- */

static void finish(const cpu_kernel *kernel, const void *sums, int64_t row, int count, int64_t panel) {
    const cpu_blocks *p = kernel->data;
    const int64_t outputs = p->shape.out_channels, column = panel * WIDTH, at = row * outputs + column;
    const uint16_t *residual = kernel->ptr[RESIDUAL];
    const float *bias = kernel->ptr[BIAS];
    const bool f32 = kernel->operands[Y].desc.dtype == TL_DTYPE_F32;
    cpu_stored_rows rows = {
        .sums = sums,
        .step = WIDTH,
        .rows = count,
        .columns = cpu_block_columns(p, panel),
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
    cpu_blocks *p = kernel->data = tl__cpu_allocate(device, sizeof(*p));
    if (!p)
        return TL_ERROR_MEMORY;
    *p = tl__cpu_blocks_plan(device, &shape, ELEMENT, 1, 0, device->isa == CPU_ISA_AMX, MULTIPLY_ADDS_PER_THREAD);
    p->multiply = p->amx ? tl__cpu_bf16_multiply_amx : tl__cpu_bf16_multiply_dot;
    p->finish = finish;
    kernel->base.workspace = (uint64_t)device->threads * p->scratch_bytes;
    kernel->base.implementation = p->amx ? "amx bf16" : "avx512 bf16";
    kernel->run = tl__cpu_blocks_run;
    const void *weights;
    status = tl__cpu_constant_derive(kernel, W, CPU_FORM('H', 0, p->steps, shape.out_channels),
                                     (size_t)(p->panels * p->panel_bytes), fill_weights, p, &weights);
    if (status == TL_OK)
        p->weights = weights;
    return status;
}

#else

tl_status tl__cpu_conv2d_bf16_prepare(cpu_kernel *kernel) {
    return tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: conv2d: no products of bf16");
}

#endif
