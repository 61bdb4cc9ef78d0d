/* tune.h: which implementation a convolution has is measured by `tl tune`, kept on disk, and asked for by prepare; see
 * backends/tuned.h. */
#ifndef TL_OPENCL_TUNE_H
#define TL_OPENCL_TUNE_H

#include "backends/opencl/opencl.h"
#include "backends/tuned.h"

/* What was remembered for the kernel's form, or NULL. */
const char *tl__opencl_tuned(opencl_kernel *kernel);
void tl__opencl_tuned_release(opencl_device *device);

/* The entries of the two tables. */
tl_status tl__opencl_tune(tl_backend_device *device, const tl_op_desc *op, const tl_operand *operands,
                          uint32_t input_count, uint32_t output_count, const tl_tuning *tuning);
tl_status tl__opencl_tuned_each(const tl_host *host, uint32_t index, int forget, void *user,
                                void (*each)(void *user, const tl_tuned *tuned));

/* ---- tune_store.c ---- */

/* The device's results, read where they were not yet; NULL: none. */
tuned_choice *tl__opencl_tuned_list(opencl_device *device);
tuned_choice *tl__opencl_tuned_find(opencl_device *device, const char *form);
/* Remembers, now and on disk. TL_ERROR_MEMORY; TL_ERROR_IO where nothing can be kept. */
tl_status tl__opencl_tuned_keep(opencl_device *device, const char *form, const char *implementation, double seconds);

/* ---- tune_time.c ---- */

double tl__opencl_seconds(void);

/* A prepared form with memory for its operands, filled with numbers. */
typedef struct opencl_trial {
    opencl_device *device;
    tl_backend_queue *queue;
    tl_backend_buffer *buffers[OPENCL_OPERANDS + 1];
    tl_view views[OPENCL_OPERANDS + 1];
    uint32_t inputs, count;
    int dtypes[OPENCL_OPERANDS];
    float *expected[TL_MAX_OUTPUTS], *got; /* what the first implementation computes, and this one */
    double scale[TL_MAX_OUTPUTS];
    bool first;
} opencl_trial;

tl_status tl__opencl_trial_begin(opencl_device *device, const tl_operand *operands, uint32_t inputs, uint32_t outputs,
                                 opencl_trial *trial);
void tl__opencl_trial_end(opencl_trial *trial);
/* Runs a kernel, compares what it computes with what the first one did, and times it, with less care where it takes
 * twice as long as `best` (0: none yet). *wrong: it computes otherwise. */
tl_status tl__opencl_trial_run(opencl_trial *trial, tl_backend_kernel *kernel, double best, bool *wrong, double *seconds);

/* ---- tune_blas.c ---- */

/* Measures CLBlast's parameters where that was not done yet, and keeps them. */
tl_status tl__opencl_tune_blas(opencl_device *device, const tl_tuning *tuning);
/* Gives CLBlast what was kept. */
tl_status tl__opencl_tuned_blas(opencl_device *device);

#endif
