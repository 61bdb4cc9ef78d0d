/* tune_time.c: runs an implementation on made-up numbers, looks whether it computes what another one does, and how fast. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "backends/half.h"
#include "backends/opencl/tune.h"

#define ENOUGH 0.15  /* seconds of measuring */
#define PORTION 0.01 /* between two looks at the clock */
#define RUNS 64
#define TOLERANCE 1e-3 /* of what is typical: apart from errors, candidates differ in rounding alone (of a half by 2^-10) */

double tl__opencl_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void fill(void *x, int dtype, uint64_t count, uint32_t state) {
    for (uint64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        const float value = (float)(state >> 8) / 8388608.0f - 1.0f;
        if (dtype == TL_DTYPE_F16)
            ((uint16_t *)x)[i] = half_of(value);
        else
            ((float *)x)[i] = value;
    }
}

/* Halves that were read into the room of as many floats. From the end: what is wider overwrites only what was read. */
static void widen(float *x, uint64_t count) {
    for (uint64_t i = count; i-- > 0;) {
        uint16_t half;
        memcpy(&half, (const char *)x + i * sizeof(half), sizeof(half));
        const float value = half_value(half);
        memcpy((char *)x + i * sizeof(value), &value, sizeof(value));
    }
}

static tl_status give(opencl_trial *t, const tl_operand *operand, uint32_t i) {
    const uint64_t bytes = form_bytes(operand);
    tl_status status = tl__opencl_buffer_create(&t->device->base, bytes, &t->buffers[i]);
    if (status != TL_OK)
        return status;
    t->views[i] = (tl_view){t->buffers[i], 0, bytes};
    t->dtypes[i] = operand->desc.dtype;
    float *values = tl__opencl_allocate(t->device, (size_t)form_elements(operand) * sizeof(float));
    if (!values)
        return TL_ERROR_MEMORY;
    if (i < t->inputs) {
        fill(values, operand->desc.dtype, (uint64_t)form_elements(operand), i + 1);
        status = tl__opencl_queue_write(t->queue, &t->views[i], values);
        tl__opencl_release(t->device, values);
        return status;
    }
    t->expected[i - t->inputs] = values;
    return TL_OK;
}

tl_status tl__opencl_trial_begin(opencl_device *device, const tl_operand *operands, uint32_t inputs, uint32_t outputs,
                                 opencl_trial *trial) {
    *trial = (opencl_trial){.device = device, .inputs = inputs, .count = inputs + outputs, .first = true};
    uint64_t most = 0;
    tl_status status = tl__opencl_queue_create(&device->base, &trial->queue);
    for (uint32_t i = 0; i < trial->count && status == TL_OK; i++) {
        if (!form_present(&operands[i]) || operands[i].constant)
            continue;
        status = give(trial, &operands[i], i);
        const uint64_t floats = (uint64_t)form_elements(&operands[i]) * sizeof(float);
        most = i >= inputs && floats > most ? floats : most;
    }
    if (status == TL_OK && !(trial->got = tl__opencl_allocate(device, most)))
        status = TL_ERROR_MEMORY;
    if (status != TL_OK)
        tl__opencl_trial_end(trial);
    return status;
}

void tl__opencl_trial_end(opencl_trial *t) {
    if (t->queue)
        tl__opencl_queue_finish(t->queue);
    for (uint32_t i = 0; i <= t->count; i++)
        tl__opencl_buffer_destroy(&t->device->base, t->buffers[i]);
    for (int i = 0; i < TL_MAX_OUTPUTS; i++)
        tl__opencl_release(t->device, t->expected[i]);
    tl__opencl_release(t->device, t->got);
    tl__opencl_queue_destroy(&t->device->base, t->queue);
}

/* The workspace is each kernel's own. */
static tl_status bind(opencl_trial *t, tl_backend_kernel *kernel) {
    const uint32_t i = t->count;
    tl_status status = TL_OK;
    if (t->views[i].bytes < kernel->workspace) {
        tl__opencl_buffer_destroy(&t->device->base, t->buffers[i]);
        t->buffers[i] = NULL;
        t->views[i] = (tl_view){0};
        status = tl__opencl_buffer_create(&t->device->base, kernel->workspace, &t->buffers[i]);
        if (status == TL_OK)
            t->views[i] = (tl_view){t->buffers[i], 0, kernel->workspace};
    }
    return status == TL_OK ? kernel->ops->bind(kernel, t->views) : status;
}

static tl_status run(opencl_trial *t, tl_backend_kernel *kernel, int times) {
    tl_status status = TL_OK;
    for (int i = 0; i < times && status == TL_OK; i++)
        status = kernel->ops->enqueue(kernel, t->queue);
    tl_status finished = tl__opencl_queue_finish(t->queue);
    return status == TL_OK ? finished : status;
}

static tl_status poison(opencl_trial *t) {
    tl_status status = TL_OK;
    for (uint32_t i = t->inputs; i < t->count && status == TL_OK; i++)
        if (t->buffers[i]) {
            memset(t->got, 0xff, (size_t)t->views[i].bytes);
            status = tl__opencl_queue_write(t->queue, &t->views[i], t->got);
        }
    return status;
}

static tl_status compare(opencl_trial *t, bool *wrong) {
    tl_status status = TL_OK;
    for (uint32_t i = t->inputs; i < t->count && status == TL_OK; i++) {
        if (!t->buffers[i])
            continue;
        const uint64_t count = t->views[i].bytes / form_dtype_size(t->dtypes[i]);
        float *expected = t->expected[i - t->inputs];
        double *scale = &t->scale[i - t->inputs];
        status = tl__opencl_queue_read(t->queue, &t->views[i], t->first ? expected : t->got);
        if (status == TL_OK && t->dtypes[i] == TL_DTYPE_F16)
            widen(t->first ? expected : t->got, count);
        for (uint64_t k = 0; t->first && k < count && status == TL_OK; k++)
            *scale += fabs((double)expected[k]) / (double)count;
        for (uint64_t k = 0; !t->first && k < count && status == TL_OK; k++)
            *wrong |= !(fabs((double)t->got[k] - (double)expected[k]) <= TOLERANCE * (*scale + fabs((double)expected[k])));
        *wrong |= t->first && !isfinite(*scale);
    }
    t->first &= *wrong;
    return status;
}

tl_status tl__opencl_trial_run(opencl_trial *t, tl_backend_kernel *kernel, double best, bool *wrong, double *seconds) {
    *wrong = false;
    tl_status status = bind(t, kernel);
    if (status == TL_OK)
        status = poison(t);
    if (status == TL_OK)
        status = run(t, kernel, 1);
    if (status == TL_OK)
        status = compare(t, wrong);
    if (status != TL_OK || *wrong)
        return status;
    double least = 0, begin = tl__opencl_seconds();
    int times = 1, done = 0;
    while (status == TL_OK && (done == 0 || (done < RUNS && tl__opencl_seconds() - begin < ENOUGH &&
                                             (best <= 0 || least < 2 * best)))) {
        double at = tl__opencl_seconds(), each;
        status = run(t, kernel, times);
        each = (tl__opencl_seconds() - at) / times;
        least = done == 0 || each < least ? each : least;
        times = each * 16 < PORTION ? 16 : each < PORTION ? (int)(PORTION / each) + 1 : 1;
        done++;
    }
    *seconds = least;
    return status;
}
