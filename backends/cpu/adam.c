/* adam.c: the optimiser's step over a flat buffer of parameters in segments. */
#include "backends/cpu/cpu.h"
#include "backends/cpu/flat.h"
#include "backends/cpu/kernels.h"

enum { PARAM, GRAD, M, V, SEGMENTS, TABLE };
enum { COLUMNS = 8 };

static void range(void *user, int64_t first, int64_t last, int thread) {
    cpu_flat *f = user;
    cpu_kernel *kernel = f->kernel;
    const int64_t *segments = kernel->ptr[SEGMENTS];
    int64_t count = tl__cpu_elements(kernel, SEGMENTS) - 1;
    (void)thread;
    cpu_flat_range(f, &first, &last);
    for (int64_t s = 0; s < count; s++) {
        int64_t from = segments[s] > first ? segments[s] : first, to = segments[s + 1] < last ? segments[s + 1] : last;
        if (from < to)
            kernel->device->kernels->adam((float *)kernel->ptr[PARAM] + from, (const float *)kernel->ptr[GRAD] + from,
                                          (float *)kernel->ptr[M] + from, (float *)kernel->ptr[V] + from,
                                          (size_t)(to - from), (const float *)kernel->ptr[TABLE] + s * COLUMNS);
    }
}

static void run(cpu_kernel *kernel) {
    cpu_flat_run(kernel, PARAM, true, range);
}

static tl_status prepare(cpu_kernel *kernel) {
    kernel->run = run;
    return tl__cpu_expect(kernel, "fffflf");
}

const cpu_implementation tl__cpu_adam_implementations[] = {{"adam", prepare}, {NULL, NULL}};
