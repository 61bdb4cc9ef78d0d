/* tune.h: which of its ways a convolution goes is measured by `tl tune cpu`, kept on disk, and asked for by prepare;
 * see backends/tuned.h.
 *
 * What is chosen between rounds differently, so a choice is one for every batch and every number of threads: neither is
 * in its form or in the device's identity. The option "winograd" overrules all choices. */
#ifndef TL_CPU_TUNE_H
#define TL_CPU_TUNE_H

#include "backends/cpu/cpu.h"

/* Makes device->tuning, but not where the option winograd leaves nothing to choose. TL_ERROR_MEMORY. */
tl_status tl__cpu_tuned_begin(cpu_device *device);
void tl__cpu_tuned_release(cpu_device *device);
/* What was remembered for the kernel's form, or NULL. */
const char *tl__cpu_tuned(cpu_kernel *kernel);
/* Of the choices that results of inference depend on; 0: there are none. */
uint64_t tl__cpu_tuned_hash(cpu_device *device);

/* The entries of the two tables. */
tl_status tl__cpu_tune(tl_backend_device *device, const tl_op_desc *op, const tl_operand *operands,
                       uint32_t input_count, uint32_t output_count, const tl_tuning *tuning);
tl_status tl__cpu_tuned_each(const tl_host *host, uint32_t index, int forget, void *user,
                             void (*each)(void *user, const tl_tuned *tuned));

/* ---- tune_time.c ---- */

#define CPU_CANDIDATES 4

/* Prepared ways of one form, with memory for its operands, filled with numbers. */
typedef struct cpu_trial {
    cpu_device *device;
    cpu_kernel *kernels[CPU_CANDIDATES];
    double seconds[CPU_CANDIDATES]; /* of one run, at its fastest; below 0: it computes other numbers than the first */
    int count;
    uint32_t inputs;
    float *operands[CPU_OPERANDS], *expected[TL_MAX_OUTPUTS];
    float *passing; /* what goes through the caches between two runs */
    void *workspace;
} cpu_trial;

/* Runs the kernels in turns. TL_ERROR_MEMORY. */
tl_status tl__cpu_trial_run(cpu_trial *trial);

#endif
