#include "graph/graph.h"

#include <math.h>
#include <string.h>

static bool is_constant(const tl__value *value) {
    return value->kind == TL__VALUE_PARAMETER && !tl__parameter_live(value->parameter);
}

/* scale / sqrt(variance + eps) of each channel, in double; the four parameters in norm[0..3][channels]. */
static tl_status read_norm(tl_context *context, const tl__constant_source *source, int64_t channels, float **out) {
    float *values = tl__alloc(context, 4 * (size_t)channels * sizeof *values);
    if (!values)
        return TL_ERROR_MEMORY;
    for (int i = 0; i < 4; i++) {
        tl_status status = tl__parameter_read(context, source->norm[i], values + i * channels);
        if (status != TL_OK) {
            tl__free(context, values);
            return status;
        }
    }
    *out = values;
    return TL_OK;
}

static double factor(const float *norm, int64_t channels, int64_t c, float eps) {
    return norm[c] / sqrt((double)norm[3 * channels + c] + eps);
}

static tl_status read_folded_weight(tl_context *context, const tl__constant_source *source, void *out) {
    const tl_tensor_desc *desc = &source->parameter->desc;
    int64_t channels = desc->shape[0], row = tl__desc_count(desc) / channels;
    float *norm, *weight = out;
    TL__TRY(read_norm(context, source, channels, &norm));
    tl_status status = tl__parameter_read(context, source->parameter, weight);
    for (int64_t c = 0; c < channels && status == TL_OK; c++) {
        double by = factor(norm, channels, c, source->eps);
        for (int64_t i = 0; i < row; i++)
            weight[c * row + i] = (float)(weight[c * row + i] * by);
    }
    tl__free(context, norm);
    return status;
}

static tl_status read_folded_bias(tl_context *context, const tl__constant_source *source, void *out) {
    int64_t channels = source->norm[0]->desc.shape[0];
    float *norm, *bias = out;
    tl_status status = TL_OK;
    TL__TRY(read_norm(context, source, channels, &norm));
    if (source->parameter)
        status = tl__parameter_read(context, source->parameter, bias);
    else
        memset(bias, 0, (size_t)channels * sizeof *bias);
    for (int64_t c = 0; c < channels && status == TL_OK; c++)
        bias[c] = (float)((bias[c] - (double)norm[2 * channels + c]) * factor(norm, channels, c, source->eps) + norm[channels + c]);
    tl__free(context, norm);
    return status;
}

/* A constant value that stands for `parameter` (NULL: a bias of zeros) with the batch-norm folded in. */
static int folded(tl__graph *graph, const tl__node *norm, const tl__parameter *parameter, tl_tensor_desc desc, bool weight) {
    uint64_t ids[6] = {parameter ? parameter->id : 0, weight};
    int value = tl__graph_table(graph, (tl_tensor_desc){.dtype = TL_DTYPE_F32}, &(float){0}, norm->name);
    if (value < 0)
        return -1;
    tl__constant_source *source = graph->values[value].constant;
    *source = (tl__constant_source){.read = weight ? read_folded_weight : read_folded_bias, .parameter = parameter, .eps = norm->op.eps};
    for (int i = 0; i < 4; i++) {
        source->norm[i] = graph->values[norm->in[1 + i]].parameter;
        ids[2 + i] = source->norm[i]->id;
    }
    source->id = tl__hash_bytes(ids, sizeof ids, 1).low | 1ull << 63;
    graph->values[value].desc = desc;
    return value;
}

static void fold_into(tl__graph *graph, int conv_index, int norm_index) {
    const tl__node norm = graph->nodes[norm_index];
    const tl__node conv = graph->nodes[conv_index];
    const tl__parameter *weight = graph->values[conv.in[1]].parameter;
    const tl__parameter *bias = conv.in[2] >= 0 ? graph->values[conv.in[2]].parameter : NULL;
    int w = folded(graph, &norm, weight, weight->desc, true);
    int b = folded(graph, &norm, bias, tl__desc1(TL_DTYPE_F32, weight->desc.shape[0]), false);
    if (w < 0 || b < 0)
        return;
    tl__node *into = &graph->nodes[conv_index];
    into->in[1] = w;
    into->in[2] = b;
    into->out[0] = norm.out[0];
    graph->values[norm.out[0]].node = conv_index;
    graph->nodes[norm_index].dead = true;
}

tl_status tl__graph_fold(tl__graph *graph) {
    for (size_t n = 0; n < graph->node_count && graph->status == TL_OK; n++) {
        const tl__node *norm = &graph->nodes[n];
        if (norm->dead || norm->op.op != TL_OP_BATCHNORM || norm->op.statistics != TL_STATISTICS_STORED)
            continue;
        const tl__value *x = &graph->values[norm->in[0]];
        if (x->kind != TL__VALUE_COMPUTED || x->keep || graph->nodes[x->node].op.op != TL_OP_CONV2D || tl__graph_consumers(graph, norm->in[0]) != 1)
            continue;
        const tl__node *conv = &graph->nodes[x->node];
        bool constant = is_constant(&graph->values[conv->in[1]]) && (conv->in[2] < 0 || is_constant(&graph->values[conv->in[2]]));
        for (int i = 1; i <= 4; i++)
            constant &= is_constant(&graph->values[norm->in[i]]);
        if (constant)
            fold_into(graph, x->node, (int)n);
    }
    return graph->status;
}
