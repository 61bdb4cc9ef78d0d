#include "graph/graph.h"

#include <stdio.h>
#include <string.h>

tl_status tl__graph_create(tl_context *context, tl__graph **out) {
    tl__graph *graph = tl__calloc(context, 1, sizeof *graph);
    if (!graph)
        return TL_ERROR_MEMORY;
    graph->context = context;
    *out = graph;
    return TL_OK;
}

void tl__graph_destroy(tl__graph *graph) {
    if (!graph)
        return;
    for (size_t i = 0; i < graph->owned_count; i++)
        tl__free(graph->context, graph->owned[i]);
    tl__free(graph->context, graph->owned);
    tl__free(graph->context, graph->values);
    tl__free(graph->context, graph->nodes);
    tl__free(graph->context, graph);
}

tl_status tl__graph_status(const tl__graph *graph) {
    return graph->status;
}

int tl__graph_failed(tl__graph *graph, tl_status status) {
    if (graph->status == TL_OK)
        graph->status = status;
    return -1;
}

/* Takes ownership whatever happens; NULL after a failure. */
static void *own(tl__graph *graph, void *memory) {
    if (!memory)
        tl__graph_failed(graph, TL_ERROR_MEMORY);
    if (graph->status != TL_OK ||
        tl__grow(graph->context, (void **)&graph->owned, &graph->owned_capacity, graph->owned_count, sizeof *graph->owned) != TL_OK) {
        tl__graph_failed(graph, TL_ERROR_MEMORY);
        tl__free(graph->context, memory);
        return NULL;
    }
    return graph->owned[graph->owned_count++] = memory;
}

char *tl__graph_name(tl__graph *graph, const char *format, ...) {
    char text[256];
    va_list args;
    if (graph->status != TL_OK)
        return NULL;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return own(graph, tl__strdup(graph->context, text));
}

static int add_value(tl__graph *graph, tl__value value) {
    if (graph->status != TL_OK)
        return -1;
    if (tl__grow(graph->context, (void **)&graph->values, &graph->value_capacity, graph->value_count, sizeof value) != TL_OK)
        return tl__graph_failed(graph, TL_ERROR_MEMORY);
    graph->values[graph->value_count] = value;
    return (int)graph->value_count++;
}

int tl__graph_input(tl__graph *graph, tl_tensor_desc desc, const char *name) {
    const char *copy = tl__graph_name(graph, "%s", name);
    return add_value(graph, (tl__value){.desc = desc, .kind = TL__VALUE_INPUT, .node = -1, .name = copy});
}

int tl__graph_parameter(tl__graph *graph, tl__parameter *parameter) {
    if (graph->status != TL_OK)
        return -1;
    for (size_t i = 0; i < graph->value_count; i++)
        if (graph->values[i].parameter == parameter)
            return (int)i;
    return add_value(graph, (tl__value){.desc = parameter->desc, .kind = TL__VALUE_PARAMETER, .node = -1,
                                        .parameter = parameter, .name = parameter->name});
}

int tl__graph_flat(tl__graph *graph, tl__flat flat, int64_t count) {
    static const char *const names[] = {"parameters", "gradients", "first moments", "second moments"};
    return add_value(graph, (tl__value){.desc = tl__desc1(TL_DTYPE_F32, count), .kind = TL__VALUE_FLAT, .node = -1,
                                        .flat = flat, .name = names[flat]});
}

static tl_status read_table(tl_context *context, const tl__constant_source *source, void *out) {
    (void)context;
    memcpy(out, source->data, source->bytes);
    return TL_OK;
}

/* Ids of tables are drawn from their bytes, those of parameters from a counter that starts at 1: the top bit keeps
 * them apart. */
int tl__graph_table(tl__graph *graph, tl_tensor_desc desc, const void *data, const char *name) {
    if (graph->status != TL_OK)
        return -1;
    size_t bytes = tl__desc_bytes(&desc);
    tl__constant_source *source = own(graph, tl__calloc(graph->context, 1, sizeof *source));
    void *copy = source ? own(graph, tl__alloc(graph->context, bytes)) : NULL;
    const char *label = copy ? tl__graph_name(graph, "%s", name) : NULL;
    if (!label)
        return -1;
    memcpy(copy, data, bytes);
    *source = (tl__constant_source){.id = tl__hash_bytes(data, bytes, bytes).low | 1ull << 63, .read = read_table, .data = copy, .bytes = bytes};
    return add_value(graph, (tl__value){.desc = desc, .kind = TL__VALUE_CONSTANT, .node = -1, .constant = source, .name = label});
}

static int add_output(tl__graph *graph, int node, int output, tl_tensor_desc desc) {
    return graph->nodes[node].out[output] = add_value(graph, (tl__value){.desc = desc, .kind = TL__VALUE_COMPUTED, .node = node,
                                                                         .output = output, .name = graph->nodes[node].name});
}

static tl_status infer(tl__graph *graph, const tl__node *node, tl_tensor_desc *out) {
    const tl__op_rule *rule = tl__op_rule_of(node->op.op);
    tl_tensor_desc in[TL_MAX_INPUTS] = {{0}};
    for (int i = 0; i < rule->input_count; i++) {
        if (node->in[i] >= 0)
            in[i] = graph->values[node->in[i]].desc;
        else if (!(rule->optional_inputs >> i & 1))
            return tl__fail(graph->context, TL_ERROR_INTERNAL, "%s lacks its %s", rule->name, rule->inputs[i]);
    }
    return tl__op_shape(graph->context, &node->op, in, out);
}

int tl__graph_node(tl__graph *graph, const tl_op_desc *op, const char *name, const int *inputs, unsigned outputs) {
    if (graph->status != TL_OK)
        return -1;
    const tl__op_rule *rule = tl__op_rule_of(op->op);
    tl__node node = {.op = *op, .in = {-1, -1, -1, -1, -1, -1}, .out = {-1, -1, -1}, .backward = graph->backward};
    tl_tensor_desc out[TL_MAX_OUTPUTS] = {{0}};
    node.op.size = sizeof *op;
    node.name = tl__graph_name(graph, "%s", name);
    for (int i = 0; i < rule->input_count; i++)
        node.in[i] = inputs[i];
    if (!node.name)
        return -1;
    tl_status status = infer(graph, &node, out);
    if (status != TL_OK)
        return tl__graph_failed(graph, tl__fail_at(graph->context, status, "%s (%s)", name, rule->name));
    if (tl__grow(graph->context, (void **)&graph->nodes, &graph->node_capacity, graph->node_count, sizeof node) != TL_OK)
        return tl__graph_failed(graph, TL_ERROR_MEMORY);
    int index = (int)graph->node_count++, first = -1;
    graph->nodes[index] = node;
    for (int i = 0; i < rule->output_count; i++)
        if (!(rule->optional_outputs >> i & 1) || outputs >> i & 1) {
            int value = add_output(graph, index, i, out[i]);
            first = first < 0 ? value : first;
        }
    return rule->output_count ? first : 0;
}

int tl__graph_want(tl__graph *graph, int node, int output) {
    tl_tensor_desc out[TL_MAX_OUTPUTS] = {{0}};
    if (graph->status != TL_OK)
        return -1;
    if (graph->nodes[node].out[output] >= 0)
        return graph->nodes[node].out[output];
    tl_status status = infer(graph, &graph->nodes[node], out);
    return status == TL_OK ? add_output(graph, node, output, out[output]) : tl__graph_failed(graph, status);
}

int tl__graph_consumers(const tl__graph *graph, int value) {
    int count = 0;
    for (size_t n = 0; n < graph->node_count; n++)
        for (int i = 0; !graph->nodes[n].dead && i < TL_MAX_INPUTS; i++)
            count += graph->nodes[n].in[i] == value;
    return count;
}
