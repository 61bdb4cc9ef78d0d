#include "graph/graph.h"

/* The operand of a node that takes a summand, and the one that takes the mask of a ReLU's gradient. */
static int addend_slot(const tl__node *node) {
    switch (node->op.op) {
    case TL_OP_CONV2D:
        return node->in[3] < 0 && !node->op.relu ? 3 : -1;
    case TL_OP_BATCHNORM:
        return node->in[5] < 0 && !node->op.relu ? 5 : -1;
    case TL_OP_CONV2D_GRAD_INPUT:
        return node->in[2] < 0 && node->in[3] < 0 ? 2 : -1;
    default:
        return -1;
    }
}

static bool takes_relu(const tl__node *node) {
    return (node->op.op == TL_OP_CONV2D || node->op.op == TL_OP_BATCHNORM || node->op.op == TL_OP_ADD) && !node->op.relu;
}

/* The live node that computes `value` for this one reader alone, as its first output; -1 if there is none. */
static int sole_producer(const tl__graph *graph, int value) {
    const tl__value *v = &graph->values[value];
    if (v->kind != TL__VALUE_COMPUTED || v->keep || v->gradient_of || v->output != 0 || graph->nodes[v->node].dead)
        return -1;
    return tl__graph_consumers(graph, value) == 1 ? v->node : -1;
}

/* The producer takes over the place and the result of the node behind it: there all its operands exist. */
static void take_over(tl__graph *graph, int producer, int behind) {
    tl__node joined = graph->nodes[producer];
    joined.out[0] = graph->nodes[behind].out[0];
    graph->nodes[producer].dead = true;
    graph->nodes[behind] = joined;
    for (int i = 0; i < TL_MAX_OUTPUTS; i++)
        if (joined.out[i] >= 0) {
            graph->values[joined.out[i]].node = behind;
            graph->values[joined.out[i]].output = i;
        }
}

static void fuse_add(tl__graph *graph, int index) {
    const tl__node add = graph->nodes[index];
    for (int side = 0; side < 2 && add.in[0] != add.in[1]; side++) {
        int producer = sole_producer(graph, add.in[side]);
        int slot = producer < 0 ? -1 : addend_slot(&graph->nodes[producer]);
        if (slot < 0)
            continue;
        graph->nodes[producer].in[slot] = add.in[!side];
        take_over(graph, producer, index);
        return;
    }
}

static void fuse_relu(tl__graph *graph, int index) {
    int producer = sole_producer(graph, graph->nodes[index].in[0]);
    if (producer < 0 || !takes_relu(&graph->nodes[producer]))
        return;
    graph->nodes[producer].op.relu = 1;
    take_over(graph, producer, index);
}

static void fuse_relu_grad(tl__graph *graph, int index) {
    const tl__node grad = graph->nodes[index];
    int producer = sole_producer(graph, grad.in[0]);
    if (producer >= 0 && graph->nodes[producer].op.op == TL_OP_CONV2D_GRAD_INPUT && graph->nodes[producer].in[3] < 0) {
        graph->nodes[producer].in[3] = grad.in[1];
        take_over(graph, producer, index);
        return;
    }
    if (tl__graph_consumers(graph, grad.out[0]) != 1 || graph->values[grad.out[0]].keep)
        return;
    for (size_t n = (size_t)index + 1; n < graph->node_count; n++) {
        tl__node *reader = &graph->nodes[n];
        if (reader->dead || reader->op.op != TL_OP_BATCHNORM_GRAD || reader->in[1] != grad.out[0])
            continue;
        reader->in[1] = grad.in[0];
        reader->in[5] = grad.in[1];
        graph->nodes[index].dead = true;
        return;
    }
}

void tl__graph_fuse(tl__graph *graph) {
    for (size_t n = 0; n < graph->node_count; n++) {
        if (graph->nodes[n].dead)
            continue;
        switch (graph->nodes[n].op.op) {
        case TL_OP_ADD:
            fuse_add(graph, (int)n);
            break;
        case TL_OP_RELU:
            fuse_relu(graph, (int)n);
            break;
        case TL_OP_RELU_GRAD:
            fuse_relu_grad(graph, (int)n);
            break;
        default:
            break;
        }
    }
}

/* A part of a node that is being split: it reads `in` and, unless it is the last, gives a new value. */
static int part(tl__graph *graph, const tl__node *whole, uint32_t op, const int *in, bool last) {
    tl_op_desc desc = {.op = op};
    int value = tl__graph_node(graph, &desc, whole->name, in, 0);
    if (value < 0)
        return -1;
    tl__node *node = &graph->nodes[graph->node_count - 1];
    node->backward = whole->backward;
    if (last) {
        node->out[0] = whole->out[0];
        graph->values[whole->out[0]].node = (int)graph->node_count - 1;
        graph->values[whole->out[0]].output = 0;
    }
    return node->out[0];
}

/* The node itself, without what will follow it. */
static int bare(tl__graph *graph, const tl__node *whole, int addend, int mask) {
    tl_op_desc op = whole->op;
    int in[TL_MAX_INPUTS];
    unsigned outputs = 0;
    op.relu = 0;
    for (int i = 0; i < TL_MAX_INPUTS; i++)
        in[i] = i == addend || i == mask ? -1 : whole->in[i];
    for (int i = 0; i < TL_MAX_OUTPUTS; i++)
        outputs |= (unsigned)(whole->out[i] >= 0) << i;
    int first = tl__graph_node(graph, &op, whole->name, in, outputs);
    if (first < 0)
        return -1;
    tl__node *node = &graph->nodes[graph->node_count - 1];
    node->backward = whole->backward;
    for (int i = 1; i < TL_MAX_OUTPUTS; i++)
        if (whole->out[i] >= 0) {
            node->out[i] = whole->out[i];
            graph->values[whole->out[i]].node = (int)graph->node_count - 1;
        }
    return first;
}

static int split_batchnorm_grad(tl__graph *graph, int index, int parts[4]) {
    tl__node whole = graph->nodes[index];
    int dz = part(graph, &whole, TL_OP_RELU_GRAD, (const int[]){whole.in[1], whole.in[5]}, false);
    if (dz < 0)
        return 0;
    tl__node grad = whole;
    grad.in[1] = dz;
    grad.in[5] = -1;
    if (tl__grow(graph->context, (void **)&graph->nodes, &graph->node_capacity, graph->node_count, sizeof grad) != TL_OK) {
        tl__graph_failed(graph, TL_ERROR_MEMORY);
        return 0;
    }
    parts[0] = (int)graph->node_count - 1;
    parts[1] = (int)graph->node_count++;
    graph->nodes[parts[1]] = grad;
    for (int i = 0; i < TL_MAX_OUTPUTS; i++)
        if (grad.out[i] >= 0)
            graph->values[grad.out[i]].node = parts[1];
    graph->nodes[index].dead = true;
    return 2;
}

int tl__graph_split(tl__graph *graph, int node, int parts[4]) {
    const tl__node whole = graph->nodes[node];
    bool gradient = whole.op.op == TL_OP_CONV2D_GRAD_INPUT;
    int addend = whole.op.op == TL_OP_CONV2D ? 3 : whole.op.op == TL_OP_BATCHNORM ? 5 : gradient ? 2 : -1;
    int mask = gradient ? 3 : -1;
    bool has_addend = addend >= 0 && whole.in[addend] >= 0, has_mask = gradient && whole.in[mask] >= 0;
    if (whole.op.op == TL_OP_BATCHNORM_GRAD && whole.in[5] >= 0)
        return split_batchnorm_grad(graph, node, parts);
    if (!(has_addend || has_mask || (whole.op.relu && takes_relu(&(tl__node){.op.op = whole.op.op}))))
        return 0;
    int count = 0, first = (int)graph->node_count;
    int value = bare(graph, &whole, addend, mask);
    parts[count++] = first;
    if (has_addend && value >= 0) {
        value = part(graph, &whole, TL_OP_ADD, (const int[]){value, whole.in[addend]}, !whole.op.relu && !has_mask);
        parts[count++] = (int)graph->node_count - 1;
    }
    if (whole.op.relu && value >= 0) {
        value = part(graph, &whole, TL_OP_RELU, &value, true);
        parts[count++] = (int)graph->node_count - 1;
    }
    if (has_mask && value >= 0) {
        value = part(graph, &whole, TL_OP_RELU_GRAD, (const int[]){value, whole.in[mask]}, true);
        parts[count++] = (int)graph->node_count - 1;
    }
    graph->nodes[node].dead = true;
    return graph->status == TL_OK ? count : 0;
}
