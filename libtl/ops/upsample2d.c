#include "ops/ops.h"

static tl_status resized(tl_context *context, const char *operand, const tl_op_desc *op, const tl_tensor_desc *in,
                         tl_tensor_desc *out) {
    TL__TRY(tl__op_expect_rank(context, operand, in, TL_DTYPE_F32, 4));
    if (op->extent[0] < 1 || op->extent[1] < 1)
        return tl__fail(context, TL_ERROR_SHAPE, "upsampling to %d x %d", op->extent[0], op->extent[1]);
    *out = tl__desc4(TL_DTYPE_F32, in->shape[0], op->extent[0], op->extent[1], in->shape[3]);
    return TL_OK;
}

tl_status tl__upsample2d_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    return resized(context, "x", op, in, out);
}

tl_status tl__upsample2d_grad_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    return resized(context, "dy", op, in, out);
}

void tl__upsample2d_gradient(tl__graph *graph, int node, const int *gradients, unsigned need, int *result) {
    (void)need;
    const tl__node n = graph->nodes[node];
    const int64_t *x = graph->values[n.in[0]].desc.shape;
    tl_op_desc op = {.op = TL_OP_UPSAMPLE2D_GRAD, .extent = {(int32_t)x[1], (int32_t)x[2]}};
    result[0] = tl__graph_node(graph, &op, n.name, (const int[]){gradients[0]}, 0);
}
