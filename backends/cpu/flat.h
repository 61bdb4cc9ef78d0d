/* flat.h: operations that go over a tensor element by element, whatever its shape. */
#ifndef TL_CPU_FLAT_H
#define TL_CPU_FLAT_H

#include "backends/cpu/cpu.h"

/* Ranges begin at multiples of it, so that vector stores past the caches are aligned. */
#define CPU_FLAT_UNIT 1024

typedef struct cpu_flat {
    cpu_kernel *kernel;
    int64_t elements;
    int stream; /* store past the caches */
} cpu_flat;

/* From units to elements. */
static inline void cpu_flat_range(const cpu_flat *flat, int64_t *first, int64_t *last) {
    *first *= CPU_FLAT_UNIT;
    *last *= CPU_FLAT_UNIT;
    if (*last > flat->elements)
        *last = flat->elements;
}

/* Calls `body` (user: cpu_flat) for ranges of units of `operand`. `in_place`: the output is an input too, thus
 * already in the caches. */
static inline void cpu_flat_run(cpu_kernel *kernel, int operand, bool in_place, cpu_range *body) {
    cpu_flat flat = {kernel, tl__cpu_elements(kernel, operand), 0};
    flat.stream = !in_place && cpu_streams(kernel->device, (uint64_t)flat.elements * sizeof(float));
    tl__cpu_parallel(kernel->device, (flat.elements + CPU_FLAT_UNIT - 1) / CPU_FLAT_UNIT, 16, body, &flat);
}

#endif
