/* pool_common.h: from an operation's shapes and attributes to a cpu_pool. */
#ifndef TL_CPU_POOL_COMMON_H
#define TL_CPU_POOL_COMMON_H

#include "backends/cpu/cpu.h"
#include "backends/cpu/kernels.h"

/* `large` and `small` are the operands with the larger and the smaller map, `output` the one that is written.
 * Into kernel->data. */
static inline tl_status cpu_pool_plan(cpu_kernel *kernel, int large, int small, int output) {
    const int64_t *x = cpu_shape(kernel, large), *y = cpu_shape(kernel, small);
    cpu_pool *p = tl__cpu_allocate(kernel->device, sizeof(*p));
    if (!p)
        return TL_ERROR_MEMORY;
    *p = (cpu_pool){.n = x[0], .h = x[1], .w = x[2], .c = x[3], .oh = y[1], .ow = y[2]};
    for (int i = 0; i < 2; i++) {
        p->kernel[i] = kernel->op.kernel[i];
        p->stride[i] = kernel->op.stride[i] > 0 ? kernel->op.stride[i] : 1;
        p->pad[i] = kernel->op.pad[i];
        p->dilation[i] = kernel->op.dilation[i] > 0 ? kernel->op.dilation[i] : 1;
    }
    p->stream = p->c % 16 == 0 && cpu_streams(kernel->device, tl__cpu_bytes(kernel, output));
    kernel->data = p;
    return TL_OK;
}

static inline tl_status cpu_pool_expect(cpu_kernel *kernel, const char *types, int large, int small) {
    if (kernel->operands[large].desc.rank != 4 || kernel->operands[small].desc.rank != 4)
        return tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: pooling works on tensors of rank 4");
    return tl__cpu_expect(kernel, types);
}

#endif
