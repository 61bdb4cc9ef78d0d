/* The operations as model functions call them. */
#include "graph/graph.h"

int tl__conv2d(tl__graph *graph, int x, int weight, int bias, const char *name, int stride, int pad, int dilation, int groups) {
    if (graph->status != TL_OK)
        return -1;
    const int64_t *w = graph->values[weight].desc.shape;
    tl_op_desc op = {.op = TL_OP_CONV2D, .kernel = {(int32_t)w[1], (int32_t)w[2]}, .stride = {stride, stride},
                     .pad = {pad, pad}, .dilation = {dilation, dilation}, .groups = groups};
    return tl__graph_node(graph, &op, name, (const int[]){x, weight, bias, -1}, 0);
}

int tl__batchnorm(tl__graph *graph, int x, const int p[4], const char *name, tl_statistics statistics) {
    tl_op_desc op = {.op = TL_OP_BATCHNORM, .statistics = statistics, .eps = 1e-5f, .momentum = 0.1f};
    return tl__graph_node(graph, &op, name, (const int[]){x, p[0], p[1], p[2], p[3], -1}, 0);
}

int tl__relu(tl__graph *graph, int x, const char *name) {
    return tl__graph_node(graph, &(tl_op_desc){.op = TL_OP_RELU}, name, &x, 0);
}

int tl__add(tl__graph *graph, int a, int b, const char *name) {
    return tl__graph_node(graph, &(tl_op_desc){.op = TL_OP_ADD}, name, (const int[]){a, b}, 0);
}

int tl__maxpool2d(tl__graph *graph, int x, const char *name, int kernel, int stride, int pad) {
    tl_op_desc op = {.op = TL_OP_MAXPOOL2D, .kernel = {kernel, kernel}, .stride = {stride, stride}, .pad = {pad, pad}};
    return tl__graph_node(graph, &op, name, &x, 0);
}

int tl__avgpool2d(tl__graph *graph, int x, const char *name, int height, int width) {
    return tl__graph_node(graph, &(tl_op_desc){.op = TL_OP_AVGPOOL2D, .extent = {height, width}}, name, &x, 0);
}

int tl__upsample2d(tl__graph *graph, int x, const char *name, int height, int width) {
    return tl__graph_node(graph, &(tl_op_desc){.op = TL_OP_UPSAMPLE2D, .extent = {height, width}}, name, &x, 0);
}

int tl__concat(tl__graph *graph, const int *values, int count, const char *name) {
    int in[TL_MAX_INPUTS];
    for (int i = 0; i < TL_MAX_INPUTS; i++)
        in[i] = i < count ? values[i] : -1;
    return tl__graph_node(graph, &(tl_op_desc){.op = TL_OP_CONCAT}, name, in, 0);
}

int tl__dropout(tl__graph *graph, int x, int counter, const char *name, float p, uint32_t stream) {
    tl_op_desc op = {.op = TL_OP_DROPOUT, .p = p, .stream = stream};
    return tl__graph_node(graph, &op, name, (const int[]){x, counter}, 0);
}

int tl__normalize(tl__graph *graph, int x, int table, const char *name) {
    return tl__graph_node(graph, &(tl_op_desc){.op = TL_OP_NORMALIZE}, name, (const int[]){x, table}, 0);
}

int tl__cross_entropy(tl__graph *graph, int logits, int target, int class_weight, const char *name, int ignore_index, float smoothing, float scale) {
    tl_op_desc op = {.op = TL_OP_CROSS_ENTROPY, .ignore_index = ignore_index, .smoothing = smoothing, .scale = scale};
    return tl__graph_node(graph, &op, name, (const int[]){logits, target, class_weight}, 0);
}

int tl__dice(tl__graph *graph, int logits, int target, const char *name, int ignore_index, float scale) {
    tl_op_desc op = {.op = TL_OP_DICE, .ignore_index = ignore_index, .eps = 1, .scale = scale};
    return tl__graph_node(graph, &op, name, (const int[]){logits, target}, 0);
}
