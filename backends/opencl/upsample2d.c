/* upsample2d.c: bilinear upsampling. */
#include "backends/opencl/upsample2d.h"

enum { X, Y };

static tl_status prepare(opencl_kernel *kernel) {
    opencl_pool p = {0};
    opencl_constant *table = NULL;
    const char *options;
    tl_status status = opencl_pool_stored(kernel, "xy", X, Y, &p, &options);
    if (status == TL_OK)
        status = opencl_upsample_table(kernel, &p, &table);
    if (status != TL_OK)
        return status;
    opencl_range range = opencl_channels_range(kernel, &p, p.outputs);
    return tl__opencl_launch(kernel, "upsample2d", options, "upsample2d", &range, "oociiiiii", X, Y, table, p.n, p.channels,
                             p.size[0], p.size[1], p.outputs[0], p.outputs[1]);
}

const opencl_implementation tl__opencl_upsample2d_implementations[] = {{"bilinear", prepare}, {NULL, NULL}};
