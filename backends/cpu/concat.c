/* concat.c: channels of several tensors side by side, and a range of a tensor's channels. */
#include <string.h>

#include "backends/cpu/cpu.h"

enum { INPUTS = 6, Y = INPUTS };
enum { FROM, TO };

static int64_t pixels_of(const cpu_kernel *kernel, int operand) {
    const int64_t *s = cpu_shape(kernel, operand);
    return s[0] * s[1] * s[2];
}

static void copy_pixels(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    const int64_t channels = cpu_shape(kernel, Y)[3];
    float *y = (float *)kernel->ptr[Y] + first * channels;
    (void)thread;
    for (int64_t pixel = first; pixel < last; pixel++)
        for (int i = 0; i < INPUTS; i++) {
            if (!cpu_present(kernel, i))
                continue;
            const int64_t count = cpu_shape(kernel, i)[3];
            memcpy(y, (const float *)kernel->ptr[i] + pixel * count, (size_t)count * sizeof(float));
            y += count;
        }
}

static void concat_run(cpu_kernel *kernel) {
    tl__cpu_parallel(kernel->device, pixels_of(kernel, Y), 1 + 8192 / cpu_shape(kernel, Y)[3], copy_pixels, kernel);
}

static tl_status concat_prepare(cpu_kernel *kernel) {
    tl_status status = tl__cpu_expect(kernel, "fffffff");
    int64_t channels = 0;
    bool fits = kernel->operands[Y].desc.rank == 4;
    for (int i = 0; i < INPUTS; i++) {
        if (!cpu_present(kernel, i))
            continue;
        fits = fits && kernel->operands[i].desc.rank == 4 && pixels_of(kernel, i) == pixels_of(kernel, Y);
        channels += cpu_shape(kernel, i)[3];
    }
    if (status == TL_OK && (!fits || channels != cpu_shape(kernel, Y)[3]))
        return tl__cpu_fail(kernel->device, TL_ERROR_ARGUMENT, "cpu: the shapes of a concatenation do not fit each other");
    kernel->run = concat_run;
    return status;
}

static void slice_pixels(void *user, int64_t first, int64_t last, int thread) {
    cpu_kernel *kernel = user;
    const int64_t all = cpu_shape(kernel, FROM)[3], count = cpu_shape(kernel, TO)[3];
    (void)thread;
    for (int64_t pixel = first; pixel < last; pixel++)
        memcpy((float *)kernel->ptr[TO] + pixel * count, (const float *)kernel->ptr[FROM] + pixel * all + kernel->op.first,
               (size_t)count * sizeof(float));
}

static void slice_run(cpu_kernel *kernel) {
    tl__cpu_parallel(kernel->device, pixels_of(kernel, TO), 1 + 8192 / cpu_shape(kernel, TO)[3], slice_pixels, kernel);
}

static tl_status slice_prepare(cpu_kernel *kernel) {
    tl_status status = tl__cpu_expect(kernel, "ff");
    const int64_t *from = cpu_shape(kernel, FROM), *to = cpu_shape(kernel, TO);
    if (status == TL_OK && (kernel->operands[FROM].desc.rank != 4 || kernel->operands[TO].desc.rank != 4 ||
                            pixels_of(kernel, FROM) != pixels_of(kernel, TO) || kernel->op.first < 0 ||
                            kernel->op.first + to[3] > from[3]))
        return tl__cpu_fail(kernel->device, TL_ERROR_ARGUMENT, "cpu: the shapes of a slice do not fit each other");
    kernel->run = slice_run;
    return status;
}

const cpu_implementation tl__cpu_concat_implementations[] = {{"concat", concat_prepare}, {NULL, NULL}};
const cpu_implementation tl__cpu_slice_implementations[] = {{"slice", slice_prepare}, {NULL, NULL}};
