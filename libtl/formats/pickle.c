#include "formats/pickle.h"

#include <stdio.h>
#include <string.h>

#define BLOCK_ITEMS 256

/* Made first, so that the shortest opcodes need no memory. */
enum { NODE_NONE, NODE_FALSE, NODE_TRUE, NODE_OPAQUE, NODE_EMPTY_TUPLE, FIXED_NODES };

/* ---- pools ---- */

static void *pool_at(const tl__pool *pool, size_t size, uint32_t index) {
    return pool->blocks[index / BLOCK_ITEMS] + index % BLOCK_ITEMS * size;
}

static tl_status pool_add(tl_context *context, tl__pool *pool, size_t size, uint32_t *index) {
    if (pool->count == pool->block_count * BLOCK_ITEMS) {
        TL__TRY(tl__grow(context, (void **)&pool->blocks, &pool->block_capacity, pool->block_count,
                         sizeof *pool->blocks));
        uint8_t *block = tl__alloc(context, BLOCK_ITEMS * size);
        if (!block)
            return TL_ERROR_MEMORY;
        pool->blocks[pool->block_count++] = block;
    }
    *index = pool->count++;
    return TL_OK;
}

static void pool_free(tl_context *context, tl__pool *pool) {
    for (size_t i = 0; i < pool->block_count; i++)
        tl__free(context, pool->blocks[i]);
    tl__free(context, pool->blocks);
}

tl__node *tl__pickle_edit(tl__pickle *pickle, uint32_t index) {
    return pool_at(&pickle->nodes, sizeof(tl__node), index);
}

const tl__node *tl__pickle_node(const tl__pickle *pickle, uint32_t index) {
    return pool_at(&pickle->nodes, sizeof(tl__node), index);
}

const tl__cell *tl__pickle_cell(const tl__pickle *pickle, uint32_t index) {
    return pool_at(&pickle->cells, sizeof(tl__cell), index);
}

tl_status tl__pickle_make(tl__pickle *pickle, tl__node node, uint32_t *index) {
    TL__TRY(pool_add(pickle->context, &pickle->nodes, sizeof node, index));
    *tl__pickle_edit(pickle, *index) = node;
    return TL_OK;
}

tl_status tl__pickle_fail(tl__pickle *pickle, tl_status status, const char *format, ...) {
    char what[600];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return tl__fail(pickle->context, status, "%s: its pickle at byte %zu: %s", pickle->path, pickle->at, what);
}

/* ---- looking at nodes ---- */

tl__slice tl__pickle_text(const tl__pickle *pickle, const tl__node *node) {
    return (tl__slice){(const char *)pickle->data + node->of.text, node->count};
}

const tl__node *tl__pickle_item(const tl__pickle *pickle, const tl__node *sequence, uint32_t at) {
    if (at >= sequence->count)
        return NULL;
    const tl__cell *cell = tl__pickle_cell(pickle, sequence->of.items.first);
    while (at-- > 0)
        cell = tl__pickle_cell(pickle, cell->next);
    return tl__pickle_node(pickle, cell->value);
}

const tl__node *tl__pickle_value(const tl__pickle *pickle, const tl__node *dict, const char *key) {
    const tl__node *found = NULL;
    uint32_t at = dict->of.items.first;
    for (uint32_t i = 0; i < dict->count; i++) {
        const tl__cell *cell = tl__pickle_cell(pickle, at);
        const tl__node *name = tl__pickle_node(pickle, cell->key);
        if (name->kind == TL__PICKLE_TEXT && tl__slice_is(tl__pickle_text(pickle, name), key))
            found = tl__pickle_node(pickle, cell->value);
        at = cell->next;
    }
    return found;
}

/* ---- building nodes ---- */

tl_status tl__pickle_append(tl__pickle *pickle, uint32_t container, uint32_t key, uint32_t value) {
    tl__node *node = tl__pickle_edit(pickle, container);
    uint8_t depth = tl__pickle_node(pickle, value)->depth;
    uint32_t index;
    if (depth >= TL__PICKLE_MAX_DEPTH)
        return tl__pickle_fail(pickle, TL_ERROR_LIMIT, "more than %d levels of nesting", TL__PICKLE_MAX_DEPTH);
    TL__TRY(pool_add(pickle->context, &pickle->cells, sizeof(tl__cell), &index));
    *(tl__cell *)pool_at(&pickle->cells, sizeof(tl__cell), index) = (tl__cell){key, value, 0};
    if (node->count)
        ((tl__cell *)pool_at(&pickle->cells, sizeof(tl__cell), node->of.items.last))->next = index;
    else
        node->of.items.first = index;
    node->of.items.last = index;
    node->count++;
    if (node->depth <= depth)
        node->depth = (uint8_t)(depth + 1);
    return TL_OK;
}

static tl_status push(tl__pickle *pickle, uint32_t index) {
    TL__TRY(tl__grow(pickle->context, (void **)&pickle->stack, &pickle->stack_capacity, pickle->stack_count,
                     sizeof *pickle->stack));
    pickle->stack[pickle->stack_count++] = index;
    return TL_OK;
}

static tl_status push_node(tl__pickle *pickle, tl__node node) {
    uint32_t index;
    TL__TRY(tl__pickle_make(pickle, node, &index));
    return push(pickle, index);
}

static tl_status push_integer(tl__pickle *pickle, int64_t value) {
    return push_node(pickle, (tl__node){.kind = TL__PICKLE_INTEGER, .of.integer = value});
}

/* Nothing below the last mark may be popped. */
static bool has(const tl__pickle *pickle, size_t count) {
    size_t floor = pickle->mark_count ? pickle->marks[pickle->mark_count - 1] : 0;
    return pickle->stack_count - floor >= count;
}

static tl_status underflow(tl__pickle *pickle) {
    return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "takes more from its stack than there is");
}

static tl_status pop(tl__pickle *pickle, uint32_t *index) {
    if (!has(pickle, 1))
        return underflow(pickle);
    *index = pickle->stack[--pickle->stack_count];
    return TL_OK;
}

static tl_status pop_mark(tl__pickle *pickle, size_t *first) {
    if (!pickle->mark_count)
        return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "has no mark to go back to");
    *first = pickle->marks[--pickle->mark_count];
    return TL_OK;
}

/* The items from `first` on become one container. */
static tl_status collect(tl__pickle *pickle, tl__pickle_kind kind, size_t first) {
    if (kind == TL__PICKLE_TUPLE && first == pickle->stack_count)
        return push(pickle, NODE_EMPTY_TUPLE);
    uint32_t made = 0;
    TL__TRY(tl__pickle_make(pickle, (tl__node){.kind = (uint8_t)kind, .depth = 1}, &made));
    size_t step = kind == TL__PICKLE_DICT ? 2 : 1;
    if ((pickle->stack_count - first) % step != 0)
        return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "a dictionary with a key without a value");
    for (size_t i = first; i < pickle->stack_count; i += step)
        TL__TRY(tl__pickle_append(pickle, made, pickle->stack[i], pickle->stack[i + step - 1]));
    pickle->stack_count = first;
    return push(pickle, made);
}

/* The items from `first` on go into the container below them. Objects of which nothing is needed swallow them. */
static tl_status extend(tl__pickle *pickle, tl__pickle_kind kind, size_t first) {
    size_t step = kind == TL__PICKLE_DICT ? 2 : 1;
    size_t floor = pickle->mark_count ? pickle->marks[pickle->mark_count - 1] : 0;
    if (first <= floor)
        return underflow(pickle);
    uint32_t container = pickle->stack[first - 1];
    uint8_t is = tl__pickle_node(pickle, container)->kind;
    if ((is != kind && is != TL__PICKLE_OPAQUE) || (pickle->stack_count - first) % step != 0)
        return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "puts items into what is no %s",
                               kind == TL__PICKLE_DICT ? "dictionary" : "list");
    for (size_t i = first; i < pickle->stack_count && is == kind; i += step)
        TL__TRY(tl__pickle_append(pickle, container, pickle->stack[i], pickle->stack[i + step - 1]));
    pickle->stack_count = first;
    return TL_OK;
}

static tl_status extend_from_mark(tl__pickle *pickle, tl__pickle_kind kind) {
    size_t first = 0;
    TL__TRY(pop_mark(pickle, &first));
    return extend(pickle, kind, first);
}

static tl_status collect_from_mark(tl__pickle *pickle, tl__pickle_kind kind) {
    size_t first = 0;
    TL__TRY(pop_mark(pickle, &first));
    return collect(pickle, kind, first);
}

static tl_status collect_last(tl__pickle *pickle, size_t count) {
    return has(pickle, count) ? collect(pickle, TL__PICKLE_TUPLE, pickle->stack_count - count) : underflow(pickle);
}

static tl_status extend_last(tl__pickle *pickle, tl__pickle_kind kind, size_t count) {
    return has(pickle, count + 1) ? extend(pickle, kind, pickle->stack_count - count) : underflow(pickle);
}

/* ---- operands ---- */

static tl_status take(tl__pickle *pickle, uint64_t bytes, const uint8_t **data) {
    if (bytes > pickle->size - pickle->at)
        return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "is cut off");
    *data = pickle->data + pickle->at;
    pickle->at += (size_t)bytes;
    return TL_OK;
}

static tl_status take_number(tl__pickle *pickle, size_t bytes, uint64_t *number) {
    const uint8_t *data = NULL;
    TL__TRY(take(pickle, bytes, &data));
    *number = tl__read_le(data, bytes);
    return TL_OK;
}

static tl_status take_line(tl__pickle *pickle, tl__slice *line) {
    const uint8_t *start = pickle->data + pickle->at, *end = memchr(start, '\n', pickle->size - pickle->at);
    if (!end)
        return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "is cut off");
    *line = (tl__slice){(const char *)start, (size_t)(end - start)};
    pickle->at += line->length + 1;
    return TL_OK;
}

static tl_status text(tl__pickle *pickle, size_t length_bytes, bool opaque) {
    uint64_t length = 0;
    const uint8_t *data = NULL;
    TL__TRY(take_number(pickle, length_bytes, &length));
    TL__TRY(take(pickle, length, &data));
    if (opaque)
        return push(pickle, NODE_OPAQUE);
    if (length > UINT32_MAX)
        return tl__pickle_fail(pickle, TL_ERROR_LIMIT, "a text of more than 4 GiB");
    return push_node(pickle, (tl__node){.kind = TL__PICKLE_TEXT,
                                        .count = (uint32_t)length,
                                        .of.text = (uint64_t)(data - pickle->data)});
}

/* Two's complement of any length; those that int64 cannot hold (the magic number of old files) are opaque. */
static tl_status long_integer(tl__pickle *pickle, size_t length_bytes) {
    uint64_t length = 0;
    const uint8_t *data = NULL;
    TL__TRY(take_number(pickle, length_bytes, &length));
    TL__TRY(take(pickle, length, &data));
    if (length > 8)
        return push(pickle, NODE_OPAQUE);
    uint64_t value = tl__read_le(data, (size_t)length);
    if (length > 0 && length < 8 && data[length - 1] & 0x80)
        value |= UINT64_MAX << 8 * length;
    return push_integer(pickle, (int64_t)value);
}

static tl_status put(tl__pickle *pickle, uint64_t slot) {
    if (!has(pickle, 1))
        return underflow(pickle);
    if (slot > pickle->memo_count + 1) /* picklers number from 0 on, Python 2's C one from 1 */
        return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "leaves a gap in its memo");
    while (slot >= pickle->memo_count) {
        TL__TRY(tl__grow(pickle->context, (void **)&pickle->memo, &pickle->memo_capacity, pickle->memo_count,
                         sizeof *pickle->memo));
        pickle->memo[pickle->memo_count++] = NODE_NONE;
    }
    pickle->memo[slot] = pickle->stack[pickle->stack_count - 1];
    return TL_OK;
}

static tl_status put_at(tl__pickle *pickle, size_t bytes) {
    uint64_t slot = 0;
    TL__TRY(take_number(pickle, bytes, &slot));
    return put(pickle, slot);
}

static tl_status get(tl__pickle *pickle, size_t bytes) {
    uint64_t slot = 0;
    TL__TRY(take_number(pickle, bytes, &slot));
    if (slot >= pickle->memo_count)
        return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "asks its memo for what is not there");
    return push(pickle, pickle->memo[slot]);
}

static tl_status global(tl__pickle *pickle) {
    tl__slice module, name;
    uint32_t index;
    TL__TRY(take_line(pickle, &module));
    TL__TRY(take_line(pickle, &name));
    TL__TRY(tl__pickle_find_global(pickle, module, name, &index));
    return push(pickle, index);
}

static tl_status stack_global(tl__pickle *pickle) {
    uint32_t module = 0, name = 0, index = 0;
    TL__TRY(pop(pickle, &name));
    TL__TRY(pop(pickle, &module));
    const tl__node *m = tl__pickle_node(pickle, module), *n = tl__pickle_node(pickle, name);
    if (m->kind != TL__PICKLE_TEXT || n->kind != TL__PICKLE_TEXT)
        return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "a global whose name is no text");
    TL__TRY(tl__pickle_find_global(pickle, tl__pickle_text(pickle, m), tl__pickle_text(pickle, n), &index));
    return push(pickle, index);
}

static tl_status call(tl__pickle *pickle) {
    uint32_t function = 0, arguments = 0, result = 0;
    TL__TRY(pop(pickle, &arguments));
    TL__TRY(pop(pickle, &function));
    TL__TRY(tl__pickle_call(pickle, function, arguments, &result));
    return push(pickle, result);
}

static tl_status build(tl__pickle *pickle) {
    uint32_t state = 0;
    TL__TRY(pop(pickle, &state));
    return has(pickle, 1) ? tl__pickle_build(pickle, pickle->stack[pickle->stack_count - 1], state)
                          : underflow(pickle);
}

static tl_status persistent(tl__pickle *pickle) {
    uint32_t tuple = 0;
    TL__TRY(pop(pickle, &tuple));
    if (tl__pickle_node(pickle, tuple)->kind != TL__PICKLE_TUPLE)
        return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "a persistent object that is not PyTorch's");
    return push_node(pickle, (tl__node){.kind = TL__PICKLE_PERSISTENT, .depth = 1, .of.items.first = tuple});
}

static tl_status mark(tl__pickle *pickle) {
    if (pickle->mark_count == TL__PICKLE_MAX_DEPTH)
        return tl__pickle_fail(pickle, TL_ERROR_LIMIT, "more than %d levels of nesting", TL__PICKLE_MAX_DEPTH);
    pickle->marks[pickle->mark_count++] = pickle->stack_count;
    return TL_OK;
}

static tl_status small_integer(tl__pickle *pickle, size_t bytes) {
    uint64_t value = 0;
    TL__TRY(take_number(pickle, bytes, &value));
    return push_integer(pickle, bytes == 4 ? (int32_t)(uint32_t)value : (int64_t)value);
}

static tl_status skip(tl__pickle *pickle, size_t bytes, bool opaque) {
    const uint8_t *data = NULL;
    TL__TRY(take(pickle, bytes, &data));
    return opaque ? push(pickle, NODE_OPAQUE) : TL_OK;
}

static tl_status protocol(tl__pickle *pickle) {
    uint64_t version = 0;
    TL__TRY(take_number(pickle, 1, &version));
    return version >= 2 && version <= 5
               ? TL_OK
               : tl__pickle_fail(pickle, TL_ERROR_FORMAT, "protocol %u is not read", (unsigned)version);
}

static tl_status drop(tl__pickle *pickle) {
    uint32_t dropped;
    if (!has(pickle, 1) && pickle->mark_count) { /* Python's POP also takes a mark */
        pickle->mark_count--;
        return TL_OK;
    }
    return pop(pickle, &dropped);
}

static tl_status drop_to_mark(tl__pickle *pickle) {
    return pop_mark(pickle, &pickle->stack_count);
}

static tl_status duplicate(tl__pickle *pickle) {
    return has(pickle, 1) ? push(pickle, pickle->stack[pickle->stack_count - 1]) : underflow(pickle);
}

/* NEWOBJ_EX: the keyword arguments are dropped, as all arguments of opaque objects are. */
static tl_status call_with_keywords(tl__pickle *pickle) {
    uint32_t keywords;
    TL__TRY(pop(pickle, &keywords));
    return call(pickle);
}

/* ---- the machine ---- */

static tl_status step(tl__pickle *pickle, uint8_t opcode) {
    switch (opcode) {
    case 0x80: return protocol(pickle);
    case 0x95: return skip(pickle, 8, false); /* FRAME */
    case '(': return mark(pickle);
    case '0': return drop(pickle);
    case '1': return drop_to_mark(pickle);
    case '2': return duplicate(pickle);
    case 'N': return push(pickle, NODE_NONE);
    case 0x88: return push(pickle, NODE_TRUE);
    case 0x89: return push(pickle, NODE_FALSE);
    case 'K': return small_integer(pickle, 1);
    case 'M': return small_integer(pickle, 2);
    case 'J': return small_integer(pickle, 4);
    case 0x8a: return long_integer(pickle, 1);
    case 0x8b: return long_integer(pickle, 4);
    case 'G': return skip(pickle, 8, true); /* BINFLOAT */
    case 'X': return text(pickle, 4, false);
    case 0x8c: return text(pickle, 1, false);
    case 0x8d: return text(pickle, 8, false);
    case 'T': return text(pickle, 4, false); /* Python 2's str */
    case 'U': return text(pickle, 1, false);
    case 'B': return text(pickle, 4, true); /* bytes */
    case 'C': return text(pickle, 1, true);
    case 0x8e: return text(pickle, 8, true);
    case ')': return push(pickle, NODE_EMPTY_TUPLE);
    case 0x85: return collect_last(pickle, 1);
    case 0x86: return collect_last(pickle, 2);
    case 0x87: return collect_last(pickle, 3);
    case 't': return collect_from_mark(pickle, TL__PICKLE_TUPLE);
    case ']':
    case 0x8f: return collect(pickle, TL__PICKLE_LIST, pickle->stack_count); /* list, set */
    case 'l':
    case 0x91: return collect_from_mark(pickle, TL__PICKLE_LIST); /* list, frozenset */
    case 'a': return extend_last(pickle, TL__PICKLE_LIST, 1);
    case 'e':
    case 0x90: return extend_from_mark(pickle, TL__PICKLE_LIST);
    case '}': return collect(pickle, TL__PICKLE_DICT, pickle->stack_count);
    case 'd': return collect_from_mark(pickle, TL__PICKLE_DICT);
    case 's': return extend_last(pickle, TL__PICKLE_DICT, 2);
    case 'u': return extend_from_mark(pickle, TL__PICKLE_DICT);
    case 'q': return put_at(pickle, 1);
    case 'r': return put_at(pickle, 4);
    case 0x94: return put(pickle, pickle->memo_count);
    case 'h': return get(pickle, 1);
    case 'j': return get(pickle, 4);
    case 'c': return global(pickle);
    case 0x93: return stack_global(pickle);
    case 'R':
    case 0x81: return call(pickle); /* REDUCE, NEWOBJ */
    case 0x92: return call_with_keywords(pickle);
    case 'b': return build(pickle);
    case 'Q': return persistent(pickle);
    default: return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "opcode 0x%02x is none that PyTorch writes", opcode);
    }
}

static tl_status run(tl__pickle *pickle) {
    static const tl__node fixed[FIXED_NODES] = {
        [NODE_NONE] = {.kind = TL__PICKLE_NONE},
        [NODE_FALSE] = {.kind = TL__PICKLE_BOOL, .of.integer = 0},
        [NODE_TRUE] = {.kind = TL__PICKLE_BOOL, .of.integer = 1},
        [NODE_OPAQUE] = {.kind = TL__PICKLE_OPAQUE},
        [NODE_EMPTY_TUPLE] = {.kind = TL__PICKLE_TUPLE},
    };
    uint32_t index;
    for (int i = 0; i < FIXED_NODES; i++)
        TL__TRY(tl__pickle_make(pickle, fixed[i], &index));
    for (long count = 0; count < TL__PICKLE_MAX_OPCODES; count++) {
        const uint8_t *opcode = NULL;
        TL__TRY(take(pickle, 1, &opcode));
        if (*opcode == '.') {
            if (pickle->mark_count || pickle->stack_count != 1)
                return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "does not end with one object");
            pickle->root = pickle->stack[0];
            return TL_OK;
        }
        TL__TRY(step(pickle, *opcode));
    }
    return tl__pickle_fail(pickle, TL_ERROR_LIMIT, "more than %d opcodes", TL__PICKLE_MAX_OPCODES);
}

tl_status tl__pickle_load(tl_context *context, const char *path, const uint8_t *data, size_t size, tl__pickle *pickle) {
    tl__pickle made = {.context = context, .path = path, .data = data, .size = size};
    tl_status status = run(&made);
    tl__free(context, made.stack);
    tl__free(context, made.memo);
    made.stack = made.memo = NULL;
    if (status == TL_OK)
        *pickle = made;
    else
        tl__pickle_free(&made);
    return status;
}

void tl__pickle_free(tl__pickle *pickle) {
    pool_free(pickle->context, &pickle->nodes);
    pool_free(pickle->context, &pickle->cells);
    *pickle = (tl__pickle){.context = pickle->context};
}
