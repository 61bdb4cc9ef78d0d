/* dice_grad.c: the gradient of the soft Dice loss by the logits. */
#include "backends/opencl/cross_entropy.h"

enum { LOGITS, TARGET, SUMS, DLOGITS };
enum { SOME = 64 }; /* rows of a work-item on CPUs */

static tl_status prepare(opencl_kernel *kernel) {
    opencl_rows r = {0};
    tl_status status = tl__opencl_expect(kernel, "fiff");
    if (status == TL_OK)
        status = opencl_rows_of(kernel, &r);
    if (status != TL_OK)
        return status;
    const bool vectors = kernel->device->vectors;
    const int64_t rows = r.rows, wide = opencl_wide(kernel), each = vectors ? SOME : 1;
    const uint64_t slopes = (uint64_t)((r.classes + wide - 1) / wide * wide) * sizeof(float);
    uint64_t a = tl__opencl_workspace(kernel, slopes), b = tl__opencl_workspace(kernel, slopes);
    opencl_range one = {.global = {1}, .local = {1}};
    opencl_range range = {.global = {(size_t)((rows + each - 1) / each)}, .local = {vectors ? 1 : 64}};
    status = tl__opencl_launch(kernel, "dice", "", "dice_slopes", &one, "owwiff", SUMS, a, b, r.classes,
                               (double)kernel->op.eps, (double)kernel->op.scale);
    if (status != TL_OK)
        return status;
    return tl__opencl_launch(kernel, "dice", "", "dice_gradient", &range, "oowwoliii", LOGITS, TARGET, a, b, DLOGITS,
                             rows, r.classes, (int)each, (int)kernel->op.ignore_index);
}

const opencl_implementation tl__opencl_dice_grad_implementations[] = {{"rows", prepare}, {NULL, NULL}};
