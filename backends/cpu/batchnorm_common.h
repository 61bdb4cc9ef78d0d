/* batchnorm_common.h: what the two passes of batch-norm share: the cut of the rows into blocks, and sums per
 * channel over them that do not depend on the number of threads. */
#ifndef TL_CPU_BATCHNORM_COMMON_H
#define TL_CPU_BATCHNORM_COMMON_H

#include "backends/cpu/cpu.h"

#define CPU_BATCHNORM_RUN 64 /* rows summed in f32 before they go into f64 */

typedef struct cpu_batchnorm {
    int64_t rows, channels, padded; /* padded: channels rounded up to whole cache lines */
    int64_t blocks, block_rows;
    /* Offsets into the workspace in bytes: f64 [blocks][2][padded], f32 [threads][2][padded], and f32 [padded]
     * for each parameter that the loops want. */
    uint64_t totals, partial, parameters;
} cpu_batchnorm;

/* Into kernel->data, and base.workspace; `parameters` arrays of a float a channel. */
tl_status tl__cpu_batchnorm_plan(cpu_kernel *kernel, int parameters);

static inline const cpu_batchnorm *cpu_batchnorm_of(const cpu_kernel *kernel) {
    return kernel->data;
}
static inline float *cpu_batchnorm_parameter(const cpu_kernel *kernel, int i) {
    const cpu_batchnorm *b = kernel->data;
    return (float *)((char *)kernel->workspace + b->parameters) + i * b->padded;
}

/* Adds up two sums per channel over all rows: `add` adds those of rows first .. first + count - 1 to a[channels] and
 * b[channels]. The totals are then at cpu_batchnorm_total 0 and 1. */
typedef void cpu_batchnorm_add(cpu_kernel *kernel, int64_t first, int64_t count, float *a, float *b);
void tl__cpu_batchnorm_sums(cpu_kernel *kernel, cpu_batchnorm_add *add);
static inline const double *cpu_batchnorm_total(const cpu_kernel *kernel, int which) {
    const cpu_batchnorm *b = kernel->data;
    return (const double *)((const char *)kernel->workspace + b->totals) + which * b->padded;
}

/* Calls `body` (user: kernel) for ranges of rows. */
void tl__cpu_batchnorm_rows(cpu_kernel *kernel, cpu_range *body);

#endif
