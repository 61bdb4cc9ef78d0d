/* maxpool2d.c: maximum pooling. */
#include "backends/opencl/pool.h"

enum { X, Y, INDEX };

static tl_status prepare(opencl_kernel *kernel) {
    opencl_pool p = {0};
    const char *options;
    tl_status status = opencl_pool_stored(kernel, "xyb", X, Y, &p, &options);
    if (status == TL_OK && opencl_present(kernel, INDEX))
        status = opencl_pool_index_fits(kernel);
    if (status != TL_OK)
        return status;
    opencl_range range = opencl_pool_range(kernel, &p, p.outputs);
    return tl__opencl_launch(kernel, "pool", options, "maxpool2d", &range, "ooo" OPENCL_POOL_LETTERS, X, Y, INDEX,
                             OPENCL_POOL_ARGUMENTS(p, kernel->op));
}

const opencl_implementation tl__opencl_maxpool2d_implementations[] = {{"windows", prepare}, {NULL, NULL}};
