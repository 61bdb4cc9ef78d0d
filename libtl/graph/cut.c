#include "graph/graph.h"

#include <stdio.h>
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

/* Adds a value in its place; false where there is no room for another one. */
static bool add_value(tl__cut *cut, int most, int value) {
    int at = cut->count;
    if (tl__cut_has(cut, value))
        return true;
    if (cut->count == most)
        return false;
    for (; at > 0 && cut->values[at - 1] > value; at--)
        cut->values[at] = cut->values[at - 1];
    cut->values[at] = value;
    cut->count++;
    return true;
}

/* The computed values up to node `last` that nodes after it read, or that are `output`; false if they are more than `most`. */
static bool crossings(const tl__graph *graph, int last, const bool *frozen, int output, int most, tl__cut *cut) {
    *cut = (tl__cut){.count = 0};
    for (size_t n = 0; n <= graph->node_count; n++) {
        const tl__node *node = n < graph->node_count ? &graph->nodes[n] : NULL;
        if (node && (node->dead || (frozen[n] && (int)n <= last)))
            continue;
        for (int i = 0; i < (node ? TL_MAX_INPUTS : 1); i++) {
            int v = node ? node->in[i] : output;
            if (v < 0 || graph->values[v].kind != TL__VALUE_COMPUTED)
                continue;
            int from = graph->values[v].node;
            if (from <= last && frozen[from] && !add_value(cut, most, v))
                return false;
        }
    }
    return true;
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

/* What normalisation makes of the bytes is no feature: keeping it would cost four times the bytes. */
static bool is_of_use(const tl__graph *graph, const tl__cut *cut) {
    for (int i = 0; i < cut->count; i++)
        if (graph->nodes[graph->values[cut->values[i]].node].op.op == TL_OP_NORMALIZE)
            return false;
    return cut->count > 0;
}

tl_status tl__graph_frozen_cut(const tl__graph *graph, int output, int most, tl__cut *out, const char **reason) {
    bool *frozen = tl__calloc(graph->context, graph->node_count + 1, sizeof *frozen);
    tl__cut cut;
    if (!frozen)
        return TL_ERROR_MEMORY;
    find_frozen(graph, frozen, reason);
    bool found = crossings(graph, (int)graph->node_count, frozen, output, most, &cut) && is_of_use(graph, &cut);
    for (int n = (int)graph->node_count - 1; n >= 0 && !found; n--)
        found = frozen[n] && crossings(graph, n, frozen, output, 1, &cut) && cut.count == 1;
    if (!found || !is_of_use(graph, &cut))
        cut.count = 0;
    if (!cut.count && !*reason)
        *reason = "nothing is frozen";
    tl__free(graph->context, frozen);
    *out = cut;
    return TL_OK;
}

tl_status tl__graph_is_frozen(const tl__graph *graph, int value, bool *out) {
    const char *reason;
    bool *frozen = tl__calloc(graph->context, graph->node_count + 1, sizeof *frozen);
    if (!frozen)
        return TL_ERROR_MEMORY;
    find_frozen(graph, frozen, &reason);
    *out = graph->values[value].kind != TL__VALUE_COMPUTED || frozen[graph->values[value].node];
    tl__free(graph->context, frozen);
    return TL_OK;
}

static void cut_value(tl__graph *graph, int value) {
    tl__value *v = &graph->values[value];
    for (int i = 0; i < TL_MAX_OUTPUTS; i++)
        if (graph->nodes[v->node].out[i] == value)
            graph->nodes[v->node].out[i] = -1;
    v->kind = TL__VALUE_INPUT;
    v->node = -1;
}

void tl__graph_cut(tl__graph *graph, const tl__cut *cut) {
    for (int i = 0; i < cut->count; i++)
        cut_value(graph, cut->values[i]);
}

bool tl__cut_has(const tl__cut *cut, int value) {
    for (int i = 0; i < cut->count; i++)
        if (cut->values[i] == value)
            return true;
    return false;
}

bool tl__cut_equal(const tl__cut *a, const tl__cut *b) {
    return a->count == b->count && !memcmp(a->values, b->values, (size_t)a->count * sizeof *a->values);
}

const char *tl__cut_text(const tl__cut *cut, const tl__graph *graph, char *text, size_t size) {
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < cut->count && used < size; i++) {
        const char *name = graph->values[cut->values[i]].name;
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", name ? name : "");
    }
    return text;
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
        any |= masks(&graph->nodes[n]) || (!graph->nodes[n].dead && graph->nodes[n].op.statistics == TL_STATISTICS_BATCH);
    for (size_t n = 0; n < graph->node_count; n++)
        graph->nodes[n].op.exact = graph->observe;
    if (!any || graph->observe)
        return TL_OK;
    bool *frozen = tl__calloc(graph->context, graph->node_count + 1, sizeof *frozen);
    if (!frozen)
        return TL_ERROR_MEMORY;
    find_frozen(graph, frozen, &reason);
    for (size_t n = 0; n < graph->node_count; n++)
        graph->nodes[n].op.exact = !frozen[n] && !graph->nodes[n].backward;
    tl__free(graph->context, frozen);
    return TL_OK;
}
