/* batchnorm_grad.c: batch-norm backward. */
#include "backends/opencl/batchnorm.h"

enum { X, DY, SCALE, MEAN, VAR, Y, DX, DSCALE, DSHIFT };

static tl_status add_sums(opencl_kernel *kernel, const opencl_batchnorm *b, bool with_dx, bool stored) {
    tl_status status = tl__opencl_launch(kernel, "batchnorm", "", "grad_sums", &b->by_sum, "oooowowwliili", X, DY, Y,
                                         MEAN, b->parameters, DX, b->partial, b->totals, b->rows, b->channels,
                                         b->padded, b->block_rows, (int)with_dx);
    if (status == TL_OK)
        status = opencl_batchnorm_join(kernel, b);
    if (status != TL_OK)
        return status;
    return tl__opencl_launch(kernel, "batchnorm", "", "grad_finish", &b->by_channel, "wooowiiiffif", b->totals, VAR,
                             DSCALE, DSHIFT, b->parameters, b->channels, b->padded, (int)b->blocks,
                             OPENCL_TWICE((double)b->rows), (int)stored, (double)kernel->op.eps);
}

/* With stored statistics dx needs no sums: one pass gives all. */
static tl_status prepare(opencl_kernel *kernel) {
    opencl_batchnorm b = {0};
    bool stored = kernel->op.statistics != TL_STATISTICS_BATCH, dx = opencl_present(kernel, DX);
    bool sums = opencl_present(kernel, DSCALE) || opencl_present(kernel, DSHIFT);
    tl_status status = tl__opencl_expect(kernel, "fffffffff");
    if (status == TL_OK)
        status = opencl_batchnorm_plan(kernel, &b);
    if (status != TL_OK || (!sums && !dx))
        return status;
    b.parameters = tl__opencl_workspace(kernel, (uint64_t)b.padded * 3 * sizeof(float));
    status = tl__opencl_launch(kernel, "batchnorm", "", "grad_begin", &b.by_channel, "oowiiif", SCALE, VAR,
                               b.parameters, b.channels, b.padded, (int)stored, (double)kernel->op.eps);
    if (status == TL_OK && (sums || !stored)) {
        opencl_batchnorm_sums(kernel, &b);
        status = add_sums(kernel, &b, stored && dx, stored);
    }
    if (status != TL_OK || !dx || (stored && sums))
        return status;
    return tl__opencl_launch(kernel, "batchnorm", "", "grad_apply", &b.by_row, "oooowoliiii", X, DY, Y, MEAN,
                             b.parameters, DX, b.rows, b.channels, b.padded, b.each, (int)stored);
}

const opencl_implementation tl__opencl_batchnorm_grad_implementations[] = {{"rows", prepare}, {NULL, NULL}};
