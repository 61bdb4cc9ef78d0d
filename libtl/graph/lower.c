#include "graph/graph.h"

static bool any_needed(const tl__node *node, const bool *needed) {
    for (int i = 0; i < TL_MAX_OUTPUTS; i++)
        if (node->out[i] >= 0 && needed[node->out[i]])
            return true;
    return false;
}

/* After folding and fusing, whose rules know f32 alone. */
tl_status tl__graph_lower(tl__graph *graph) {
    if (!graph->storage || graph->storage == TL_DTYPE_F32)
        return TL_OK;
    bool *needed = tl__calloc(graph->context, graph->value_count + 1, sizeof *needed);
    if (!needed)
        return TL_ERROR_MEMORY;
    needed[graph->stored_to] = true;
    for (int n = (int)graph->node_count - 1; n >= 0; n--) {
        const tl__node *node = &graph->nodes[n];
        if (node->dead || !any_needed(node, needed))
            continue;
        for (int i = 0; i < TL_MAX_OUTPUTS; i++) {
            tl__value *value = node->out[i] < 0 ? NULL : &graph->values[node->out[i]];
            if (value && node->out[i] != graph->stored_to && value->desc.dtype == TL_DTYPE_F32)
                value->desc.dtype = graph->storage;
        }
        for (int i = 0; i < TL_MAX_INPUTS; i++)
            if (node->in[i] >= 0)
                needed[node->in[i]] = true;
    }
    tl__free(graph->context, needed);
    return TL_OK;
}
