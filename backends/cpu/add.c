/* add.c: the sum of two tensors of one shape, with ReLU or without. */
#include "backends/cpu/cpu.h"
#include "backends/cpu/flat.h"
#include "backends/cpu/kernels.h"

enum { A, B, Y };

static void add_range(void *user, int64_t first, int64_t last, int thread) {
    cpu_flat *f = user;
    cpu_kernel *k = f->kernel;
    (void)thread;
    cpu_flat_range(f, &first, &last);
    k->device->kernels->add((float *)k->ptr[Y] + first, (const float *)k->ptr[A] + first,
                            (const float *)k->ptr[B] + first, (size_t)(last - first), k->op.relu, f->stream);
}

static void add_run(cpu_kernel *kernel) {
    cpu_flat_run(kernel, Y, kernel->ptr[Y] == kernel->ptr[A] || kernel->ptr[Y] == kernel->ptr[B], add_range);
}

static tl_status add_prepare(cpu_kernel *kernel) {
    kernel->run = add_run;
    return tl__cpu_expect(kernel, "fff");
}

static void stored_range(void *user, int64_t first, int64_t last, int thread) {
    cpu_flat *f = user;
    cpu_kernel *k = f->kernel;
    (void)thread;
    cpu_flat_range(f, &first, &last);
    k->device->kernels->stored_add((uint16_t *)k->ptr[Y] + first, (const uint16_t *)k->ptr[A] + first,
                                   (const uint16_t *)k->ptr[B] + first, (size_t)(last - first), k->op.relu);
}

static void stored_run(cpu_kernel *kernel) {
    cpu_flat_run(kernel, Y, true, stored_range);
}

static tl_status stored_prepare(cpu_kernel *kernel) {
    kernel->run = stored_run;
    return tl__cpu_expect(kernel, "hhh");
}

const cpu_implementation tl__cpu_add_implementations[] = {
    {"add", add_prepare}, {"bf16", stored_prepare}, {NULL, NULL}};
