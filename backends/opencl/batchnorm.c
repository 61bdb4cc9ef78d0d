/* batchnorm.c: batch-norm forward, with stored statistics or with those of the batch. */
#include "backends/opencl/batchnorm.h"

enum { X, SCALE, SHIFT, MEAN, VAR, RESIDUAL, Y, SAVED_MEAN, SAVED_INVSTD };

static tl_status add_moments(opencl_kernel *kernel, const opencl_batchnorm *b) {
    tl_status status = tl__opencl_launch(kernel, "batchnorm", "", "pivot", &b->by_channel, "owlii", X, b->parameters,
                                         b->rows, b->channels, b->padded);
    if (status == TL_OK)
        status = tl__opencl_launch(kernel, "batchnorm", "", "moments", &b->by_sum, "owwwliil", X, b->parameters,
                                   b->partial, b->totals, b->rows, b->channels, b->padded, b->block_rows);
    return status == TL_OK ? opencl_batchnorm_join(kernel, b) : status;
}

static tl_status add_finish(opencl_kernel *kernel, const opencl_batchnorm *b, bool stored) {
    double count = (double)b->rows, kept = 1 - (double)kernel->op.momentum;
    double unbiased = b->rows > 1 ? count / (count - 1) : 1;
    return tl__opencl_launch(kernel, "batchnorm", "", "finish", &b->by_channel, "woooooowiiiffffffff", b->totals,
                             SCALE, SHIFT, MEAN, VAR, SAVED_MEAN, SAVED_INVSTD, b->parameters, b->channels, b->padded,
                             stored ? 0 : (int)b->blocks, OPENCL_TWICE(count), OPENCL_TWICE(kept),
                             (double)kernel->op.momentum, OPENCL_TWICE(unbiased), (double)kernel->op.eps);
}

static tl_status prepare(opencl_kernel *kernel) {
    opencl_batchnorm b = {0};
    bool stored = kernel->op.statistics != TL_STATISTICS_BATCH;
    const char *options;
    tl_status status = tl__opencl_expect_stored(kernel, stored ? "xffffxyff" : "fffffffff", &options);
    if (status == TL_OK)
        status = opencl_batchnorm_plan(kernel, &b);
    if (status != TL_OK)
        return status;
    b.parameters = tl__opencl_workspace(kernel, (uint64_t)b.padded * 3 * sizeof(float));
    if (!stored) {
        opencl_batchnorm_sums(kernel, &b);
        status = add_moments(kernel, &b);
    }
    if (status == TL_OK)
        status = add_finish(kernel, &b, stored);
    if (status != TL_OK)
        return status;
    return tl__opencl_launch(kernel, "batchnorm", options, "apply", &b.by_row, "oowoliiii", X, RESIDUAL, b.parameters, Y,
                             b.rows, b.channels, b.padded, b.each, kernel->op.relu != 0);
}

const opencl_implementation tl__opencl_batchnorm_implementations[] = {{"rows", prepare}, {NULL, NULL}};
