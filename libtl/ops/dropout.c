#include "ops/ops.h"

tl_status tl__dropout_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    TL__TRY(tl__op_expect_rank(context, "x", &in[0], TL_DTYPE_F32, 4));
    TL__TRY(tl__op_expect(context, "counter", &in[1], tl__desc1(TL_DTYPE_I32, 4)));
    if (!(op->p >= 0 && op->p < 1))
        return tl__fail(context, TL_ERROR_SHAPE, "dropout with probability %g", (double)op->p);
    out[0] = in[0];
    return TL_OK;
}

/* The stream repeats for the same counter: the gradient is the same operation again, and no mask is kept. */
void tl__dropout_gradient(tl__graph *graph, int node, const int *gradients, unsigned need, int *result) {
    (void)need;
    const tl__node n = graph->nodes[node];
    result[0] = tl__graph_node(graph, &n.op, n.name, (const int[]){gradients[0], n.in[1]}, 0);
}
