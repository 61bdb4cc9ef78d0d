/* batchnorm_grad.c: batch-norm backward. */
#include <math.h>

#include "backends/cpu/batchnorm_common.h"
#include "backends/cpu/kernels.h"

enum { X, DY, SCALE, MEAN, VAR, Y, DX, DSCALE, DSHIFT };
enum { FACTOR, CONSTANT, SLOPE, PARAMETERS };

static cpu_channel_grad rows_from(cpu_kernel *kernel, int64_t first) {
    int64_t at = first * cpu_batchnorm_of(kernel)->channels;
    const float *y = kernel->ptr[Y];
    return (cpu_channel_grad){
        .x = (const float *)kernel->ptr[X] + at,
        .dy = (const float *)kernel->ptr[DY] + at,
        .y = y ? y + at : NULL,
        .mean = kernel->ptr[MEAN],
        .factor = cpu_batchnorm_parameter(kernel, FACTOR),
        .constant = cpu_batchnorm_parameter(kernel, CONSTANT),
        .slope = cpu_batchnorm_parameter(kernel, SLOPE),
    };
}

static int streams(const cpu_kernel *kernel) {
    const cpu_batchnorm *b = cpu_batchnorm_of(kernel);
    return kernel->ptr[DX] != kernel->ptr[DY] && b->channels == b->padded &&
           cpu_streams(kernel->device, tl__cpu_bytes(kernel, DX));
}

static double invstd(const cpu_kernel *kernel, int64_t c) {
    double var = ((const float *)kernel->ptr[VAR])[c];
    return kernel->op.statistics == TL_STATISTICS_BATCH ? var : 1 / sqrt(var + kernel->op.eps);
}

static void make_factor(cpu_kernel *kernel) {
    const float *scale = kernel->ptr[SCALE];
    float *factor = cpu_batchnorm_parameter(kernel, FACTOR);
    for (int64_t c = 0; c < cpu_batchnorm_of(kernel)->channels; c++)
        factor[c] = (float)(scale[c] * invstd(kernel, c));
}

/* With stored statistics dx needs no sums: one pass gives all. */
static void add_sums(cpu_kernel *kernel, int64_t first, int64_t count, float *sum, float *product) {
    cpu_channel_grad g = rows_from(kernel, first);
    int64_t channels = cpu_batchnorm_of(kernel)->channels;
    float *dx = kernel->op.statistics == TL_STATISTICS_BATCH ? NULL : kernel->ptr[DX];
    kernel->device->kernels->channel_grad_sums(dx ? dx + first * channels : NULL, sum, product, &g, (size_t)count,
                                               (size_t)channels);
}

static void give_sums(cpu_kernel *kernel) {
    const double *sum = cpu_batchnorm_total(kernel, 0), *product = cpu_batchnorm_total(kernel, 1);
    float *dscale = kernel->ptr[DSCALE], *dshift = kernel->ptr[DSHIFT];
    for (int64_t c = 0; c < cpu_batchnorm_of(kernel)->channels; c++) {
        if (dscale)
            dscale[c] = (float)(product[c] * invstd(kernel, c));
        if (dshift)
            dshift[c] = (float)sum[c];
    }
}

static void scale_rows(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    cpu_channel_grad g = rows_from(kernel, first);
    int64_t channels = cpu_batchnorm_of(kernel)->channels;
    (void)thread;
    kernel->device->kernels->channel_grad_scale((float *)kernel->ptr[DX] + first * channels, &g,
                                                (size_t)(last - first), (size_t)channels, streams(kernel));
}

static void apply_rows(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    cpu_channel_grad g = rows_from(kernel, first);
    int64_t channels = cpu_batchnorm_of(kernel)->channels;
    (void)thread;
    kernel->device->kernels->channel_grad_apply((float *)kernel->ptr[DX] + first * channels, &g,
                                                (size_t)(last - first), (size_t)channels, streams(kernel));
}

static void run_scale(cpu_kernel *kernel) {
    make_factor(kernel);
    tl__cpu_batchnorm_rows(kernel, scale_rows);
}

static void run_sums(cpu_kernel *kernel) {
    make_factor(kernel);
    tl__cpu_batchnorm_sums(kernel, add_sums);
    give_sums(kernel);
}

static void run_batch(cpu_kernel *kernel) {
    const cpu_batchnorm *b = cpu_batchnorm_of(kernel);
    run_sums(kernel);
    if (!kernel->ptr[DX])
        return;
    const double *sum = cpu_batchnorm_total(kernel, 0), *product = cpu_batchnorm_total(kernel, 1);
    float *constant = cpu_batchnorm_parameter(kernel, CONSTANT), *slope = cpu_batchnorm_parameter(kernel, SLOPE);
    for (int64_t c = 0; c < b->channels; c++) {
        double s = invstd(kernel, c);
        constant[c] = (float)(sum[c] / (double)b->rows);
        slope[c] = (float)(product[c] * s * s / (double)b->rows);
    }
    tl__cpu_batchnorm_rows(kernel, apply_rows);
}

static tl_status prepare(cpu_kernel *kernel) {
    tl_status status = tl__cpu_expect(kernel, "fffffffff");
    if (status != TL_OK)
        return status;
    bool sums = cpu_present(kernel, DSCALE) || cpu_present(kernel, DSHIFT), dx = cpu_present(kernel, DX);
    if (kernel->op.statistics == TL_STATISTICS_BATCH)
        kernel->run = dx || sums ? run_batch : NULL;
    else
        kernel->run = sums ? run_sums : dx ? run_scale : NULL;
    return tl__cpu_batchnorm_plan(kernel, PARAMETERS);
}

const cpu_implementation tl__cpu_batchnorm_grad_implementations[] = {{"batchnorm_grad", prepare}, {NULL, NULL}};
