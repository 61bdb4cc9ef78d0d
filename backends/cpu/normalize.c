/* normalize.c: bytes to floats, or to what is stored for them, by a table for each channel. */
#include <math.h>

#include "backends/cpu/cpu.h"
#include "backends/cpu/kernels.h"

enum { X, TABLE, Y };

static int64_t channels_of(const cpu_kernel *kernel) {
    return cpu_shape(kernel, X)[kernel->operands[X].desc.rank - 1];
}

static void rows(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    int64_t channels = channels_of(kernel);
    (void)thread;
    kernel->device->kernels->look_up((float *)kernel->ptr[Y] + first * channels,
                                     (const uint8_t *)kernel->ptr[X] + first * channels, kernel->ptr[TABLE],
                                     (size_t)(last - first), (size_t)channels);
}

static void run(cpu_kernel *kernel) {
    int64_t channels = channels_of(kernel);
    if (channels > 0)
        tl__cpu_parallel(kernel->device, tl__cpu_elements(kernel, X) / channels, 4096, rows, kernel);
}

static void stored_rows(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    int64_t channels = channels_of(kernel);
    (void)thread;
    kernel->device->kernels->stored_look_up((uint16_t *)kernel->ptr[Y] + first * channels,
                                            (const uint8_t *)kernel->ptr[X] + first * channels, kernel->ptr[TABLE],
                                            (size_t)(last - first), (size_t)channels);
}

static void stored_run(cpu_kernel *kernel) {
    int64_t channels = channels_of(kernel);
    if (channels > 0)
        tl__cpu_parallel(kernel->device, tl__cpu_elements(kernel, X) / channels, 4096, stored_rows, kernel);
}

static tl_status stored_prepare(cpu_kernel *kernel) {
    kernel->run = stored_run;
    return tl__cpu_expect(kernel, "bfh");
}

static tl_status prepare(cpu_kernel *kernel) {
    kernel->run = run;
    return tl__cpu_expect(kernel, "bff");
}

/* ---- to u8: the table is one of bytes, which the constant one becomes once ---- */

static void quantised_rows(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    int64_t channels = channels_of(kernel);
    (void)thread;
    kernel->device->kernels->quantised_look_up((uint8_t *)kernel->ptr[Y] + first * channels,
                                               (const uint8_t *)kernel->ptr[X] + first * channels, kernel->data,
                                               (size_t)(last - first), (size_t)channels);
}

static void quantised_run(cpu_kernel *kernel) {
    int64_t channels = channels_of(kernel);
    if (channels > 0)
        tl__cpu_parallel(kernel->device, tl__cpu_elements(kernel, X) / channels, 4096, quantised_rows, kernel);
}

static tl_status quantised_prepare(cpu_kernel *kernel) {
    const tl_constant *constant = kernel->operands[TABLE].constant;
    const float step = kernel->op.step[Y], zero = (float)kernel->op.zero[Y];
    const void *table;
    tl_status status = tl__cpu_expect(kernel, "bfb");
    if (status == TL_OK && (!constant || !(step > 0)))
        status = tl__cpu_fail(kernel->device, TL_UNSUPPORTED,
                              "cpu: normalize: int8 is for a constant table and a known step");
    if (status == TL_OK)
        status = constant->read(constant, &table);
    if (status != TL_OK)
        return status;
    const size_t count = (size_t)tl__cpu_elements(kernel, TABLE);
    uint8_t *bytes = kernel->data = tl__cpu_allocate(kernel->device, count + 1);
    if (!bytes)
        return TL_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const float value = rintf(((const float *)table)[i] / step) + zero;
        bytes[i] = (uint8_t)(value > 0 ? value < 255 ? value : 255 : 0);
    }
    kernel->derived |= 1u << TABLE;
    kernel->run = quantised_run;
    return TL_OK;
}

const cpu_implementation tl__cpu_normalize_implementations[] = {
    {"look up", prepare}, {"look up bf16", stored_prepare}, {"look up int8", quantised_prepare}, {NULL, NULL}};
