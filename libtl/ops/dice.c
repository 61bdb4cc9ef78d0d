#include "ops/ops.h"

static tl_status check(tl_context *context, const tl_tensor_desc *in) {
    TL__TRY(tl__op_expect_rank(context, "logits", &in[0], TL_DTYPE_F32, 4));
    return tl__op_expect(context, "target", &in[1], tl__desc(TL_DTYPE_I32, 3, in[0].shape));
}

static tl_tensor_desc sums_of(const tl_tensor_desc *logits) {
    return tl__desc(TL_DTYPE_F32, 2, (const int64_t[]){3, logits->shape[3]});
}

tl_status tl__dice_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    (void)op;
    TL__TRY(check(context, in));
    out[0] = tl__desc1(TL_DTYPE_F32, 2);
    out[1] = sums_of(&in[0]);
    return TL_OK;
}

tl_status tl__dice_grad_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    (void)op;
    TL__TRY(check(context, in));
    out[0] = in[0];
    return tl__op_expect(context, "sums", &in[2], sums_of(&in[0]));
}

/* The backward pass may begin here: the gradient of the loss is the node's scale. */
void tl__dice_gradient(tl__graph *graph, int node, const int *gradients, unsigned need, int *result) {
    (void)need;
    (void)gradients;
    const tl__node n = graph->nodes[node];
    tl_op_desc op = n.op;
    op.op = TL_OP_DICE_GRAD;
    result[0] = tl__graph_node(graph, &op, n.name, (const int[]){n.in[0], n.in[1], n.out[1]}, 0);
}
