/* relu.c: relu and relu_grad. */
#include "backends/cpu/cpu.h"
#include "backends/cpu/flat.h"
#include "backends/cpu/kernels.h"

enum { X, Y };
enum { DY, MASK, DX };

static void relu_range(void *user, int64_t first, int64_t last, int thread) {
    cpu_flat *f = user;
    cpu_kernel *k = f->kernel;
    (void)thread;
    cpu_flat_range(f, &first, &last);
    k->device->kernels->relu((float *)k->ptr[Y] + first, (const float *)k->ptr[X] + first, (size_t)(last - first),
                             f->stream);
}

static void relu_run(cpu_kernel *kernel) {
    cpu_flat_run(kernel, Y, kernel->ptr[Y] == kernel->ptr[X], relu_range);
}

static tl_status relu_prepare(cpu_kernel *kernel) {
    kernel->run = relu_run;
    return tl__cpu_expect(kernel, "ff");
}

static void stored_range(void *user, int64_t first, int64_t last, int thread) {
    cpu_flat *f = user;
    cpu_kernel *k = f->kernel;
    (void)thread;
    cpu_flat_range(f, &first, &last);
    k->device->kernels->stored_relu((uint16_t *)k->ptr[Y] + first, (const uint16_t *)k->ptr[X] + first,
                                    (size_t)(last - first));
}

static void stored_run(cpu_kernel *kernel) {
    cpu_flat_run(kernel, Y, true, stored_range);
}

static tl_status stored_prepare(cpu_kernel *kernel) {
    kernel->run = stored_run;
    return tl__cpu_expect(kernel, "hh");
}

static void relu_grad_range(void *user, int64_t first, int64_t last, int thread) {
    cpu_flat *f = user;
    cpu_kernel *k = f->kernel;
    (void)thread;
    cpu_flat_range(f, &first, &last);
    k->device->kernels->relu_grad((float *)k->ptr[DX] + first, (const float *)k->ptr[DY] + first,
                                  (const float *)k->ptr[MASK] + first, (size_t)(last - first), f->stream);
}

static void relu_grad_run(cpu_kernel *kernel) {
    cpu_flat_run(kernel, DX, kernel->ptr[DX] == kernel->ptr[DY], relu_grad_range);
}

static tl_status relu_grad_prepare(cpu_kernel *kernel) {
    kernel->run = relu_grad_run;
    return tl__cpu_expect(kernel, "fff");
}

const cpu_implementation tl__cpu_relu_implementations[] = {
    {"relu", relu_prepare}, {"bf16", stored_prepare}, {NULL, NULL}};
const cpu_implementation tl__cpu_relu_grad_implementations[] = {{"relu_grad", relu_grad_prepare}, {NULL, NULL}};
