/* cross_entropy_grad.c: the gradient of the loss by the logits. */
#include "backends/opencl/cross_entropy.h"

enum { LOGITS, TARGET, WEIGHT, LOSS, DLOGITS };

static tl_status prepare(opencl_kernel *kernel) {
    opencl_rows r = {0};
    tl_status status = tl__opencl_expect(kernel, "fifff");
    if (status == TL_OK)
        status = opencl_rows_of(kernel, &r);
    if (status != TL_OK)
        return status;
    opencl_range range = {.global = {(size_t)r.groups}, .local = {kernel->device->vectors ? 1 : 64}};
    return tl__opencl_launch(kernel, "cross_entropy", "", "rows_gradient", &range, "oooooliiiffff", LOGITS, TARGET,
                             WEIGHT, LOSS, DLOGITS, r.rows, r.classes, r.step, (int)kernel->op.ignore_index,
                             (double)kernel->op.smoothing, OPENCL_TWICE(1 - (double)kernel->op.smoothing),
                             (double)kernel->op.scale);
}

const opencl_implementation tl__opencl_cross_entropy_grad_implementations[] = {{"rows", prepare}, {NULL, NULL}};
