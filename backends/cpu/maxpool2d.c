/* maxpool2d.c: maximum pooling and its gradient. */
#include "backends/cpu/pool_common.h"

enum { X, Y, INDEX };
enum { DY, DINDEX, DX };

static void rows(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    const cpu_pool *p = kernel->data;
    int64_t row = p->ow * p->c;
    uint8_t *index = kernel->ptr[INDEX];
    (void)thread;
    for (int64_t r = first; r < last; r++)
        kernel->device->kernels->maxpool((float *)kernel->ptr[Y] + r * row, index ? index + r * row : NULL,
                                         (const float *)kernel->ptr[X] + r / p->oh * p->h * p->w * p->c, p,
                                         r % p->oh);
}

static void run(cpu_kernel *kernel) {
    const cpu_pool *p = kernel->data;
    tl__cpu_parallel(kernel->device, p->n * p->oh, 1 + 8192 / (p->ow * p->c + 1), rows, kernel);
}

static tl_status too_large(cpu_kernel *kernel) {
    return tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: maxpool2d: a window of more than %d taps with an index",
                        CPU_POOL_TAPS);
}

static bool fits_index(const cpu_kernel *kernel) {
    return (int64_t)kernel->op.kernel[0] * kernel->op.kernel[1] <= CPU_POOL_TAPS;
}

static tl_status prepare(cpu_kernel *kernel) {
    tl_status status = cpu_pool_expect(kernel, "ffb", X, Y);
    if (status == TL_OK && cpu_present(kernel, INDEX) && !fits_index(kernel))
        status = too_large(kernel);
    if (status != TL_OK)
        return status;
    kernel->run = run;
    return cpu_pool_plan(kernel, X, Y, Y);
}

static void stored_rows(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    const cpu_pool *p = kernel->data;
    (void)thread;
    for (int64_t r = first; r < last; r++)
        kernel->device->kernels->stored_maxpool((uint16_t *)kernel->ptr[Y] + r * p->ow * p->c,
                                                (const uint16_t *)kernel->ptr[X] + r / p->oh * p->h * p->w * p->c, p,
                                                r % p->oh);
}

static void stored_run(cpu_kernel *kernel) {
    const cpu_pool *p = kernel->data;
    tl__cpu_parallel(kernel->device, p->n * p->oh, 1 + 8192 / (p->ow * p->c + 1), stored_rows, kernel);
}

/* No index: it serves the gradient, and nothing that trains is stored in 16 bits. */
static tl_status stored_prepare(cpu_kernel *kernel) {
    tl_status status = cpu_pool_expect(kernel, "hhb", X, Y);
    if (status == TL_OK && cpu_present(kernel, INDEX))
        status = tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: maxpool2d: of bf16 there is no index");
    if (status != TL_OK)
        return status;
    kernel->run = stored_run;
    return cpu_pool_plan(kernel, X, Y, Y);
}

static void quantised_rows(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    const cpu_pool *p = kernel->data;
    (void)thread;
    for (int64_t r = first; r < last; r++)
        kernel->device->kernels->quantised_maxpool((uint8_t *)kernel->ptr[Y] + r * p->ow * p->c,
                                                   (const uint8_t *)kernel->ptr[X] + r / p->oh * p->h * p->w * p->c, p,
                                                   r % p->oh);
}

static void quantised_run(cpu_kernel *kernel) {
    const cpu_pool *p = kernel->data;
    tl__cpu_parallel(kernel->device, p->n * p->oh, 1 + 8192 / (p->ow * p->c + 1), quantised_rows, kernel);
}

/* The largest byte is that of the largest number, where both stand for numbers in the same way. */
static tl_status quantised_prepare(cpu_kernel *kernel) {
    tl_status status = cpu_pool_expect(kernel, "bbb", X, Y);
    if (status == TL_OK && (cpu_present(kernel, INDEX) || kernel->op.step[X] != kernel->op.step[Y] ||
                            kernel->op.zero[X] != kernel->op.zero[Y]))
        status = tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: maxpool2d: of int8 with an index or another step");
    if (status != TL_OK)
        return status;
    kernel->run = quantised_run;
    return cpu_pool_plan(kernel, X, Y, Y);
}

static void grad_rows(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    const cpu_pool *p = kernel->data;
    int64_t small = p->oh * p->ow * p->c;
    (void)thread;
    for (int64_t r = first; r < last; r++)
        kernel->device->kernels->maxpool_grad((float *)kernel->ptr[DX] + r * p->w * p->c,
                                              (const float *)kernel->ptr[DY] + r / p->h * small,
                                              (const uint8_t *)kernel->ptr[DINDEX] + r / p->h * small, p, r % p->h);
}

static void grad_run(cpu_kernel *kernel) {
    const cpu_pool *p = kernel->data;
    tl__cpu_parallel(kernel->device, p->n * p->h, 1 + 8192 / (p->w * p->c + 1), grad_rows, kernel);
}

static tl_status grad_prepare(cpu_kernel *kernel) {
    tl_status status = cpu_pool_expect(kernel, "fbf", DX, DY);
    if (status == TL_OK && !fits_index(kernel))
        status = too_large(kernel);
    if (status != TL_OK)
        return status;
    kernel->run = grad_run;
    return cpu_pool_plan(kernel, DX, DY, DX);
}

const cpu_implementation tl__cpu_maxpool2d_implementations[] = {
    {"maxpool2d", prepare}, {"bf16", stored_prepare}, {"int8", quantised_prepare}, {NULL, NULL}};
const cpu_implementation tl__cpu_maxpool2d_grad_implementations[] = {{"maxpool2d_grad", grad_prepare}, {NULL, NULL}};
