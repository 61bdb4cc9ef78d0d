/* dice.c: the soft Dice loss of rows of logits: probabilities, sums of them by chunks of rows, then the score of each
 * class. */
#include "backends/opencl/cross_entropy.h"

enum { LOGITS, TARGET, LOSS, SUMS };
/* See kernels/dice.cl; at most so many chunks, of at least so many rows. */
enum { PARTS = 5, CHUNKS = 256, LEAST = 64 };

static opencl_range items(const opencl_kernel *kernel, int64_t count) {
    return (opencl_range){.global = {(size_t)count}, .local = {kernel->device->vectors ? 1 : 64}};
}

static tl_status prepare(opencl_kernel *kernel) {
    opencl_rows r = {0};
    tl_status status = tl__opencl_expect(kernel, "fiff");
    if (status == TL_OK)
        status = opencl_rows_of(kernel, &r);
    if (status != TL_OK)
        return status;
    const int64_t rows = r.rows, wide = opencl_wide(kernel), groups = (r.classes + wide - 1) / wide;
    const int64_t each = rows > (int64_t)LEAST * CHUNKS ? (rows + CHUNKS - 1) / CHUNKS : LEAST;
    const int64_t chunks = (rows + each - 1) / each, some = kernel->device->vectors ? LEAST : 1;
    uint64_t most = tl__opencl_workspace(kernel, (uint64_t)rows * sizeof(float));
    uint64_t inverse = tl__opencl_workspace(kernel, (uint64_t)rows * sizeof(float));
    uint64_t partial = tl__opencl_workspace(kernel, (uint64_t)(chunks * groups * PARTS * wide) * sizeof(float));
    opencl_range every = items(kernel, (rows + some - 1) / some), parts = items(kernel, chunks);
    parts.global[1] = (size_t)groups;
    parts.local[1] = 1;
    opencl_range joins = items(kernel, groups), one = {.global = {1}, .local = {1}};
    status = tl__opencl_launch(kernel, "dice", "", "dice_rows", &every, "owwlii", LOGITS, most, inverse, rows,
                               r.classes, (int)some);
    if (status == TL_OK)
        status = tl__opencl_launch(kernel, "dice", "", "dice_part", &parts, "oowwwliiii", LOGITS, TARGET, most, inverse,
                                   partial, rows, r.classes, (int)chunks, (int)each, (int)kernel->op.ignore_index);
    if (status == TL_OK)
        status = tl__opencl_launch(kernel, "dice", "", "dice_join", &joins, "woii", partial, SUMS, r.classes,
                                   (int)chunks);
    if (status == TL_OK)
        status = tl__opencl_launch(kernel, "dice", "", "dice_loss", &one, "ooif", SUMS, LOSS, r.classes,
                                   (double)kernel->op.eps);
    return status;
}

const opencl_implementation tl__opencl_dice_implementations[] = {{"rows", prepare}, {NULL, NULL}};
