#include "ops/ops.h"

tl_status tl__concat_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    (void)op;
    static const char *const names[TL_MAX_INPUTS] = {"a", "b", "c", "d", "e", "f"};
    TL__TRY(tl__op_expect_rank(context, "a", &in[0], TL_DTYPE_F32, 4));
    out[0] = in[0];
    for (int i = 1; i < TL_MAX_INPUTS; i++) {
        if (in[i].dtype == TL_DTYPE_NONE)
            continue;
        tl_tensor_desc wanted = in[0];
        TL__TRY(tl__op_expect_rank(context, names[i], &in[i], TL_DTYPE_F32, 4));
        wanted.shape[3] = in[i].shape[3];
        TL__TRY(tl__op_expect(context, names[i], &in[i], wanted));
        out[0].shape[3] += in[i].shape[3];
    }
    return TL_OK;
}

/* Each input gets its channels of the gradient. */
void tl__concat_gradient(tl__graph *graph, int node, const int *gradients, unsigned need, int *result) {
    const tl__node n = graph->nodes[node];
    tl_op_desc op = {.op = TL_OP_SLICE};
    for (int i = 0; i < TL_MAX_INPUTS && graph->status == TL_OK; i++) {
        if (n.in[i] < 0)
            continue;
        op.count = (int32_t)graph->values[n.in[i]].desc.shape[3];
        if (need >> i & 1)
            result[i] = tl__graph_node(graph, &op, n.name, (const int[]){gradients[0]}, 0);
        op.first += op.count;
    }
}

tl_status tl__slice_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    TL__TRY(tl__op_expect_rank(context, "x", &in[0], TL_DTYPE_F32, 4));
    if (op->first < 0 || op->count < 1 || op->first > in[0].shape[3] - op->count)
        return tl__fail(context, TL_ERROR_SHAPE, "%d channels from %d on, of %lld", op->count, op->first,
                        (long long)in[0].shape[3]);
    out[0] = in[0];
    out[0].shape[3] = op->count;
    return TL_OK;
}
