/* channels.h: copies of channels from one tensor into another with the same pixels. */
#ifndef TL_OPENCL_CHANNELS_H
#define TL_OPENCL_CHANNELS_H

#include "backends/opencl/elementwise.h"

/* A work-item for each WIDE channels of each pixel. */
static inline tl_status opencl_copy_channels(opencl_kernel *kernel, const char *options, int from, int64_t from_first, int to,
                                             int64_t to_first, int64_t count) {
    const int64_t *x = opencl_shape(kernel, from), *y = opencl_shape(kernel, to);
    if (kernel->operands[from].desc.rank != 4 || kernel->operands[to].desc.rank != 4 || x[0] != y[0] || x[1] != y[1] ||
        x[2] != y[2] || from_first < 0 || from_first + count > x[3] || to_first + count > y[3] || x[3] > INT32_MAX ||
        y[3] > INT32_MAX)
        return tl__opencl_fail(kernel->device, TL_ERROR_ARGUMENT, "%s: the shapes do not fit each other", kernel->stem);
    int64_t pixels = x[0] * x[1] * x[2], parts = (count + opencl_wide(kernel) - 1) / opencl_wide(kernel);
    opencl_range range = {.global = {(size_t)parts, (size_t)pixels}, .local = {1, 8}};
    if (!kernel->device->vectors) {
        range.local[0] = parts < 8 ? 4 : 16;
        range.local[1] = 64 / range.local[0];
    }
    return tl__opencl_launch(kernel, "channels", options, "copy_channels", &range, "ooliiiii", from, to, pixels, (int)count,
                             (int)x[3], (int)from_first, (int)y[3], (int)to_first);
}

#endif
