/* normalize.c: bytes to floats by a table for each channel. */
#include "backends/opencl/elementwise.h"

enum { X, TABLE, Y };

static tl_status prepare(opencl_kernel *kernel) {
    const char *options;
    tl_status status = tl__opencl_expect_stored(kernel, "bfy", &options);
    if (status != TL_OK)
        return status;
    int64_t channels = opencl_shape(kernel, X)[kernel->operands[X].desc.rank - 1];
    int64_t pixels = channels ? opencl_elements(kernel, X) / channels : 0;
    bool vectors = kernel->device->vectors;
    int each = vectors ? 1024 : 1;
    opencl_range range = {.global = {(size_t)((pixels + each - 1) / each)}, .local = {vectors ? 1 : 64}};
    return tl__opencl_launch(kernel, "normalize", options, "look_up", &range, "ooolii", X, TABLE, Y, pixels, (int)channels,
                             each);
}

const opencl_implementation tl__opencl_normalize_implementations[] = {{"look up", prepare}, {NULL, NULL}};
