#include "ops/ops.h"

static tl_status check(tl_context *context, const tl_op_desc *op) {
    for (int i = 0; i < 2; i++)
        if (op->kernel[i] < 1 || op->stride[i] < 1 || op->pad[i] < 0 || 2 * op->pad[i] > op->kernel[i])
            return tl__fail(context, TL_ERROR_SHAPE, "pooling kernel %d, stride %d, padding %d", op->kernel[i],
                            op->stride[i], op->pad[i]);
    if (op->kernel[0] * op->kernel[1] > 256)
        return tl__fail(context, TL_ERROR_SHAPE, "pooling over more than 256 values");
    return TL_OK;
}

static tl_tensor_desc pooled(const tl_op_desc *op, const tl_tensor_desc *x) {
    return tl__desc4(TL_DTYPE_F32, x->shape[0], tl__window_count(x->shape[1], op->kernel[0], op->stride[0], op->pad[0], 1),
                     tl__window_count(x->shape[2], op->kernel[1], op->stride[1], op->pad[1], 1), x->shape[3]);
}

tl_status tl__maxpool2d_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    TL__TRY(tl__op_expect_rank(context, "x", &in[0], TL_DTYPE_F32, 4));
    TL__TRY(check(context, op));
    out[0] = out[1] = pooled(op, &in[0]);
    out[1].dtype = TL_DTYPE_U8;
    if (!out[0].shape[1] || !out[0].shape[2])
        return tl__fail(context, TL_ERROR_SHAPE, "a map of %lld x %lld is too small for pooling over %d x %d",
                        (long long)in[0].shape[1], (long long)in[0].shape[2], op->kernel[0], op->kernel[1]);
    return TL_OK;
}

tl_status tl__maxpool2d_grad_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    TL__TRY(tl__op_expect_rank(context, "dy", &in[0], TL_DTYPE_F32, 4));
    TL__TRY(check(context, op));
    out[0] = tl__desc4(TL_DTYPE_F32, in[0].shape[0], op->extent[0], op->extent[1], in[0].shape[3]);
    tl_tensor_desc y = pooled(op, &out[0]), index = y;
    index.dtype = TL_DTYPE_U8;
    TL__TRY(tl__op_expect(context, "dy", &in[0], y));
    return tl__op_expect(context, "index", &in[1], index);
}

void tl__maxpool2d_gradient(tl__graph *graph, int node, const int *gradients, unsigned need, int *result) {
    (void)need;
    int index = tl__graph_want(graph, node, 1);
    const tl__node n = graph->nodes[node];
    const int64_t *x = graph->values[n.in[0]].desc.shape;
    tl_op_desc op = n.op;
    op.op = TL_OP_MAXPOOL2D_GRAD;
    op.extent[0] = (int32_t)x[1];
    op.extent[1] = (int32_t)x[2];
    result[0] = tl__graph_node(graph, &op, n.name, (const int[]){gradients[0], index}, 0);
}
