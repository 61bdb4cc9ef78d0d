/* conv2d_converted.c: conv2d of values stored in bf16 where the machine has no instructions for products of them, or
 * groups are small: whole tensors go to f32 and back around the convolution in f32. */
#include "backends/cpu/conv2d.h"
#include "backends/cpu/kernels.h"

enum { X, W, BIAS, RESIDUAL, Y };

#define UNIT 4096 /* elements; ranges of conversion begin at multiples of it */

typedef struct conversion {
    const cpu_kernel *kernel;
    float *wide;
    uint16_t *narrow;
    int64_t count;
    bool back;
} conversion;

static void convert_range(void *user, int64_t first, int64_t last, int thread) {
    const conversion *c = user;
    const int64_t at = first * UNIT, end = last * UNIT < c->count ? last * UNIT : c->count;
    (void)thread;
    if (c->back)
        c->kernel->device->kernels->stored_narrow(c->narrow + at, c->wide + at, (size_t)(end - at));
    else
        c->kernel->device->kernels->stored_widen(c->wide + at, c->narrow + at, (size_t)(end - at));
}

static void convert(const cpu_kernel *kernel, float *wide, void *narrow, int64_t count, bool back) {
    conversion c = {kernel, wide, narrow, count, back};
    tl__cpu_parallel(kernel->device, (count + UNIT - 1) / UNIT, 8, convert_range, &c);
}

/* The workspace: what the walk wants, then x, then y (and before it the residual, in its place). */
static int64_t wide_bytes(const cpu_kernel *kernel, int operand) {
    return kernel->operands[operand].desc.dtype == TL_DTYPE_BF16
               ? cpu_round_up(tl__cpu_elements(kernel, operand) * (int64_t)sizeof(float) + CPU_PADDING, CPU_ALIGNMENT)
               : 0;
}

static void run(cpu_kernel *kernel) {
    char *at = (char *)kernel->workspace + kernel->base.workspace - wide_bytes(kernel, X) - wide_bytes(kernel, Y);
    float *x = (float *)at, *y = (float *)(at + wide_bytes(kernel, X));
    const bool narrow = kernel->operands[Y].desc.dtype == TL_DTYPE_BF16;
    if (!narrow)
        y = kernel->ptr[Y];
    convert(kernel, x, kernel->ptr[X], tl__cpu_elements(kernel, X), false);
    if (kernel->ptr[RESIDUAL])
        convert(kernel, y, kernel->ptr[RESIDUAL], tl__cpu_elements(kernel, RESIDUAL), false);
    cpu_conv2d_operands operands = {
        .from = x,
        .weights = kernel->ptr[W],
        .bias = kernel->ptr[BIAS],
        .residual = kernel->ptr[RESIDUAL] ? y : NULL,
        .to = y,
        .relu = kernel->op.relu,
    };
    tl__cpu_conv2d_walk_run(kernel, &operands);
    if (narrow)
        convert(kernel, y, kernel->ptr[Y], tl__cpu_elements(kernel, Y), true);
}

tl_status tl__cpu_conv2d_converted_prepare(cpu_kernel *kernel) {
    cpu_conv2d_shape shape;
    cpu_conv2d_walk *walk;
    tl_status status = tl__cpu_expect(kernel, "hffha");
    if (status == TL_OK)
        status = tl__cpu_conv2d_shape(kernel, X, W, Y, &shape);
    if (status == TL_OK)
        status = tl__cpu_conv2d_walk_create(kernel, &shape, false, W, &walk);
    if (status != TL_OK)
        return status;
    kernel->base.workspace = (uint64_t)cpu_round_up((int64_t)kernel->base.workspace, CPU_ALIGNMENT) +
                             (uint64_t)(wide_bytes(kernel, X) + wide_bytes(kernel, Y));
    kernel->run = run;
    return TL_OK;
}
