/* ops/ops.h: what the files of this folder offer to rule.c, one of them an operation (with its gradients). */
#ifndef TL__OPS_H
#define TL__OPS_H

#include "graph/graph.h"

#define TL__DECLARE_SHAPE(NAME, stem, inputs, outputs) \
    tl_status tl__##stem##_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out);
TL_OP_LIST(TL__DECLARE_SHAPE)
#undef TL__DECLARE_SHAPE

#define TL__DECLARE_GRADIENT(stem) \
    void tl__##stem##_gradient(tl__graph *graph, int node, const int *gradients, unsigned need, int *result);
TL__DECLARE_GRADIENT(conv2d)
TL__DECLARE_GRADIENT(batchnorm)
TL__DECLARE_GRADIENT(relu)
TL__DECLARE_GRADIENT(add)
TL__DECLARE_GRADIENT(maxpool2d)
TL__DECLARE_GRADIENT(avgpool2d)
TL__DECLARE_GRADIENT(dropout)
TL__DECLARE_GRADIENT(cross_entropy)
TL__DECLARE_GRADIENT(dice)
TL__DECLARE_GRADIENT(concat)
TL__DECLARE_GRADIENT(upsample2d)
#undef TL__DECLARE_GRADIENT

/* Fails with both shapes in words unless `desc` is `wanted`. */
tl_status tl__op_expect(tl_context *context, const char *operand, const tl_tensor_desc *desc, tl_tensor_desc wanted);
/* Fails unless `desc` has this type and rank and no extent below 1. */
tl_status tl__op_expect_rank(tl_context *context, const char *operand, const tl_tensor_desc *desc, int dtype, int rank);

/* The sliding window of a convolution or pooling over `extent` elements; 0 where it does not fit once. */
static inline int64_t tl__window_count(int64_t extent, int kernel, int stride, int pad, int dilation) {
    int64_t span = extent + 2 * (int64_t)pad - (int64_t)dilation * (kernel - 1) - 1;
    return span < 0 ? 0 : span / stride + 1;
}

#endif
