/* normalize.c: bytes to floats by a table for each channel. */
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

const cpu_implementation tl__cpu_normalize_implementations[] = {
    {"look up", prepare}, {"look up bf16", stored_prepare}, {NULL, NULL}};
