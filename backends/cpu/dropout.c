/* dropout.c: the same mask on every machine, from a counter and the element's place. */
#include "backends/cpu/cpu.h"
#include "backends/cpu/flat.h"
#include "backends/cpu/kernels.h"

enum { X, COUNTER, Y };

static void range(void *user, int64_t first, int64_t last, int thread) {
    cpu_flat *f = user;
    cpu_kernel *kernel = f->kernel;
    const uint32_t *counter = kernel->ptr[COUNTER];
    cpu_dropout d = {
        .key = {counter[2], kernel->op.stream},
        .counter = {counter[0], counter[1]},
        .threshold = (uint32_t)((double)kernel->op.p * 4294967296.0),
        .rest = 1 - kernel->op.p,
    };
    (void)thread;
    cpu_flat_range(f, &first, &last);
    kernel->device->kernels->dropout((float *)kernel->ptr[Y] + first, (const float *)kernel->ptr[X] + first,
                                     (size_t)(last - first), (uint64_t)first / 4, &d);
}

static void run(cpu_kernel *kernel) {
    cpu_flat_run(kernel, Y, true, range);
}

static tl_status prepare(cpu_kernel *kernel) {
    kernel->run = run;
    return tl__cpu_expect(kernel, "fif");
}

const cpu_implementation tl__cpu_dropout_implementations[] = {{"dropout", prepare}, {NULL, NULL}};
