#include "ops/ops.h"

static tl_status check_channels(tl_context *context, const char *const *names, const tl_tensor_desc *in, int first, int last, int64_t channels) {
    for (int i = first; i <= last; i++)
        TL__TRY(tl__op_expect(context, names[i], &in[i], tl__desc1(TL_DTYPE_F32, channels)));
    return TL_OK;
}

tl_status tl__batchnorm_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    const tl_tensor_desc *x = &in[0], *residual = &in[5];
    TL__TRY(tl__op_expect_rank(context, "x", x, TL_DTYPE_F32, 4));
    TL__TRY(check_channels(context, tl__op_rule_of(op->op)->inputs, in, 1, 4, x->shape[3]));
    if (op->statistics == TL_STATISTICS_BATCH && x->shape[0] * x->shape[1] * x->shape[2] < 2)
        return tl__fail(context, TL_ERROR_DATA, "batch statistics need more than one value a channel: one image of %lld x %lld",
                        (long long)x->shape[1], (long long)x->shape[2]);
    out[0] = *x;
    out[1] = out[2] = tl__desc1(TL_DTYPE_F32, x->shape[3]);
    return residual->dtype ? tl__op_expect(context, "residual", residual, *x) : TL_OK;
}

tl_status tl__batchnorm_grad_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    const tl_tensor_desc *x = &in[0], *dy = &in[1], *y = &in[5];
    TL__TRY(tl__op_expect_rank(context, "x", x, TL_DTYPE_F32, 4));
    TL__TRY(tl__op_expect(context, "dy", dy, *x));
    TL__TRY(check_channels(context, tl__op_rule_of(op->op)->inputs, in, 2, 4, x->shape[3]));
    out[0] = *x;
    out[1] = out[2] = tl__desc1(TL_DTYPE_F32, x->shape[3]);
    return y->dtype ? tl__op_expect(context, "y", y, *x) : TL_OK;
}

void tl__batchnorm_gradient(tl__graph *graph, int node, const int *gradients, unsigned need, int *result) {
    bool batch = graph->nodes[node].op.statistics == TL_STATISTICS_BATCH;
    int mean = batch ? tl__graph_want(graph, node, 1) : graph->nodes[node].in[3];
    int variance = batch ? tl__graph_want(graph, node, 2) : graph->nodes[node].in[4];
    const tl__node n = graph->nodes[node];
    tl_op_desc op = n.op;
    op.op = TL_OP_BATCHNORM_GRAD;
    /* need: bit 0 x, 1 scale, 2 shift: the outputs have the same order. */
    tl__graph_node(graph, &op, n.name, (const int[]){n.in[0], gradients[0], n.in[1], mean, variance, -1}, need & 7);
    if (graph->status == TL_OK)
        for (int i = 0; i < 3; i++)
            result[i] = graph->nodes[graph->node_count - 1].out[i];
}
