/* slice.c: a range of a tensor's channels. */
#include "backends/opencl/channels.h"

enum { X, Y };

static tl_status prepare(opencl_kernel *kernel) {
    const char *options;
    tl_status status = tl__opencl_expect_stored(kernel, "xy", &options);
    if (status != TL_OK)
        return status;
    return opencl_copy_channels(kernel, options, X, kernel->op.first, Y, 0, opencl_shape(kernel, Y)[3]);
}

const opencl_implementation tl__opencl_slice_implementations[] = {{"channels", prepare}, {NULL, NULL}};
