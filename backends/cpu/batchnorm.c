/* batchnorm.c: batch-norm forward, with stored statistics or with those of the batch. */
#include "backends/cpu/batchnorm_common.h"

#include <math.h>
#include <string.h>

#include "backends/cpu/kernels.h"

enum { X, SCALE, SHIFT, MEAN, VAR, RESIDUAL, Y, SAVED_MEAN, SAVED_INVSTD };
#define NARROW 256 /* channels at a time that go through f32 */

enum { PIVOT, CENTRE = PIVOT, FACTOR, OFFSET, PARAMETERS };

/* Variance from sums of squares is only sound near the mean: a first guess of it is the mean of some rows, evenly
 * spaced. However the values are spread, that is within few standard deviations, and the error of the variance is
 * a rounding error times 1 + the square of their number. */
static void guess_mean(cpu_kernel *kernel, float *pivot) {
    const cpu_batchnorm *b = cpu_batchnorm_of(kernel);
    int64_t samples = b->rows < 32 ? b->rows : 32;
    memset(pivot, 0, (size_t)b->padded * sizeof(float));
    for (int64_t i = 0; i < samples; i++) {
        const float *x = (const float *)kernel->ptr[X] + i * b->rows / samples * b->channels;
        for (int64_t c = 0; c < b->channels; c++)
            pivot[c] += x[c] / (float)samples;
    }
}

static void add_moments(cpu_kernel *kernel, int64_t first, int64_t count, float *sum, float *square) {
    const cpu_batchnorm *b = cpu_batchnorm_of(kernel);
    kernel->device->kernels->channel_moments(sum, square, (const float *)kernel->ptr[X] + first * b->channels,
                                             cpu_batchnorm_parameter(kernel, PIVOT), (size_t)count,
                                             (size_t)b->channels);
}

static void apply(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    const cpu_batchnorm *b = cpu_batchnorm_of(kernel);
    int64_t at = first * b->channels;
    const float *residual = kernel->ptr[RESIDUAL];
    bool in_place = kernel->ptr[Y] == kernel->ptr[X] || kernel->ptr[Y] == residual;
    int stream = !in_place && b->channels == b->padded &&
                 cpu_streams(kernel->device, tl__cpu_bytes(kernel, Y));
    (void)thread;
    kernel->device->kernels->channel_affine(
        (float *)kernel->ptr[Y] + at, (const float *)kernel->ptr[X] + at, residual ? residual + at : NULL,
        cpu_batchnorm_parameter(kernel, CENTRE), cpu_batchnorm_parameter(kernel, FACTOR),
        cpu_batchnorm_parameter(kernel, OFFSET), (size_t)(last - first), (size_t)b->channels, kernel->op.relu, stream);
}

/* The same where values are stored in bf16: some rows at a time go through f32. */
static void apply_narrow(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    const cpu_batchnorm *b = cpu_batchnorm_of(kernel);
    const cpu_kernels *kernels = kernel->device->kernels;
    const uint16_t *x = kernel->ptr[X], *residual = kernel->ptr[RESIDUAL];
    const bool wide = kernel->operands[Y].desc.dtype == TL_DTYPE_F32;
    (void)thread;
    for (int64_t row = first; row < last; row++)
        for (int64_t c = 0; c < b->channels; c += NARROW) {
            float from[NARROW], more[NARROW], to[NARROW];
            const int64_t at = row * b->channels + c;
            const size_t count = (size_t)(b->channels - c < NARROW ? b->channels - c : NARROW);
            kernels->stored_widen(from, x + at, count);
            if (residual)
                kernels->stored_widen(more, residual + at, count);
            kernels->channel_affine(wide ? (float *)kernel->ptr[Y] + at : to, from, residual ? more : NULL,
                                    cpu_batchnorm_parameter(kernel, CENTRE) + c,
                                    cpu_batchnorm_parameter(kernel, FACTOR) + c,
                                    cpu_batchnorm_parameter(kernel, OFFSET) + c, 1, count, kernel->op.relu, 0);
            if (!wide)
                kernels->stored_narrow((uint16_t *)kernel->ptr[Y] + at, to, count);
        }
}

static void run_stored(cpu_kernel *kernel) {
    const cpu_batchnorm *b = cpu_batchnorm_of(kernel);
    const float *scale = kernel->ptr[SCALE], *mean = kernel->ptr[MEAN], *var = kernel->ptr[VAR];
    float *centre = cpu_batchnorm_parameter(kernel, CENTRE), *factor = cpu_batchnorm_parameter(kernel, FACTOR);
    memcpy(cpu_batchnorm_parameter(kernel, OFFSET), kernel->ptr[SHIFT], (size_t)b->channels * sizeof(float));
    for (int64_t c = 0; c < b->channels; c++) {
        centre[c] = mean[c];
        factor[c] = (float)(scale[c] / sqrt((double)var[c] + kernel->op.eps));
    }
    tl__cpu_batchnorm_rows(kernel, kernel->operands[X].desc.dtype == TL_DTYPE_F32 ? apply : apply_narrow);
}

static void run_batch(cpu_kernel *kernel) {
    const cpu_batchnorm *b = cpu_batchnorm_of(kernel);
    const float *scale = kernel->ptr[SCALE], *shift = kernel->ptr[SHIFT];
    float *offset = cpu_batchnorm_parameter(kernel, OFFSET);
    float *mean = kernel->ptr[MEAN], *var = kernel->ptr[VAR];
    float *saved_mean = kernel->ptr[SAVED_MEAN], *saved_invstd = kernel->ptr[SAVED_INVSTD];
    float *centre = cpu_batchnorm_parameter(kernel, CENTRE), *factor = cpu_batchnorm_parameter(kernel, FACTOR);
    guess_mean(kernel, centre);
    tl__cpu_batchnorm_sums(kernel, add_moments);
    const double *sum = cpu_batchnorm_total(kernel, 0), *square = cpu_batchnorm_total(kernel, 1);
    double count = (double)b->rows, momentum = kernel->op.momentum;
    double unbiased = b->rows > 1 ? count / (count - 1) : 1;
    for (int64_t c = 0; c < b->channels; c++) {
        double d = sum[c] / count, m = centre[c] + d, v = square[c] / count - d * d;
        v = v < 0 ? 0 : v;
        double invstd = 1 / sqrt(v + kernel->op.eps);
        mean[c] = (float)((1 - momentum) * mean[c] + momentum * m);
        var[c] = (float)((1 - momentum) * var[c] + momentum * v * unbiased);
        if (saved_mean)
            saved_mean[c] = (float)m;
        if (saved_invstd)
            saved_invstd[c] = (float)invstd;
        centre[c] = (float)m;
        factor[c] = (float)(scale[c] * invstd);
        /* What rounding took from the mean would shift the whole channel, by much where its spread is small. */
        offset[c] = (float)(shift[c] - (m - centre[c]) * factor[c]);
    }
    tl__cpu_batchnorm_rows(kernel, apply);
}

/* The outputs that only batch statistics give are there for the asking in either mode. */
static void run_stored_saving(cpu_kernel *kernel) {
    const cpu_batchnorm *b = cpu_batchnorm_of(kernel);
    const float *mean = kernel->ptr[MEAN], *var = kernel->ptr[VAR];
    float *saved_mean = kernel->ptr[SAVED_MEAN], *saved_invstd = kernel->ptr[SAVED_INVSTD];
    run_stored(kernel);
    for (int64_t c = 0; c < b->channels; c++) {
        if (saved_mean)
            saved_mean[c] = mean[c];
        if (saved_invstd)
            saved_invstd[c] = (float)(1 / sqrt((double)var[c] + kernel->op.eps));
    }
}

static tl_status prepare(cpu_kernel *kernel) {
    const bool narrow = kernel->operands[X].desc.dtype == TL_DTYPE_BF16 && kernel->op.statistics == TL_STATISTICS_STORED &&
                        !cpu_present(kernel, SAVED_MEAN) && !cpu_present(kernel, SAVED_INVSTD);
    tl_status status = tl__cpu_expect(kernel, narrow ? "hffffhaff" : "fffffffff");
    if (status != TL_OK)
        return status;
    bool saving = cpu_present(kernel, SAVED_MEAN) || cpu_present(kernel, SAVED_INVSTD);
    kernel->run = kernel->op.statistics == TL_STATISTICS_BATCH ? run_batch : saving ? run_stored_saving : run_stored;
    return tl__cpu_batchnorm_plan(kernel, PARAMETERS);
}

const cpu_implementation tl__cpu_batchnorm_implementations[] = {{"batchnorm", prepare}, {NULL, NULL}};
