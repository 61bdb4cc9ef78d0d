#include "ops/ops.h"

static tl_status check(tl_context *context, const tl_tensor_desc *in) {
    const tl_tensor_desc *logits = &in[0], *target = &in[1], *weight = &in[2];
    TL__TRY(tl__op_expect_rank(context, "logits", logits, TL_DTYPE_F32, 4));
    TL__TRY(tl__op_expect(context, "target", target, tl__desc(TL_DTYPE_I32, 3, logits->shape)));
    return weight->dtype ? tl__op_expect(context, "class_weight", weight, tl__desc1(TL_DTYPE_F32, logits->shape[3])) : TL_OK;
}

tl_status tl__cross_entropy_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    (void)op;
    out[0] = tl__desc1(TL_DTYPE_F32, 4);
    return check(context, in);
}

tl_status tl__cross_entropy_grad_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    (void)op;
    out[0] = in[0];
    TL__TRY(check(context, in));
    return tl__op_expect(context, "loss", &in[3], tl__desc1(TL_DTYPE_F32, 4));
}

/* Where the backward pass begins: the gradient of loss[0] / loss[1] is the node's scale. */
void tl__cross_entropy_gradient(tl__graph *graph, int node, const int *gradients, unsigned need, int *result) {
    (void)need;
    (void)gradients;
    const tl__node n = graph->nodes[node];
    tl_op_desc op = n.op;
    op.op = TL_OP_CROSS_ENTROPY_GRAD;
    result[0] = tl__graph_node(graph, &op, n.name, (const int[]){n.in[0], n.in[1], n.in[2], n.out[0]}, 0);
}
