#include "graph/graph.h"

#include <string.h>

/* Which values a parameter that trains has a way to: only their gradients are worth computing. */
static void find_needed(const tl__graph *graph, bool *needed) {
    for (size_t v = 0; v < graph->value_count; v++)
        needed[v] = graph->values[v].kind == TL__VALUE_PARAMETER && graph->values[v].parameter->trains;
    for (size_t n = 0; n < graph->node_count; n++) {
        const tl__node *node = &graph->nodes[n];
        bool any = false;
        for (int i = 0; i < TL_MAX_INPUTS; i++)
            any |= node->in[i] >= 0 && needed[node->in[i]];
        for (int i = 0; i < TL_MAX_OUTPUTS; i++)
            if (node->out[i] >= 0)
                needed[node->out[i]] = any;
    }
}

/* Where the backward pass begins: a loss needs no gradient of its own. */
static bool is_loss(const tl__node *node) {
    return node->op.op == TL_OP_CROSS_ENTROPY || node->op.op == TL_OP_DICE;
}

/* Emits the gradients of one node's inputs and adds them to what has arrived there from other nodes. */
static void differentiate(tl__graph *graph, int index, const bool *needed, int *gradients) {
    const tl__node node = graph->nodes[index];
    tl__gradient_rule rule = tl__op_gradient(node.op.op);
    int arriving[TL_MAX_OUTPUTS], result[TL_MAX_INPUTS] = {-1, -1, -1, -1, -1, -1};
    unsigned need = 0;
    for (int i = 0; i < TL_MAX_OUTPUTS; i++)
        arriving[i] = node.out[i] >= 0 ? gradients[node.out[i]] : -1;
    for (int i = 0; i < TL_MAX_INPUTS; i++)
        need |= (unsigned)(node.in[i] >= 0 && needed[node.in[i]]) << i;
    if (!need || (arriving[0] < 0 && !is_loss(&node)))
        return;
    if (!rule) {
        tl__graph_failed(graph, tl__fail(graph->context, TL_ERROR_INTERNAL, "%s: %s has no gradient", node.name,
                                         tl__op_rule_of(node.op.op)->name));
        return;
    }
    rule(graph, index, arriving, need, result);
    for (int i = 0; i < TL_MAX_INPUTS && graph->status == TL_OK; i++) {
        if (!(need >> i & 1))
            continue;
        int *sum = &gradients[node.in[i]];
        *sum = *sum < 0 ? result[i] : tl__add(graph, *sum, result[i], node.name);
    }
}

tl_status tl__graph_backward(tl__graph *graph, int loss) {
    if (graph->status != TL_OK)
        return graph->status;
    size_t values = graph->value_count;
    int *gradients = tl__alloc(graph->context, values * sizeof *gradients);
    bool *needed = gradients ? tl__calloc(graph->context, values, sizeof *needed) : NULL;
    if (!needed) {
        tl__free(graph->context, gradients);
        return graph->status = TL_ERROR_MEMORY;
    }
    memset(gradients, -1, values * sizeof *gradients);
    find_needed(graph, needed);
    graph->backward = true;
    for (int n = graph->values[loss].node; n >= 0 && graph->status == TL_OK; n--)
        if (!graph->nodes[n].dead)
            differentiate(graph, n, needed, gradients);
    graph->backward = false;
    for (size_t v = 0; v < values && graph->status == TL_OK; v++)
        if (gradients[v] >= 0 && graph->values[v].kind == TL__VALUE_PARAMETER)
            graph->values[gradients[v]].gradient_of = graph->values[v].parameter;
    tl__free(graph->context, gradients);
    tl__free(graph->context, needed);
    return graph->status;
}

void tl__graph_prune(tl__graph *graph) {
    for (int n = (int)graph->node_count - 1; n >= 0; n--) {
        tl__node *node = &graph->nodes[n];
        const tl__op_rule *rule = tl__op_rule_of(node->op.op);
        if (node->dead)
            continue;
        bool wanted = node->op.op == TL_OP_ADAM;
        for (int i = 0; i < TL_MAX_OUTPUTS; i++) {
            if (node->out[i] < 0)
                continue;
            const tl__value *value = &graph->values[node->out[i]];
            if (value->keep || value->gradient_of || tl__graph_consumers(graph, node->out[i]) > 0)
                wanted = true;
            else if (rule->optional_outputs >> i & 1)
                node->out[i] = -1;
        }
        node->dead = !wanted;
    }
}
