#include "graph/graph.h"

#include <string.h>

/* Why a node cannot be computed once and kept; NULL where it can, as far as it alone goes. */
static const char *varies(const tl__graph *graph, const tl__node *node) {
    if (node->op.op == TL_OP_DROPOUT)
        return "dropout comes first";
    if (node->op.op == TL_OP_BATCHNORM && node->op.statistics == TL_STATISTICS_BATCH)
        return "batch statistics in the frozen part";
    for (int i = 0; i < TL_MAX_INPUTS; i++)
        if (node->in[i] >= 0 && graph->values[node->in[i]].kind == TL__VALUE_PARAMETER && tl__parameter_live(graph->values[node->in[i]].parameter))
            return "the first layers train";
    return NULL;
}

/* The only computed value, or input, that nodes after `last` read from before; -1: none or several. */
static int only_crossing(const tl__graph *graph, int last, const bool *frozen) {
    int crossing = -1;
    for (size_t n = 0; n < graph->node_count; n++) {
        const tl__node *node = &graph->nodes[n];
        if (node->dead || (frozen[n] && (int)n <= last))
            continue;
        for (int i = 0; i < TL_MAX_INPUTS; i++) {
            int v = node->in[i];
            if (v < 0 || graph->values[v].kind != TL__VALUE_COMPUTED)
                continue;
            int from = graph->values[v].node;
            if (from > last || !frozen[from])
                continue;
            if (crossing >= 0 && crossing != v)
                return -1;
            crossing = v;
        }
    }
    return crossing;
}

/* Which nodes see nothing but inputs and constants, through others of their kind; *reason as for the cut. */
static void find_frozen(const tl__graph *graph, bool *frozen, const char **reason) {
    *reason = NULL;
    for (size_t n = 0; n < graph->node_count; n++) {
        const tl__node *node = &graph->nodes[n];
        const char *why = varies(graph, node);
        frozen[n] = !why && !node->dead && !node->backward;
        for (int i = 0; i < TL_MAX_INPUTS; i++)
            if (node->in[i] >= 0 && graph->values[node->in[i]].kind == TL__VALUE_COMPUTED)
                frozen[n] &= frozen[graph->values[node->in[i]].node];
        if (why && !*reason)
            *reason = why;
    }
}

tl_status tl__graph_frozen_cut(const tl__graph *graph, int *out, const char **reason) {
    bool *frozen = tl__calloc(graph->context, graph->node_count + 1, sizeof *frozen);
    int cut = -1;
    if (!frozen)
        return TL_ERROR_MEMORY;
    find_frozen(graph, frozen, reason);
    for (int n = (int)graph->node_count - 1; n >= 0 && cut < 0; n--)
        if (frozen[n])
            cut = only_crossing(graph, n, frozen);
    /* What normalisation makes of the bytes is no feature: keeping it would cost four times the bytes. */
    if (cut >= 0 && graph->nodes[graph->values[cut].node].op.op == TL_OP_NORMALIZE)
        cut = -1;
    if (cut < 0 && !*reason)
        *reason = "nothing is frozen";
    tl__free(graph->context, frozen);
    *out = cut;
    return TL_OK;
}

void tl__graph_cut(tl__graph *graph, int value) {
    tl__value *v = &graph->values[value];
    for (int i = 0; i < TL_MAX_OUTPUTS; i++)
        if (graph->nodes[v->node].out[i] == value)
            graph->nodes[v->node].out[i] = -1;
    v->kind = TL__VALUE_INPUT;
    v->node = -1;
}

/* A gradient that passes only where some value is positive, or the largest of its window. */
static bool masks(const tl__node *node) {
    return node->backward && !node->dead &&
           (node->op.op == TL_OP_RELU_GRAD || node->op.op == TL_OP_MAXPOOL2D_GRAD ||
            (node->op.op == TL_OP_CONV2D_GRAD_INPUT && node->in[3] >= 0) ||
            (node->op.op == TL_OP_BATCHNORM_GRAD && node->in[5] >= 0));
}

tl_status tl__graph_mark_exact(tl__graph *graph) {
    const char *reason;
    bool any = false;
    for (size_t n = 0; n < graph->node_count; n++)
        any |= masks(&graph->nodes[n]);
    if (!any)
        return TL_OK;
    bool *frozen = tl__calloc(graph->context, graph->node_count + 1, sizeof *frozen);
    if (!frozen)
        return TL_ERROR_MEMORY;
    find_frozen(graph, frozen, &reason);
    for (size_t n = 0; n < graph->node_count; n++)
        graph->nodes[n].op.exact = !frozen[n];
    tl__free(graph->context, frozen);
    return TL_OK;
}
