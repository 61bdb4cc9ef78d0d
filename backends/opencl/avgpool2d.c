/* avgpool2d.c: adaptive average pooling. */
#include "backends/opencl/pool.h"

enum { X, Y };

static tl_status prepare(opencl_kernel *kernel) {
    opencl_pool p = {0};
    const char *options;
    tl_status status = opencl_pool_stored(kernel, "xy", X, Y, &p, &options);
    if (status != TL_OK)
        return status;
    opencl_range range = opencl_channels_range(kernel, &p, p.outputs);
    return tl__opencl_launch(kernel, "pool", options, "avgpool2d", &range, "ooiiiiii", X, Y, p.n, p.channels, p.size[0],
                             p.size[1], p.outputs[0], p.outputs[1]);
}

const opencl_implementation tl__opencl_avgpool2d_implementations[] = {{"windows", prepare}, {NULL, NULL}};
