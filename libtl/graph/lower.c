#include <math.h>

#include "graph/graph.h"

typedef struct lowering {
    tl__graph *graph;
    bool *lowered; /* by value: stored in another type */
    tl__range *ranges;
} lowering;

static bool any_needed(const tl__node *node, const bool *needed) {
    for (int i = 0; i < TL_MAX_OUTPUTS; i++)
        if (node->out[i] >= 0 && needed[node->out[i]])
            return true;
    return false;
}

static void find_lowered(const lowering *l, bool *needed) {
    const tl__graph *graph = l->graph;
    needed[graph->stored_to] = true;
    for (int n = (int)graph->node_count - 1; n >= 0; n--) {
        const tl__node *node = &graph->nodes[n];
        if (node->dead || !any_needed(node, needed))
            continue;
        for (int i = 0; i < TL_MAX_OUTPUTS; i++)
            if (node->out[i] >= 0 && node->out[i] != graph->stored_to)
                l->lowered[node->out[i]] = graph->values[node->out[i]].desc.dtype == TL_DTYPE_F32;
        for (int i = 0; i < TL_MAX_INPUTS; i++)
            if (node->in[i] >= 0)
                needed[node->in[i]] = true;
    }
}

static void set_quantum(tl_op_desc *op, int operand, tl__range range) {
    const double width = (double)range.high - (double)range.low;
    op->step[operand] = width > 0 ? (float)(width / 255) : 1;
    op->zero[operand] = (int32_t)rint(-(double)range.low / (double)op->step[operand]);
}

/* A value's range is where its node writes it, and all that read it are told. The largest of bytes is the byte of the
 * largest, so maximum pooling leaves the range as it is. */
static void tell_ranges(const lowering *l) {
    tl__graph *graph = l->graph;
    for (size_t n = 0; n < graph->node_count; n++) {
        tl__node *node = &graph->nodes[n];
        const tl__op_rule *rule = tl__op_rule_of(node->op.op);
        if (node->dead)
            continue;
        if (node->op.op == TL_OP_MAXPOOL2D && l->lowered[node->out[0]] && l->lowered[node->in[0]])
            l->ranges[node->out[0]] = l->ranges[node->in[0]];
        for (int i = 0; i < rule->input_count; i++)
            if (node->in[i] >= 0 && l->lowered[node->in[i]])
                set_quantum(&node->op, i, l->ranges[node->in[i]]);
        for (int i = 0; i < rule->output_count; i++)
            if (node->out[i] >= 0 && l->lowered[node->out[i]])
                set_quantum(&node->op, rule->input_count + i, l->ranges[node->out[i]]);
    }
}

static void lower(const lowering *l) {
    tl__graph *graph = l->graph;
    for (size_t v = 0; v < graph->value_count; v++) {
        if (!l->lowered[v])
            continue;
        if (graph->observe)
            graph->values[v].observed = true;
        else
            graph->values[v].desc.dtype = graph->storage;
        l->ranges[v] = graph->ranges ? graph->ranges[v] : (tl__range){-1, 1};
    }
    if (graph->storage == TL_DTYPE_U8 && !graph->observe)
        tell_ranges(l);
}

/* After folding and fusing, whose rules know f32 alone. */
tl_status tl__graph_lower(tl__graph *graph) {
    if (!graph->storage || graph->storage == TL_DTYPE_F32)
        return TL_OK;
    const size_t count = graph->value_count + 1;
    bool *needed = tl__calloc(graph->context, count, sizeof *needed);
    lowering l = {.graph = graph};
    l.lowered = tl__calloc(graph->context, count, sizeof *l.lowered);
    l.ranges = tl__calloc(graph->context, count, sizeof *l.ranges);
    const bool enough = needed && l.lowered && l.ranges;
    if (enough) {
        find_lowered(&l, needed);
        lower(&l);
    }
    tl__free(graph->context, needed);
    tl__free(graph->context, l.lowered);
    tl__free(graph->context, l.ranges);
    return enough ? TL_OK : TL_ERROR_MEMORY;
}
