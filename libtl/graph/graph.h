/* graph/graph.h: what is to be computed, without saying where.
 *
 * A graph is a list of nodes in an order in which they can run, and of values. Model functions draw it, backward()
 * adds gradients, passes rewrite it, a plan (graph/plan.h) runs it. Shapes are concrete: a graph is for one batch
 * size and one image size, and drawing another one takes microseconds.
 *
 * Building functions return a value's index, or -1 after a failure, which the graph remembers: any later call does
 * nothing, so that a model's drawing reads straight. Ask tl__graph_status at the end. */
#ifndef TL__GRAPH_H
#define TL__GRAPH_H

#include "graph/parameter.h"

typedef enum tl__value_kind {
    TL__VALUE_COMPUTED,  /* output of a node; lives in the plan's arena unless `gradient_of` or `keep` says else */
    TL__VALUE_INPUT,     /* written by the host before a run */
    TL__VALUE_PARAMETER, /* live: in the trainer's buffers; otherwise a constant */
    TL__VALUE_CONSTANT,  /* `constant` says how to get it */
    TL__VALUE_FLAT,      /* one of the trainer's flat buffers, whole: `flat` */
} tl__value_kind;

typedef enum tl__flat { TL__FLAT_PARAMETERS, TL__FLAT_GRADIENTS, TL__FLAT_MOMENT1, TL__FLAT_MOMENT2 } tl__flat;

/* Contents that never change: a table that the graph holds, or a batch-norm folded into a convolution. */
typedef struct tl__constant_source {
    uint64_t id;
    tl_status (*read)(tl_context *context, const struct tl__constant_source *source, void *out);
    const tl__parameter *parameter;  /* weight or bias that is folded; NULL: absent (a bias) */
    const tl__parameter *norm[4];    /* scale, shift, mean, variance */
    float eps;
    void *data;                      /* a table's bytes, owned by the graph */
    size_t bytes;
} tl__constant_source;

typedef struct tl__value {
    tl_tensor_desc desc;
    tl__value_kind kind;
    int node, output;          /* COMPUTED: where it comes from */
    tl__parameter *parameter;  /* PARAMETER */
    tl__parameter *gradient_of; /* COMPUTED: lies in the flat gradient buffer at this parameter's place */
    tl__flat flat;             /* FLAT */
    tl__constant_source *constant; /* CONSTANT */
    bool keep;                 /* is read after a run: stays in the arena to the end */
    bool observed;             /* graph->observe: would be stored in 8 bits */
    const char *name;          /* for messages; owned by the graph; may be NULL */
} tl__value;

typedef struct tl__node {
    tl_op_desc op;
    int in[TL_MAX_INPUTS];   /* values; -1: absent */
    int out[TL_MAX_OUTPUTS];
    const char *name;        /* "layer1.0.conv1"; owned by the graph */
    bool backward;           /* belongs to the gradient */
    bool dead;               /* taken out by a pass */
} tl__node;

/* Values between two parts of a graph, in the order in which they are computed. What is stored in 16 bits ends at the first:
 * both the rest of the frozen part and the head read it. */
#define TL__CUT_VALUES 4
typedef struct tl__cut {
    int values[TL__CUT_VALUES];
    int count; /* 0: the graph is not cut */
} tl__cut;

static inline tl__cut tl__cut_at(int value) {
    return (tl__cut){.values = {value}, .count = 1};
}

/* Between which numbers a value was seen, 0 included. */
typedef struct tl__range {
    float low, high;
} tl__range;

typedef struct tl__graph {
    tl_context *context;
    tl__value *values;
    size_t value_count, value_capacity;
    tl__node *nodes;
    size_t node_count, node_capacity;
    void **owned; /* names, tables */
    size_t owned_count, owned_capacity;
    bool backward; /* nodes that are added now belong to the gradient */
    tl_dtype storage; /* of what is computed on the way to the value stored_to; 0: f32, as everywhere else */
    int stored_to;
    const tl__range *ranges; /* storage u8: by value as drawn; NULL: made up, for a plan that is not run */
    bool observe;            /* storage u8: what would be stored so stays in f32, to be looked at as the plan runs */
    tl_status status;
} tl__graph;

tl_status tl__graph_create(tl_context *context, tl__graph **out);
void tl__graph_destroy(tl__graph *graph);
tl_status tl__graph_status(const tl__graph *graph);
/* Records a failure; returns -1. The message is in the context already. */
int tl__graph_failed(tl__graph *graph, tl_status status);

int tl__graph_input(tl__graph *graph, tl_tensor_desc desc, const char *name);
int tl__graph_parameter(tl__graph *graph, tl__parameter *parameter); /* the same value for the same parameter */
int tl__graph_flat(tl__graph *graph, tl__flat flat, int64_t count);
/* A copy of `data` is kept. Two tables with the same bytes get the same id. */
int tl__graph_table(tl__graph *graph, tl_tensor_desc desc, const void *data, const char *name);

/* Adds a node; inputs in the order of TL_OP_LIST, -1 for absent. Checks the operands and infers the outputs by the
 * operation's shape rule; `outputs` says by bit which optional outputs are wanted (bit 0 the first). Returns the
 * first output present, or for an operation without outputs 0. The name is copied. */
int tl__graph_node(tl__graph *graph, const tl_op_desc *op, const char *name, const int *inputs, unsigned outputs);
/* Adds an optional output to a node that exists; returns it. */
int tl__graph_want(tl__graph *graph, int node, int output);
char *tl__graph_name(tl__graph *graph, const char *format, ...) TL__PRINTF(2, 3); /* owned by the graph; NULL after a failure */
int tl__graph_consumers(const tl__graph *graph, int value); /* how many live nodes read it */

/* ---- operations as model functions use them; `x` [N,H,W,C] ---- */

int tl__conv2d(tl__graph *graph, int x, int weight, int bias, const char *name, int stride, int pad, int dilation, int groups);
int tl__batchnorm(tl__graph *graph, int x, const int parameters[4], const char *name, tl_statistics statistics);
int tl__relu(tl__graph *graph, int x, const char *name);
int tl__add(tl__graph *graph, int a, int b, const char *name);
int tl__maxpool2d(tl__graph *graph, int x, const char *name, int kernel, int stride, int pad);
int tl__avgpool2d(tl__graph *graph, int x, const char *name, int height, int width); /* adaptive, to this size */
int tl__upsample2d(tl__graph *graph, int x, const char *name, int height, int width); /* bilinear, to this size */
int tl__concat(tl__graph *graph, const int *values, int count, const char *name);       /* up to 6, by channels */
int tl__dropout(tl__graph *graph, int x, int counter, const char *name, float p, uint32_t stream);
int tl__normalize(tl__graph *graph, int x, int table, const char *name);
int tl__cross_entropy(tl__graph *graph, int logits, int target, int class_weight, const char *name, int ignore_index, float smoothing, float scale);
int tl__dice(tl__graph *graph, int logits, int target, const char *name, int ignore_index, float scale); /* smoothed by 1 */

/* ---- rules of operations (ops/) ---- */

typedef struct tl__op_rule {
    const char *name;                      /* the stem */
    const char *inputs[TL_MAX_INPUTS];     /* operand names */
    const char *outputs[TL_MAX_OUTPUTS];
    int input_count, output_count;
    unsigned optional_inputs, optional_outputs; /* by bit */
    unsigned updated_inputs;                    /* by bit: '=' */
    unsigned aliases[TL_MAX_OUTPUTS];           /* by bit: inputs whose view the output may take: '~' */
} tl__op_rule;
const tl__op_rule *tl__op_rule_of(uint32_t op);

/* Shape of the outputs from the inputs' (dtype NONE: absent). Fills all outputs, optional ones included.
 * TL_ERROR_SHAPE with both shapes in the message; TL_ERROR_DATA for one value a channel in batch statistics. */
typedef tl_status (*tl__shape_rule)(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out);

/* Emits nodes that compute the gradients of those inputs that `need` names by bit, from those of the outputs
 * (gradients[i]: a value, or -1 where none arrives); puts them in result[input]. */
typedef void (*tl__gradient_rule)(tl__graph *graph, int node, const int *gradients, unsigned need, int *result);

tl_status tl__op_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out);
tl__gradient_rule tl__op_gradient(uint32_t op); /* NULL: it has none */
/* Multiplications and additions of the node, as a direct computation; 0 for cheap ones. */
double tl__op_flops(const tl__graph *graph, const tl__node *node);

/* ---- passes ---- */

/* Adds the gradients of the sum of all losses up to `loss` (first outputs of cross_entropy nodes, the first element divided by
 * the second, and of dice nodes, the first element; each times its node's scale) with respect to every parameter that trains, pruned to what reaches
 * one. Sets gradient_of on the results. */
tl_status tl__graph_backward(tl__graph *graph, int loss);

/* Kills nodes that nothing needs: no kept value, no gradient, no update in place depends on them. */
void tl__graph_prune(tl__graph *graph);

/* Stored batch-norms with constant parameters go into the constant convolution before them. */
tl_status tl__graph_fold(tl__graph *graph);

/* Joins convolution or batch-norm with addition and ReLU behind them, and the masks and sums of the backward pass. */
void tl__graph_fuse(tl__graph *graph);

/* Gives what is computed on the way to graph->stored_to, but not that itself, the type graph->storage: half the memory and
 * traffic, with arithmetic in f32. No gradient may go through there. u8: a quarter, and the nodes learn which
 * numbers the bytes stand for, by graph->ranges. */
tl_status tl__graph_lower(tl__graph *graph);

/* Says of each node whether its result may be off by more than direct summation makes it (op.exact is 0), which holds
 * for what is computed before anything trains or varies, and for all of a graph in which no gradient is masked by the
 * sign of a value or by which of several is the largest, and nothing is normalised by its batch's statistics: that spreads
 * one image's errors over the others, and the faster ways also hold more memory beside a training's (ResNet-50 in
 * batches of 32: 478 MB against 385). For the latter reason all is exact in a graph that is observed. Gradients are never
 * exact: masks are of the forward pass. TL_ERROR_MEMORY. */
tl_status tl__graph_mark_exact(tl__graph *graph);

/* The opposite for one node, where a backend does not take it whole: appends the parts to the graph and kills the
 * node; parts[] are their indices in order. Returns how many, 0 where there is nothing to split. */
int tl__graph_split(tl__graph *graph, int node, int parts[4]);

/* Where what neither trains nor varies ends: the last values that are computed from inputs and constants by deterministic
 * nodes only and that the rest reads, or that are `output` (-1: none). Where they are more than `most` (1 .. TL__CUT_VALUES),
 * the last single value through which all of them pass. None: count 0; *reason says why there is none or it is not further
 * on, in words that live for ever. TL_ERROR_MEMORY. */
tl_status tl__graph_frozen_cut(const tl__graph *graph, int output, int most, tl__cut *cut, const char **reason);
/* Is the value one that neither trains nor varies? TL_ERROR_MEMORY. */
tl_status tl__graph_is_frozen(const tl__graph *graph, int value, bool *frozen);
/* Makes computed values inputs: what led to them is no longer reached. */
void tl__graph_cut(tl__graph *graph, const tl__cut *cut);
bool tl__cut_equal(const tl__cut *a, const tl__cut *b);
bool tl__cut_has(const tl__cut *cut, int value);
/* "layer3.5.relu, layer4.2.relu" into text[size]; returns text. */
const char *tl__cut_text(const tl__cut *cut, const tl__graph *graph, char *text, size_t size);

#endif
