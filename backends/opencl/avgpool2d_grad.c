/* avgpool2d_grad.c: the gradient of adaptive average pooling. */
#include "backends/opencl/pool.h"

enum { DY, DX };

static tl_status prepare(opencl_kernel *kernel) {
    opencl_pool p = {0};
    tl_status status = opencl_pool_of(kernel, "ff", DX, DY, &p);
    if (status != TL_OK)
        return status;
    opencl_range range = opencl_pool_range(kernel, &p, p.size);
    return tl__opencl_launch(kernel, "pool", "", "avgpool2d_grad", &range, "ooiiiiii", DY, DX, p.n, p.channels,
                             p.size[0], p.size[1], p.outputs[0], p.outputs[1]);
}

const opencl_implementation tl__opencl_avgpool2d_grad_implementations[] = {{"pixels", prepare}, {NULL, NULL}};
