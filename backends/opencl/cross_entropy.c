/* cross_entropy.c: the loss of rows of logits: sums of groups of rows, then sums of these. */
#include "backends/opencl/cross_entropy.h"

enum { LOGITS, TARGET, WEIGHT, LOSS };
enum { MOST = 64, SUMS = 6 }; /* sums that one work-item adds up; numbers of each, see kernels/cross_entropy.cl */

static uint64_t room(opencl_kernel *kernel, int64_t items) {
    return tl__opencl_workspace(kernel, (uint64_t)(items * SUMS * opencl_wide(kernel)) * sizeof(float));
}

static tl_status add_sums(opencl_kernel *kernel, uint64_t at, int64_t count) {
    tl_status status = TL_OK;
    while (count > MOST && status == TL_OK) {
        int64_t fewer = (count + MOST - 1) / MOST;
        uint64_t to = room(kernel, fewer);
        opencl_range range = {.global = {(size_t)fewer}, .local = {kernel->device->vectors ? 1 : 64}};
        status = tl__opencl_launch(kernel, "cross_entropy", "", "join_sums", &range, "wwii", at, to, (int)count, MOST);
        count = fewer;
        at = to;
    }
    opencl_range one = {.global = {1}, .local = {1}};
    if (status != TL_OK)
        return status;
    return tl__opencl_launch(kernel, "cross_entropy", "", "give_loss", &one, "woi", at, LOSS, (int)count);
}

static tl_status prepare(opencl_kernel *kernel) {
    opencl_rows r = {0};
    bool vectors = kernel->device->vectors;
    tl_status status = tl__opencl_expect(kernel, "fiff");
    if (status == TL_OK)
        status = opencl_rows_of(kernel, &r);
    if (status != TL_OK)
        return status;
    int64_t groups = vectors ? 64 : 1 + r.groups / 4096, items = (r.groups + groups - 1) / groups;
    items += items == 0;
    uint64_t partial = room(kernel, items);
    opencl_range range = {.global = {(size_t)items}, .local = {vectors ? 1 : 64}};
    status = tl__opencl_launch(kernel, "cross_entropy", "", "rows_loss", &range, "ooowliiiifff", LOGITS, TARGET, WEIGHT,
                               partial, r.rows, r.classes, r.step, (int)groups, (int)kernel->op.ignore_index,
                               (double)kernel->op.smoothing, OPENCL_TWICE(1 - (double)kernel->op.smoothing));
    return status == TL_OK ? add_sums(kernel, partial, items) : status;
}

const opencl_implementation tl__opencl_cross_entropy_implementations[] = {{"rows", prepare}, {NULL, NULL}};
