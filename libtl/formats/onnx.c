#include "formats/onnx.h"

#include <stdlib.h>
#include <string.h>

enum { MODEL_GRAPH = 7 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_TYPE = 4, NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_FLOAT = 2, ATTRIBUTE_INTEGER = 3, ATTRIBUTE_TENSOR = 5, ATTRIBUTE_INTEGERS = 8 };

#define MAX_INPUTS 5

/* What a name in the graph stands for, as far as it matters here. */
enum meaning { UNKNOWN, ENTRY, LAYER };

struct value {
    tl__slice name;
    enum meaning meaning;
    size_t index; /* of the entry or layer */
};

struct node {
    tl__slice bytes, type, domain, output, inputs[MAX_INPUTS];
    size_t input_count;
};

struct graph {
    tl__archive *archive;
    tl__slice bytes;
    struct value *values; /* sorted by name */
    size_t value_count, layer_capacity;
};

static tl_status fail(const struct graph *graph, tl__slice name, const char *what) {
    tl__archive *archive = graph->archive;
    return tl__fail(archive->context, TL_ERROR_FORMAT, "%s: %.*s: %s", archive->path, TL__SLICE(name), what);
}

static tl_status malformed(tl__archive *archive) {
    return tl__fail(archive->context, TL_ERROR_FORMAT, "%s: is not an ONNX file, or is cut off or malformed",
                    archive->path);
}

/* ---- nodes ---- */

static tl_status read_node(const struct graph *graph, tl__slice bytes, struct node *node) {
    tl__message message = tl__message_of(bytes);
    tl__field field;
    bool has_output = false;
    *node = (struct node){.bytes = bytes};
    while (tl__message_next(&message, &field)) {
        switch (field.number) {
        case NODE_INPUT:
            if (node->input_count < MAX_INPUTS)
                node->inputs[node->input_count++] = field.bytes;
            break;
        case NODE_OUTPUT:
            if (!has_output)
                node->output = field.bytes;
            has_output = true;
            break;
        case NODE_TYPE: node->type = field.bytes; break;
        case NODE_DOMAIN: node->domain = field.bytes; break;
        default: break;
        }
    }
    return message.broken ? malformed(graph->archive) : TL_OK;
}

struct attribute {
    double number; /* of a float or an integer */
    int64_t integers[TL__ARCHIVE_MAX_RANK];
    int count;
    tl__slice tensor;
};

static void add_integer(struct attribute *attribute, uint64_t value) {
    if (attribute->count < TL__ARCHIVE_MAX_RANK)
        attribute->integers[attribute->count] = (int64_t)value;
    attribute->count++;
}

static void read_attribute(tl__slice bytes, tl__slice *name, struct attribute *attribute) {
    tl__message message = tl__message_of(bytes);
    tl__field field;
    *attribute = (struct attribute){0};
    *name = (tl__slice){0};
    while (tl__message_next(&message, &field)) {
        uint64_t value;
        if (field.number == ATTRIBUTE_NAME) {
            *name = field.bytes;
        } else if (field.number == ATTRIBUTE_FLOAT && field.wire == TL__WIRE_FIXED32) {
            uint32_t bits = (uint32_t)tl__read_le((const uint8_t *)field.bytes.text, 4);
            float number;
            memcpy(&number, &bits, sizeof number);
            attribute->number = number;
        } else if (field.number == ATTRIBUTE_INTEGER && field.wire == TL__WIRE_VARINT) {
            attribute->number = (double)(int64_t)field.value;
        } else if (field.number == ATTRIBUTE_TENSOR) {
            attribute->tensor = field.bytes;
        } else if (field.number == ATTRIBUTE_INTEGERS && field.wire == TL__WIRE_VARINT) {
            add_integer(attribute, field.value);
        } else if (field.number == ATTRIBUTE_INTEGERS) {
            tl__message packed = tl__message_of(field.bytes);
            while (packed.at < packed.end && tl__message_varint(&packed, &value))
                add_integer(attribute, value);
        }
    }
}

static bool find_attribute(const struct node *node, const char *name, struct attribute *attribute) {
    tl__message message = tl__message_of(node->bytes);
    tl__field field;
    tl__slice found;
    while (tl__message_next(&message, &field)) {
        if (field.number != NODE_ATTRIBUTE)
            continue;
        read_attribute(field.bytes, &found, attribute);
        if (tl__slice_is(found, name))
            return true;
    }
    *attribute = (struct attribute){0};
    return false;
}

static double number_attribute(const struct node *node, const char *name, double otherwise) {
    struct attribute attribute;
    return find_attribute(node, name, &attribute) ? attribute.number : otherwise;
}

/* ---- values ---- */

static int compare_values(const void *a, const void *b) {
    return tl__slice_compare(((const struct value *)a)->name, ((const struct value *)b)->name);
}

static struct value *find_value(const struct graph *graph, tl__slice name) {
    struct value wanted = {.name = name};
    if (!name.length || !graph->value_count)
        return NULL;
    return bsearch(&wanted, graph->values, graph->value_count, sizeof wanted, compare_values);
}

/* Entry or layer that input `at` of the node stands for, or NULL. */
static const struct value *input(const struct graph *graph, const struct node *node, size_t at, enum meaning meaning) {
    struct value *value = at < node->input_count ? find_value(graph, node->inputs[at]) : NULL;
    return value && value->meaning == meaning ? value : NULL;
}

static const tl__entry *entry_of(const struct graph *graph, const struct value *value) {
    return &graph->archive->entries[value->index];
}

static void set_output(const struct graph *graph, const struct node *node, enum meaning meaning, size_t index) {
    struct value *value = find_value(graph, node->output);
    if (value) {
        value->meaning = meaning;
        value->index = index;
    }
}

/* Names of all initialisers and of the first output of every node, sorted. */
static tl_status list_values(struct graph *graph) {
    tl__message message = tl__message_of(graph->bytes);
    tl__field field;
    size_t nodes = 0, initializers = 0;
    while (tl__message_next(&message, &field)) {
        nodes += field.number == GRAPH_NODE;
        initializers += field.number == GRAPH_INITIALIZER;
    }
    if (message.broken)
        return malformed(graph->archive);
    graph->values = tl__calloc(graph->archive->context, nodes + initializers, sizeof *graph->values);
    if (!graph->values)
        return TL_ERROR_MEMORY;
    TL__TRY(tl__archive_reserve(graph->archive, initializers));
    message = tl__message_of(graph->bytes);
    while (tl__message_next(&message, &field)) {
        struct value value = {0};
        if (field.number == GRAPH_INITIALIZER) {
            bool added;
            TL__TRY(tl__onnx_add_tensor(graph->archive, field.bytes, (tl__slice){0}, &added));
            TL__TRY(tl__onnx_tensor_name(graph->archive, field.bytes, &value.name));
            value.meaning = added ? ENTRY : UNKNOWN;
            value.index = graph->archive->entry_count - 1;
        } else if (field.number == GRAPH_NODE) {
            struct node node;
            TL__TRY(read_node(graph, field.bytes, &node));
            value.name = node.output;
        }
        if (value.name.length)
            graph->values[graph->value_count++] = value;
    }
    qsort(graph->values, graph->value_count, sizeof *graph->values, compare_values);
    for (size_t i = 1; i < graph->value_count; i++)
        if (compare_values(&graph->values[i - 1], &graph->values[i]) == 0)
            return fail(graph, graph->values[i].name, "is defined twice");
    return TL_OK;
}

/* ---- what the nodes do ---- */

static tl_status constant(struct graph *graph, const struct node *node) {
    struct attribute attribute;
    bool added;
    if (!find_attribute(node, "value", &attribute) || !attribute.tensor.text || !node->output.length)
        return TL_OK;
    TL__TRY(tl__onnx_add_tensor(graph->archive, attribute.tensor, node->output, &added));
    if (added)
        set_output(graph, node, ENTRY, graph->archive->entry_count - 1);
    return TL_OK;
}

static tl_status transpose(struct graph *graph, const struct node *node) {
    const struct value *value = input(graph, node, 0, ENTRY);
    struct attribute perm;
    if (!value)
        return TL_OK;
    tl__entry from = *entry_of(graph, value), to = from;
    bool given = find_attribute(node, "perm", &perm);
    uint32_t seen = 0;
    if (given && perm.count != from.rank)
        return fail(graph, node->output, "its Transpose does not fit its input");
    for (int i = 0; i < from.rank; i++) {
        int64_t axis = given ? perm.integers[i] : from.rank - 1 - i;
        if (axis < 0 || axis >= from.rank || seen & 1u << axis)
            return fail(graph, node->output, "its Transpose does not fit its input");
        seen |= 1u << axis;
        to.shape[i] = from.shape[axis];
        to.strides[i] = from.strides[axis];
    }
    if (!node->output.length)
        return TL_OK;
    TL__TRY(tl__archive_add(graph->archive, (tl__slice){0}, node->output, &to));
    set_output(graph, node, ENTRY, graph->archive->entry_count - 1);
    return TL_OK;
}

static tl_status add_layer(struct graph *graph, const struct node *node, tl__archive_layer layer) {
    tl__archive *archive = graph->archive;
    TL__TRY(tl__grow(archive->context, (void **)&archive->layers, &graph->layer_capacity, archive->layer_count,
                     sizeof *archive->layers));
    archive->layers[archive->layer_count++] = layer;
    set_output(graph, node, LAYER, archive->layer_count - 1);
    return TL_OK;
}

static tl__archive_layer new_layer(const struct value *weight, const struct value *bias) {
    return (tl__archive_layer){.weight = weight->index,
                               .bias = bias ? bias->index : SIZE_MAX,
                               .norm = {SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX}};
}

static int64_t outputs_of(const struct graph *graph, const tl__archive_layer *layer) {
    return graph->archive->entries[layer->weight].shape[layer->transposed ? 1 : 0];
}

static tl_status convolution(struct graph *graph, const struct node *node) {
    const struct value *weight = input(graph, node, 1, ENTRY);
    if (!weight || entry_of(graph, weight)->rank < 3)
        return TL_OK;
    tl__archive_layer layer = new_layer(weight, input(graph, node, 2, ENTRY));
    layer.convolution = true;
    return add_layer(graph, node, layer);
}

static tl_status gemm(struct graph *graph, const struct node *node) {
    const struct value *weight = input(graph, node, 1, ENTRY);
    if (!weight || entry_of(graph, weight)->rank != 2)
        return TL_OK;
    /* one that scales is no linear layer of a network of ours, and is missed when layers are counted */
    if (number_attribute(node, "alpha", 1) != 1 || number_attribute(node, "beta", 1) != 1 ||
        number_attribute(node, "transA", 0) != 0)
        return TL_OK;
    tl__archive_layer layer = new_layer(weight, input(graph, node, 2, ENTRY));
    layer.transposed = number_attribute(node, "transB", 0) == 0;
    return add_layer(graph, node, layer);
}

static tl_status matmul(struct graph *graph, const struct node *node) {
    const struct value *weight = input(graph, node, 1, ENTRY);
    if (!weight || entry_of(graph, weight)->rank != 2)
        return TL_OK;
    tl__archive_layer layer = new_layer(weight, NULL);
    layer.transposed = true;
    return add_layer(graph, node, layer);
}

/* A bias that is added by a node of its own. */
static tl_status add(struct graph *graph, const struct node *node) {
    for (size_t i = 0; i < 2; i++) {
        const struct value *value = input(graph, node, i, LAYER), *bias = input(graph, node, 1 - i, ENTRY);
        if (!value || !bias)
            continue;
        tl__archive_layer *layer = &graph->archive->layers[value->index];
        const tl__entry *entry = entry_of(graph, bias);
        int axis = entry->rank - (layer->convolution ? graph->archive->entries[layer->weight].rank - 1 : 1);
        if (layer->bias == SIZE_MAX && axis >= 0 && axis < entry->rank && entry->shape[axis] == entry->count &&
            entry->count == outputs_of(graph, layer)) {
            layer->bias = bias->index;
            set_output(graph, node, LAYER, value->index);
        }
    }
    return TL_OK;
}

static tl_status normalization(struct graph *graph, const struct node *node) {
    const struct value *value = input(graph, node, 0, LAYER);
    for (size_t i = 0; i < 4 && value; i++)
        if (!input(graph, node, i + 1, ENTRY))
            return TL_OK;
    for (size_t i = 0; i < 4 && value; i++)
        graph->archive->layers[value->index].norm[i] = input(graph, node, i + 1, ENTRY)->index;
    return TL_OK;
}

/* PyTorch's exporter keeps one of several equal initialisers and names the others as Identities of it. */
static tl_status identity(struct graph *graph, const struct node *node) {
    const struct value *value = input(graph, node, 0, ENTRY);
    if (!value || !node->output.length)
        return TL_OK;
    tl__entry entry = *entry_of(graph, value);
    TL__TRY(tl__archive_add(graph->archive, (tl__slice){0}, node->output, &entry));
    set_output(graph, node, ENTRY, graph->archive->entry_count - 1);
    return TL_OK;
}

/* read_f32 converts from any type, so a Cast changes nothing for us. */
static tl_status cast(struct graph *graph, const struct node *node) {
    const struct value *value = input(graph, node, 0, ENTRY);
    if (value)
        set_output(graph, node, ENTRY, value->index);
    return TL_OK;
}

static const struct {
    const char *type;
    tl_status (*apply)(struct graph *graph, const struct node *node);
} operators[] = {
    {"Conv", convolution}, {"Gemm", gemm},         {"MatMul", matmul},
    {"Add", add},          {"BatchNormalization", normalization},
    {"Constant", constant}, {"Identity", identity}, {"Transpose", transpose},
    {"Cast", cast},
};

static tl_status walk_nodes(struct graph *graph) {
    tl__message message = tl__message_of(graph->bytes);
    tl__field field;
    while (tl__message_next(&message, &field)) {
        struct node node;
        if (field.number != GRAPH_NODE)
            continue;
        TL__TRY(read_node(graph, field.bytes, &node));
        if (node.domain.length && !tl__slice_is(node.domain, "ai.onnx"))
            continue;
        for (size_t i = 0; i < TL__COUNT(operators); i++)
            if (tl__slice_is(node.type, operators[i].type))
                TL__TRY(operators[i].apply(graph, &node));
    }
    return TL_OK;
}

tl_status tl__onnx_read(tl__archive *archive) {
    struct graph graph = {.archive = archive};
    tl__message message = tl__message_of((tl__slice){(const char *)archive->mapping.data, archive->mapping.size});
    tl__field field;
    while (tl__message_next(&message, &field))
        if (field.number == MODEL_GRAPH && field.wire == TL__WIRE_BYTES)
            graph.bytes = field.bytes;
    if (message.broken || !graph.bytes.length)
        return malformed(archive);
    tl_status status = list_values(&graph);
    if (status == TL_OK)
        status = walk_nodes(&graph);
    tl__free(archive->context, graph.values);
    if (status == TL_OK && archive->entry_count == 0)
        return tl__fail(archive->context, TL_ERROR_FORMAT, "%s: holds no tensors", archive->path);
    return status;
}
