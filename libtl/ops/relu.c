#include "ops/ops.h"

tl_status tl__relu_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    (void)op;
    out[0] = in[0];
    return tl__op_expect_rank(context, "x", &in[0], TL_DTYPE_F32, 4);
}

tl_status tl__relu_grad_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    (void)op;
    out[0] = in[0];
    TL__TRY(tl__op_expect_rank(context, "dy", &in[0], TL_DTYPE_F32, 4));
    return tl__op_expect(context, "y", &in[1], in[0]);
}

void tl__relu_gradient(tl__graph *graph, int node, const int *gradients, unsigned need, int *result) {
    (void)need;
    const tl__node n = graph->nodes[node];
    tl_op_desc op = {.size = sizeof op, .op = TL_OP_RELU_GRAD};
    result[0] = tl__graph_node(graph, &op, n.name, (const int[]){gradients[0], n.out[0]}, 0);
}
