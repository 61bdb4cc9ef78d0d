/* upsample2d.c: bilinear upsampling and its gradient. */
#include "backends/axis.h"
#include "backends/cpu/cpu.h"
#include "backends/cpu/kernels.h"

enum { X, Y };
enum { DY, DX };

typedef struct plan {
    cpu_resample resample;
    int32_t tables[];
} plan;

static tl_status make_plan(cpu_kernel *kernel, int small, int large) {
    const int64_t *x = cpu_shape(kernel, small), *y = cpu_shape(kernel, large);
    if (kernel->operands[small].desc.rank != 4 || kernel->operands[large].desc.rank != 4 || x[0] != y[0] || x[3] != y[3] ||
        x[1] > INT32_MAX || x[2] > INT32_MAX || y[1] > INT32_MAX || y[2] > INT32_MAX)
        return tl__cpu_fail(kernel->device, TL_ERROR_ARGUMENT, "cpu: the shapes of an upsampling do not fit each other");
    size_t words = 0;
    for (int d = 1; d <= 2; d++)
        words += (size_t)AXIS_WORDS(x[d], y[d]);
    plan *p = kernel->data = tl__cpu_allocate(kernel->device, sizeof(*p) + words * sizeof(int32_t));
    if (!p)
        return TL_ERROR_MEMORY;
    int32_t *at = p->tables;
    p->resample = (cpu_resample){.n = x[0], .c = x[3]};
    for (int d = 0; d < 2; d++) {
        cpu_axis *axis = &p->resample.axis[d];
        axis->size = x[1 + d];
        axis->outputs = y[1 + d];
        axis_fill(axis->size, axis->outputs, at);
        axis->from = at + AXIS_FROM(axis->size, axis->outputs);
        axis->to = at + AXIS_TO(axis->size, axis->outputs);
        axis->low = at + AXIS_LOW(axis->size, axis->outputs);
        axis->high = at + AXIS_HIGH(axis->size, axis->outputs);
        axis->weight = (const float *)(at + AXIS_WEIGHT(axis->size, axis->outputs));
        at += AXIS_WORDS(axis->size, axis->outputs);
    }
    return TL_OK;
}

static void rows(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    const cpu_resample *r = &((const plan *)kernel->data)->resample;
    const int64_t outputs = r->axis[0].outputs, pitch = r->axis[1].outputs * r->c;
    (void)thread;
    for (int64_t row = first; row < last; row++)
        kernel->device->kernels->resample(
            (float *)kernel->ptr[Y] + row * pitch,
            (const float *)kernel->ptr[X] + row / outputs * r->axis[0].size * r->axis[1].size * r->c, r, row % outputs);
}

static void run(cpu_kernel *kernel) {
    const cpu_resample *r = &((const plan *)kernel->data)->resample;
    tl__cpu_parallel(kernel->device, r->n * r->axis[0].outputs, 1 + 8192 / (r->axis[1].outputs * r->c + 1), rows, kernel);
}

static tl_status prepare(cpu_kernel *kernel) {
    tl_status status = tl__cpu_expect(kernel, "ff");
    kernel->run = run;
    return status == TL_OK ? make_plan(kernel, X, Y) : status;
}

static void grad_rows(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    const cpu_resample *r = &((const plan *)kernel->data)->resample;
    const int64_t size = r->axis[0].size, pitch = r->axis[1].outputs * r->c;
    float *sums = (float *)kernel->workspace + thread * cpu_round_up(pitch, CPU_ALIGNMENT / (int64_t)sizeof(float));
    for (int64_t row = first; row < last; row++)
        kernel->device->kernels->resample_grad((float *)kernel->ptr[DX] + row * r->axis[1].size * r->c,
                                               (const float *)kernel->ptr[DY] + row / size * r->axis[0].outputs * pitch, r,
                                               row % size, sums);
}

static void grad_run(cpu_kernel *kernel) {
    const cpu_resample *r = &((const plan *)kernel->data)->resample;
    tl__cpu_parallel(kernel->device, r->n * r->axis[0].size, 1, grad_rows, kernel);
}

static tl_status grad_prepare(cpu_kernel *kernel) {
    tl_status status = tl__cpu_expect(kernel, "ff");
    if (status == TL_OK)
        status = make_plan(kernel, DX, DY);
    if (status != TL_OK)
        return status;
    const int64_t *dy = cpu_shape(kernel, DY);
    kernel->base.workspace = (uint64_t)kernel->device->threads *
                             (uint64_t)cpu_round_up(dy[2] * dy[3] * (int64_t)sizeof(float), CPU_ALIGNMENT);
    kernel->run = grad_run;
    return TL_OK;
}

const cpu_implementation tl__cpu_upsample2d_implementations[] = {{"upsample2d", prepare}, {NULL, NULL}};
const cpu_implementation tl__cpu_upsample2d_grad_implementations[] = {{"upsample2d_grad", grad_prepare}, {NULL, NULL}};
