/* avgpool2d.c: adaptive average pooling and its gradient. */
#include "backends/cpu/pool_common.h"
#include "backends/cpu/quantised.h"

#define PART 256 /* channels that one item of work covers: a global pooling has few windows */

enum { X, Y };
enum { DY, DX };

/* x stands for (u8 - zero) * step. */
static void quantised_window(const cpu_kernel *kernel, int64_t at, int64_t to, int64_t height, int64_t width,
                             int64_t channels) {
    const cpu_pool *p = kernel->data;
    const tl_op_desc *op = &kernel->op;
    const bool f32 = kernel->operands[Y].desc.dtype == TL_DTYPE_F32;
    const double y_step = f32 ? 1 : (double)op->step[Y], ratio = (double)op->step[X] / y_step;
    const cpu_int8_mean mean = {
        .x = (const uint8_t *)kernel->ptr[X] + at,
        .height = height,
        .width = width,
        .pitch = p->w * p->c,
        .step = p->c,
        .channels = channels,
        .factor = (float)(ratio / (double)(height * width)),
        .offset = (float)((f32 ? 0 : op->zero[Y]) - op->zero[X] * ratio),
        .y = f32 ? (void *)((float *)kernel->ptr[Y] + to) : (void *)((uint8_t *)kernel->ptr[Y] + to),
        .f32 = f32,
    };
    kernel->device->kernels->quantised_mean(&mean);
}

static void windows(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    const cpu_pool *p = kernel->data;
    int64_t parts = (p->c + PART - 1) / PART;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t c = item % parts * PART, pixel = item / parts;
        int64_t n = pixel / (p->oh * p->ow), i = pixel / p->ow % p->oh, j = pixel % p->ow;
        int64_t h0 = i * p->h / p->oh, h1 = ((i + 1) * p->h + p->oh - 1) / p->oh;
        int64_t w0 = j * p->w / p->ow, w1 = ((j + 1) * p->w + p->ow - 1) / p->ow;
        const int64_t at = ((n * p->h + h0) * p->w + w0) * p->c + c, to = pixel * p->c + c;
        const int64_t channels = p->c - c < PART ? p->c - c : PART;
        const cpu_kernels *kernels = kernel->device->kernels;
        if (kernel->operands[X].desc.dtype == TL_DTYPE_F32) {
            kernels->avgpool((float *)kernel->ptr[Y] + to, (const float *)kernel->ptr[X] + at, h1 - h0, w1 - w0,
                             p->w * p->c, p->c, channels);
            continue;
        }
        if (kernel->operands[X].desc.dtype == TL_DTYPE_U8) {
            quantised_window(kernel, at, to, h1 - h0, w1 - w0, channels);
            continue;
        }
        float mean[PART];
        bool wide = kernel->operands[Y].desc.dtype == TL_DTYPE_F32;
        kernels->stored_avgpool(wide ? (float *)kernel->ptr[Y] + to : mean, (const uint16_t *)kernel->ptr[X] + at,
                                h1 - h0, w1 - w0, p->w * p->c, p->c, channels);
        if (!wide)
            kernels->stored_narrow((uint16_t *)kernel->ptr[Y] + to, mean, (size_t)channels);
    }
}

static void run(cpu_kernel *kernel) {
    const cpu_pool *p = kernel->data;
    int64_t items = p->n * p->oh * p->ow * ((p->c + PART - 1) / PART);
    int64_t work = tl__cpu_elements(kernel, X) / (items + 1) + 1; /* elements an item */
    tl__cpu_parallel(kernel->device, items, 1 + 8192 / work, windows, kernel);
}

static tl_status prepare(cpu_kernel *kernel) {
    const int32_t from = kernel->operands[X].desc.dtype, to = kernel->operands[Y].desc.dtype;
    const bool quantised = from == TL_DTYPE_U8;
    const char *types = from == TL_DTYPE_F32 ? "ff" : !quantised ? "ha" : to == TL_DTYPE_F32 ? "bf" : "bb";
    tl_status status = cpu_pool_expect(kernel, types, X, Y);
    if (status == TL_OK && quantised && (!(kernel->op.step[X] > 0) || (to == TL_DTYPE_U8 && !(kernel->op.step[Y] > 0))))
        status = tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: avgpool2d: a stored value without a step");
    if (status != TL_OK)
        return status;
    kernel->run = run;
    return cpu_pool_plan(kernel, X, Y, Y);
}

static void grad_rows(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    const cpu_pool *p = kernel->data;
    (void)thread;
    for (int64_t r = first; r < last; r++)
        kernel->device->kernels->avgpool_grad((float *)kernel->ptr[DX] + r * p->w * p->c,
                                              (const float *)kernel->ptr[DY] + r / p->h * p->oh * p->ow * p->c, p,
                                              r % p->h);
}

static void grad_run(cpu_kernel *kernel) {
    const cpu_pool *p = kernel->data;
    tl__cpu_parallel(kernel->device, p->n * p->h, 1 + 8192 / (p->w * p->c + 1), grad_rows, kernel);
}

static tl_status grad_prepare(cpu_kernel *kernel) {
    tl_status status = cpu_pool_expect(kernel, "ff", DX, DY);
    if (status != TL_OK)
        return status;
    kernel->run = grad_run;
    return cpu_pool_plan(kernel, DX, DY, DX);
}

const cpu_implementation tl__cpu_avgpool2d_implementations[] = {{"avgpool2d", prepare}, {NULL, NULL}};
const cpu_implementation tl__cpu_avgpool2d_grad_implementations[] = {{"avgpool2d_grad", grad_prepare}, {NULL, NULL}};
