#include "ops/ops.h"

tl_status tl__add_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    (void)op;
    out[0] = in[0];
    TL__TRY(tl__op_expect_rank(context, "a", &in[0], TL_DTYPE_F32, 4));
    return tl__op_expect(context, "b", &in[1], in[0]);
}

void tl__add_gradient(tl__graph *graph, int node, const int *gradients, unsigned need, int *result) {
    (void)graph;
    (void)node;
    (void)need;
    result[0] = result[1] = gradients[0];
}
