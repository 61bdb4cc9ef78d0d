#include "ops/ops.h"

static tl_status check_attributes(tl_context *context, const tl_op_desc *op) {
    for (int i = 0; i < 2; i++)
        if (op->kernel[i] < 1 || op->stride[i] < 1 || op->pad[i] < 0 || op->dilation[i] < 1)
            return tl__fail(context, TL_ERROR_SHAPE, "kernel %d, stride %d, padding %d, dilation %d", op->kernel[i],
                            op->stride[i], op->pad[i], op->dilation[i]);
    return op->groups >= 1 ? TL_OK : tl__fail(context, TL_ERROR_SHAPE, "%d groups", op->groups);
}

static tl_tensor_desc output_of(const tl_op_desc *op, const tl_tensor_desc *x, int64_t channels) {
    int64_t h = tl__window_count(x->shape[1], op->kernel[0], op->stride[0], op->pad[0], op->dilation[0]);
    int64_t w = tl__window_count(x->shape[2], op->kernel[1], op->stride[1], op->pad[1], op->dilation[1]);
    return tl__desc4(TL_DTYPE_F32, x->shape[0], h, w, channels);
}

static tl_status check_weight(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *w, int64_t in, int64_t out) {
    TL__TRY(check_attributes(context, op));
    if (in % op->groups || out % op->groups)
        return tl__fail(context, TL_ERROR_SHAPE, "%lld to %lld channels do not divide into %d groups", (long long)in,
                        (long long)out, op->groups);
    return tl__op_expect(context, "w", w, tl__desc4(TL_DTYPE_F32, out, op->kernel[0], op->kernel[1], in / op->groups));
}

tl_status tl__conv2d_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    const tl_tensor_desc *x = &in[0], *w = &in[1], *bias = &in[2], *residual = &in[3];
    TL__TRY(tl__op_expect_rank(context, "x", x, TL_DTYPE_F32, 4));
    TL__TRY(tl__op_expect_rank(context, "w", w, TL_DTYPE_F32, 4));
    TL__TRY(check_weight(context, op, w, x->shape[3], w->shape[0]));
    out[0] = output_of(op, x, w->shape[0]);
    if (!out[0].shape[1] || !out[0].shape[2])
        return tl__fail(context, TL_ERROR_SHAPE, "a map of %lld x %lld is too small for a kernel of %d x %d",
                        (long long)x->shape[1], (long long)x->shape[2], op->kernel[0], op->kernel[1]);
    if (bias->dtype)
        TL__TRY(tl__op_expect(context, "bias", bias, tl__desc1(TL_DTYPE_F32, w->shape[0])));
    return residual->dtype ? tl__op_expect(context, "residual", residual, out[0]) : TL_OK;
}

tl_status tl__conv2d_grad_input_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    const tl_tensor_desc *dy = &in[0], *w = &in[1], *addend = &in[2], *mask = &in[3];
    TL__TRY(tl__op_expect_rank(context, "dy", dy, TL_DTYPE_F32, 4));
    TL__TRY(tl__op_expect_rank(context, "w", w, TL_DTYPE_F32, 4));
    out[0] = tl__desc4(TL_DTYPE_F32, dy->shape[0], op->extent[0], op->extent[1], w->shape[3] * op->groups);
    TL__TRY(check_weight(context, op, w, out[0].shape[3], dy->shape[3]));
    TL__TRY(tl__op_expect(context, "dy", dy, output_of(op, &out[0], dy->shape[3])));
    if (addend->dtype)
        TL__TRY(tl__op_expect(context, "addend", addend, out[0]));
    return mask->dtype ? tl__op_expect(context, "mask", mask, out[0]) : TL_OK;
}

tl_status tl__conv2d_grad_weight_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    const tl_tensor_desc *x = &in[0], *dy = &in[1];
    TL__TRY(tl__op_expect_rank(context, "x", x, TL_DTYPE_F32, 4));
    TL__TRY(tl__op_expect_rank(context, "dy", dy, TL_DTYPE_F32, 4));
    out[0] = tl__desc4(TL_DTYPE_F32, dy->shape[3], op->kernel[0], op->kernel[1], x->shape[3] / op->groups);
    out[1] = tl__desc1(TL_DTYPE_F32, dy->shape[3]);
    TL__TRY(check_weight(context, op, &out[0], x->shape[3], dy->shape[3]));
    return tl__op_expect(context, "dy", dy, output_of(op, x, dy->shape[3]));
}

void tl__conv2d_gradient(tl__graph *graph, int node, const int *gradients, unsigned need, int *result) {
    const tl__node n = graph->nodes[node]; /* a copy: adding nodes moves them */
    tl_op_desc op = n.op;
    const int64_t *x = graph->values[n.in[0]].desc.shape;
    op.extent[0] = (int32_t)x[1];
    op.extent[1] = (int32_t)x[2];
    if (need & 1) {
        op.op = TL_OP_CONV2D_GRAD_INPUT;
        result[0] = tl__graph_node(graph, &op, n.name, (const int[]){gradients[0], n.in[1], -1, -1}, 0);
    }
    if (need & 6) {
        op.op = TL_OP_CONV2D_GRAD_WEIGHT;
        tl__graph_node(graph, &op, n.name, (const int[]){n.in[0], gradients[0]}, need >> 1 & 3);
        if (graph->status == TL_OK) {
            const tl__node *grad = &graph->nodes[graph->node_count - 1];
            result[1] = grad->out[0];
            result[2] = grad->out[1];
        }
    }
}
