/* maxpool2d_grad.c: the gradient of maximum pooling: each pixel looks at the windows that it is in. */
#include "backends/opencl/pool.h"

enum { DY, INDEX, DX };

static tl_status prepare(opencl_kernel *kernel) {
    opencl_pool p = {0};
    tl_status status = opencl_pool_of(kernel, "fbf", DX, DY, &p);
    if (status == TL_OK)
        status = opencl_pool_index_fits(kernel);
    if (status != TL_OK)
        return status;
    opencl_range range = opencl_pool_range(kernel, &p, p.size);
    return tl__opencl_launch(kernel, "pool", "", "maxpool2d_grad", &range, "ooo" OPENCL_POOL_LETTERS, DY, INDEX, DX,
                             OPENCL_POOL_ARGUMENTS(p, kernel->op));
}

const opencl_implementation tl__opencl_maxpool2d_grad_implementations[] = {{"pixels", prepare}, {NULL, NULL}};
