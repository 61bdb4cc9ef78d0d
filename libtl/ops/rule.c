#include "ops/ops.h"

#include <pthread.h>
#include <string.h>

static tl__op_rule rules[TL_OP_COUNT];
static char names[4096];
static size_t names_used;
static pthread_once_t rules_made = PTHREAD_ONCE_INIT;

static const char *keep_name(const char *text, size_t length) {
    char *name = names + names_used;
    memcpy(name, text, length);
    names_used += length + 1;
    return name;
}

static int input_named(const tl__op_rule *rule, const char *name, size_t length) {
    for (int i = 0; i < rule->input_count; i++)
        if (strncmp(rule->inputs[i], name, length) == 0 && rule->inputs[i][length] == 0)
            return i;
    return -1;
}

/* One operand: its name, then any of '?', '=', '~' and a list of inputs. Returns what follows it. */
static const char *parse_operand(tl__op_rule *rule, const char *at, bool is_input) {
    size_t length = strcspn(at, "?=~ ");
    int index = is_input ? rule->input_count++ : rule->output_count++;
    unsigned bit = 1u << index;
    *(is_input ? &rule->inputs[index] : &rule->outputs[index]) = keep_name(at, length);
    for (at += length; *at && *at != ' ';) {
        char mark = *at++;
        if (mark == '?')
            *(is_input ? &rule->optional_inputs : &rule->optional_outputs) |= bit;
        if (mark == '=')
            rule->updated_inputs |= bit;
        for (; mark == '~' && *at && *at != ' '; at += *at == ',') {
            size_t end = strcspn(at, ", ");
            rule->aliases[index] |= 1u << input_named(rule, at, end);
            at += end;
        }
    }
    return at + strspn(at, " ");
}

/* The list in tl/backend.h is the only one; this reads it. */
static void make_rules(void) {
#define PARSE(NAME, stem, inputs, outputs)              \
    rules[TL_OP_##NAME].name = #stem;                   \
    for (const char *at = inputs; *at;)                 \
        at = parse_operand(&rules[TL_OP_##NAME], at, true); \
    for (const char *at = outputs; *at;)                \
        at = parse_operand(&rules[TL_OP_##NAME], at, false);
    TL_OP_LIST(PARSE)
#undef PARSE
}

const tl__op_rule *tl__op_rule_of(uint32_t op) {
    pthread_once(&rules_made, make_rules);
    return op < TL_OP_COUNT ? &rules[op] : NULL;
}

tl_status tl__op_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    static const tl__shape_rule shapes[TL_OP_COUNT] = {
#define SHAPE(NAME, stem, inputs, outputs) [TL_OP_##NAME] = tl__##stem##_shape,
        TL_OP_LIST(SHAPE)
#undef SHAPE
    };
    return shapes[op->op](context, op, in, out);
}

tl__gradient_rule tl__op_gradient(uint32_t op) {
    static const tl__gradient_rule gradients[TL_OP_COUNT] = {
        [TL_OP_CONV2D] = tl__conv2d_gradient,       [TL_OP_BATCHNORM] = tl__batchnorm_gradient,
        [TL_OP_RELU] = tl__relu_gradient,           [TL_OP_ADD] = tl__add_gradient,
        [TL_OP_MAXPOOL2D] = tl__maxpool2d_gradient, [TL_OP_AVGPOOL2D] = tl__avgpool2d_gradient,
        [TL_OP_DROPOUT] = tl__dropout_gradient,     [TL_OP_CROSS_ENTROPY] = tl__cross_entropy_gradient,
        [TL_OP_CONCAT] = tl__concat_gradient,       [TL_OP_UPSAMPLE2D] = tl__upsample2d_gradient,
        [TL_OP_DICE] = tl__dice_gradient,
    };
    return op < TL_OP_COUNT ? gradients[op] : NULL;
}

double tl__op_flops(const tl__graph *graph, const tl__node *node) {
    int output, weight; /* values whose sizes give the work */
    switch (node->op.op) {
    case TL_OP_CONV2D:
        output = node->out[0], weight = node->in[1];
        break;
    case TL_OP_CONV2D_GRAD_INPUT:
        output = node->in[0], weight = node->in[1];
        break;
    case TL_OP_CONV2D_GRAD_WEIGHT:
        output = node->in[1], weight = node->out[0];
        break;
    default:
        return 0;
    }
    if (weight < 0)
        return 0;
    const tl_tensor_desc *w = &graph->values[weight].desc;
    return 2.0 * (double)tl__desc_count(&graph->values[output].desc) * (double)(w->shape[1] * w->shape[2] * w->shape[3]);
}

tl_status tl__op_expect(tl_context *context, const char *operand, const tl_tensor_desc *desc, tl_tensor_desc wanted) {
    char is[96], should[96];
    if (tl__desc_equal(desc, &wanted))
        return TL_OK;
    return tl__fail(context, TL_ERROR_SHAPE, "%s is %s where %s is needed", operand, tl__desc_text(desc, is, sizeof is),
                    tl__desc_text(&wanted, should, sizeof should));
}

tl_status tl__op_expect_rank(tl_context *context, const char *operand, const tl_tensor_desc *desc, int dtype, int rank) {
    char is[96];
    bool fits = desc->dtype == dtype && desc->rank == rank;
    for (int i = 0; fits && i < rank; i++)
        fits = desc->shape[i] >= 1;
    if (fits)
        return TL_OK;
    return tl__fail(context, TL_ERROR_SHAPE, "%s is %s where %s of %d dimensions is needed", operand,
                    tl__desc_text(desc, is, sizeof is), tl__dtype_name(dtype), rank);
}
