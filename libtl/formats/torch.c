#include "formats/torch.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DICT_DEPTH 4

/* Where training scripts put the network, the likeliest first. */
static const char *const wrappers[] = {
    "state_dict", "model_state_dict", "model_state", "model",  "net",       "network",
    "module",     "weights",          "params",      "student", "model_ema", "ema_state_dict",
};

/* What lies beside it and is none. */
static const char *const others[] = {"optim", "lr_sched", "sched", "scaler"};

static tl_status fail(const tl__torch *torch, tl__slice name, const char *what) {
    tl_context *context = torch->archive->context;
    const char *path = torch->archive->path;
    return name.length ? tl__fail(context, TL_ERROR_FORMAT, "%s: %.*s: %s", path, TL__SLICE(name), what)
                       : tl__fail(context, TL_ERROR_FORMAT, "%s: %s", path, what);
}

static const tl__node *item(const tl__torch *torch, const tl__node *tuple, uint32_t at, tl__pickle_kind kind) {
    const tl__node *found = tl__pickle_item(&torch->pickle, tuple, at);
    return found && found->kind == kind ? found : NULL;
}

/* PERSISTENT and TENSOR keep the node of their tuple. */
static const tl__node *tuple_of(const tl__torch *torch, const tl__node *node) {
    return tl__pickle_node(&torch->pickle, node->of.items.first);
}

/* ---- storages ---- */

uint64_t tl__storage_bytes(const tl__storage *storage) {
    return (uint64_t)storage->count * (uint64_t)storage->type->element_size;
}

/* ("storage", class, key, place, elements[, view]) */
static tl_status read_storage(const tl__torch *torch, const tl__node *tuple, tl__storage *storage) {
    const tl__node *word = item(torch, tuple, 0, TL__PICKLE_TEXT), *class = item(torch, tuple, 1, TL__PICKLE_GLOBAL);
    const tl__node *key = item(torch, tuple, 2, TL__PICKLE_TEXT), *count = item(torch, tuple, 4, TL__PICKLE_INTEGER);
    int64_t bytes;
    if (!word || !tl__slice_is(tl__pickle_text(&torch->pickle, word), "storage"))
        return fail(torch, (tl__slice){0}, "holds a whole Python object; save its state_dict() instead");
    if (!class || tl__pickle_global(class)->kind != TL__GLOBAL_STORAGE || !key || !count)
        return fail(torch, (tl__slice){0}, "a storage is not described as PyTorch does");
    *storage = (tl__storage){
        .key = tl__pickle_text(&torch->pickle, key), .type = tl__pickle_global(class), .count = count->of.integer};
    if (!tl__multiply(storage->count, storage->type->element_size, &bytes) ||
        (uint64_t)bytes > torch->archive->mapping.size)
        return tl__fail(torch->archive->context, TL_ERROR_FORMAT, "%s: storage %.*s is larger than the file",
                        torch->archive->path, TL__SLICE(storage->key));
    return TL_OK;
}

static int compare_storages(const void *a, const void *b) {
    return tl__slice_compare(((const tl__storage *)a)->key, ((const tl__storage *)b)->key);
}

static tl_status list_storages(tl__torch *torch) {
    const tl__pickle *pickle = &torch->pickle;
    size_t count = 0, kept = 0;
    for (uint32_t i = 0; i < pickle->nodes.count; i++)
        count += tl__pickle_node(pickle, i)->kind == TL__PICKLE_PERSISTENT;
    torch->storages = tl__calloc(torch->archive->context, count, sizeof *torch->storages);
    if (!torch->storages)
        return TL_ERROR_MEMORY;
    for (uint32_t i = 0; i < pickle->nodes.count; i++) {
        const tl__node *node = tl__pickle_node(pickle, i);
        if (node->kind == TL__PICKLE_PERSISTENT)
            TL__TRY(read_storage(torch, tuple_of(torch, node), &torch->storages[torch->storage_count++]));
    }
    qsort(torch->storages, count, sizeof *torch->storages, compare_storages);
    for (size_t i = 0; i < count; i++) {
        const tl__storage *storage = &torch->storages[i], *last = &torch->storages[kept ? kept - 1 : 0];
        if (!kept || compare_storages(storage, last) != 0)
            torch->storages[kept++] = *storage;
        else if (storage->type != last->type || storage->count != last->count)
            return tl__fail(torch->archive->context, TL_ERROR_FORMAT, "%s: storage %.*s has two types or sizes",
                            torch->archive->path, TL__SLICE(storage->key));
    }
    torch->storage_count = kept;
    return TL_OK;
}

tl_status tl__torch_begin(tl__torch *torch, tl__archive *archive, size_t offset, size_t size) {
    *torch = (tl__torch){.archive = archive, .pickle.context = archive->context};
    TL__TRY(tl__pickle_load(archive->context, archive->path, archive->mapping.data + offset, size, &torch->pickle));
    return list_storages(torch);
}

void tl__torch_end(tl__torch *torch) {
    tl__free(torch->archive->context, torch->storages);
    tl__pickle_free(&torch->pickle);
}

tl__storage *tl__torch_storage(const tl__torch *torch, tl__slice key) {
    tl__storage wanted = {.key = key};
    if (!torch->storage_count)
        return NULL;
    return bsearch(&wanted, torch->storages, torch->storage_count, sizeof wanted, compare_storages);
}

/* ---- tensors ---- */

static bool read_sizes(const tl__torch *torch, const tl__node *tuple, int64_t *sizes) {
    for (uint32_t i = 0; i < tuple->count; i++) {
        const tl__node *size = item(torch, tuple, i, TL__PICKLE_INTEGER);
        if (!size || size->of.integer < 0)
            return false;
        sizes[i] = size->of.integer;
    }
    return true;
}

/* In files of the older kind a storage may be a view of a part of another: (its key, offset, elements). */
static bool narrow(const tl__torch *torch, const tl__node *view, int64_t *offset, int64_t *limit) {
    const tl__node *start = item(torch, view, 1, TL__PICKLE_INTEGER), *size = item(torch, view, 2, TL__PICKLE_INTEGER);
    int64_t end;
    if (!start || !size || start->of.integer < 0 || size->of.integer < 0 ||
        __builtin_add_overflow(start->of.integer, size->of.integer, &end) || end > *limit ||
        __builtin_add_overflow(start->of.integer, *offset, offset))
        return false;
    *limit = end;
    return true;
}

/* Whether offset and every index stay below the limit. */
static bool inside(const tl__entry *entry, int64_t offset, int64_t limit) {
    if (entry->count == 0)
        return offset <= limit;
    for (int i = 0; i < entry->rank; i++) {
        int64_t reach;
        if (!tl__multiply(entry->shape[i] - 1, entry->strides[i], &reach) ||
            __builtin_add_overflow(offset, reach, &offset))
            return false;
    }
    return offset < limit;
}

static tl_status resolve(const tl__torch *torch, tl__slice name, const tl__node *tensor, tl__entry *entry,
                         const tl__global **type) {
    if (tensor->made_late)
        return fail(torch, name, "is a Parameter without a tensor");
    const tl__node *arguments = tuple_of(torch, tensor);
    const tl__node *pointer = tuple_of(torch, item(torch, arguments, 0, TL__PICKLE_PERSISTENT));
    const tl__node *key = item(torch, pointer, 2, TL__PICKLE_TEXT), *view = item(torch, pointer, 5, TL__PICKLE_TUPLE);
    const tl__node *shape = item(torch, arguments, 2, TL__PICKLE_TUPLE);
    const tl__node *strides = item(torch, arguments, 3, TL__PICKLE_TUPLE);
    const tl__storage *storage = tl__torch_storage(torch, tl__pickle_text(&torch->pickle, key));
    int64_t offset = item(torch, arguments, 1, TL__PICKLE_INTEGER)->of.integer, limit = storage->count, bytes;

    *type = storage->type;
    if (tl__pickle_global(tensor)->kind == TL__GLOBAL_TENSOR_V3) {
        *type = tl__pickle_global(item(torch, arguments, 6, TL__PICKLE_GLOBAL));
        limit = (int64_t)(tl__storage_bytes(storage) / (uint64_t)(*type)->element_size);
    }
    if (shape->count > TL__ARCHIVE_MAX_RANK)
        return fail(torch, name, "has more than 8 dimensions");
    *entry = (tl__entry){.dtype = (*type)->dtype, .rank = (int)shape->count};
    if (strides->count != shape->count || !read_sizes(torch, shape, entry->shape) ||
        !read_sizes(torch, strides, entry->strides) || !tl__shape_count(entry->rank, entry->shape, &entry->count))
        return fail(torch, name, "has an impossible shape or strides");
    if (offset < 0 || (view && !narrow(torch, view, &offset, &limit)) || !inside(entry, offset, limit))
        return fail(torch, name, "reaches beyond its storage");
    if (!tl__multiply(entry->count, (*type)->element_size, &bytes) ||
        (uint64_t)bytes > torch->archive->mapping.size)
        return fail(torch, name, "repeats its elements to more than the file's size");
    if (storage->data)
        entry->data = storage->data + offset * (*type)->element_size;
    return TL_OK;
}

/* ---- the network in the object ---- */

struct walk {
    const tl__torch *torch;
    uint64_t steps; /* left: dictionaries that hold one another could be walked for ever */
};

static const tl__node *value_of(const struct walk *walk, const tl__cell *cell) {
    return tl__pickle_node(&walk->torch->pickle, cell->value);
}

static bool key_of(const struct walk *walk, const tl__cell *cell, tl__slice *key) {
    const tl__node *node = tl__pickle_node(&walk->torch->pickle, cell->key);
    if (node->kind != TL__PICKLE_TEXT)
        return false;
    *key = tl__pickle_text(&walk->torch->pickle, node);
    return true;
}

static size_t count_tensors(struct walk *walk, const tl__node *dict) {
    size_t count = 0;
    uint32_t at = dict->of.items.first;
    for (uint32_t i = 0; i < dict->count && walk->steps; i++, walk->steps--) {
        const tl__cell *cell = tl__pickle_cell(&walk->torch->pickle, at);
        tl__slice key;
        count += value_of(walk, cell)->kind == TL__PICKLE_TENSOR && key_of(walk, cell, &key);
        at = cell->next;
    }
    return count;
}

static bool has_tensors(struct walk *walk, const tl__node *node, int depth) {
    if (!node || node->kind != TL__PICKLE_DICT || depth == 0)
        return false;
    if (count_tensors(walk, node))
        return true;
    uint32_t at = node->of.items.first;
    for (uint32_t i = 0; i < node->count && walk->steps; i++, walk->steps--) {
        const tl__cell *cell = tl__pickle_cell(&walk->torch->pickle, at);
        if (has_tensors(walk, value_of(walk, cell), depth - 1))
            return true;
        at = cell->next;
    }
    return false;
}

static bool is_other(tl__slice key) {
    for (size_t i = 0; i < TL__COUNT(others); i++)
        if (key.length >= strlen(others[i]) && memcmp(key.text, others[i], strlen(others[i])) == 0)
            return true;
    return false;
}

/* The dictionaries in `dict` that could be (a part of) the network; the first one in *only. */
static size_t count_parts(struct walk *walk, const tl__node *dict, const tl__node **only) {
    size_t parts = 0;
    uint32_t at = dict->of.items.first;
    for (uint32_t i = 0; i < dict->count && walk->steps; i++, walk->steps--) {
        const tl__cell *cell = tl__pickle_cell(&walk->torch->pickle, at);
        tl__slice key;
        if (key_of(walk, cell, &key) && !is_other(key) && has_tensors(walk, value_of(walk, cell), MAX_DICT_DEPTH) &&
            parts++ == 0)
            *only = value_of(walk, cell);
        at = cell->next;
    }
    return parts;
}

/* Goes from the object to the dictionary of the network: through the known wrappers, else through what is the only
 * dictionary with tensors. */
static const tl__node *unwrap(struct walk *walk, const tl__node *dict) {
    for (int depth = 0; depth < MAX_DICT_DEPTH; depth++) {
        const tl__node *inner = NULL, *only = NULL;
        for (size_t i = 0; i < TL__COUNT(wrappers) && !inner; i++) {
            const tl__node *value = tl__pickle_value(&walk->torch->pickle, dict, wrappers[i]);
            inner = has_tensors(walk, value, MAX_DICT_DEPTH) ? value : NULL;
        }
        if (!inner && !count_tensors(walk, dict) && count_parts(walk, dict, &only) == 1)
            inner = only;
        if (!inner)
            break;
        dict = inner;
    }
    return dict;
}

static tl_status add_tensors(struct walk *walk, const tl__node *dict, tl__slice prefix) {
    const tl__torch *torch = walk->torch;
    uint32_t at = dict->of.items.first;
    if (!prefix.length)
        TL__TRY(tl__archive_reserve(torch->archive, count_tensors(walk, dict)));
    for (uint32_t i = 0; i < dict->count; i++) {
        const tl__cell *cell = tl__pickle_cell(&torch->pickle, at);
        const tl__node *value = value_of(walk, cell);
        const tl__global *type;
        tl__entry entry;
        tl__slice key;
        at = cell->next;
        if (value->kind != TL__PICKLE_TENSOR || !key_of(walk, cell, &key))
            continue;
        if (torch->archive->entry_count + torch->archive->unread_count >= torch->pickle.cells.count)
            walk->steps = 0; /* some dictionary is there many times */
        if (!walk->steps)
            break;
        TL__TRY(resolve(torch, key, value, &entry, &type));
        TL__TRY(type->dtype ? tl__archive_add(torch->archive, prefix, key, &entry)
                            : tl__archive_add_unread(torch->archive, key, type->name));
    }
    return TL_OK;
}

static tl_status add_parts(struct walk *walk, const tl__node *dict, tl__slice prefix, int depth);

static tl_status add_part(struct walk *walk, const tl__node *dict, tl__slice prefix, tl__slice key, int depth) {
    tl_context *context = walk->torch->archive->context;
    tl__slice longer = {.length = prefix.length + key.length + 1};
    char *text = tl__alloc(context, longer.length);
    if (!text)
        return TL_ERROR_MEMORY;
    if (prefix.length)
        memcpy(text, prefix.text, prefix.length);
    if (key.length)
        memcpy(text + prefix.length, key.text, key.length);
    text[longer.length - 1] = '.';
    longer.text = text;
    tl_status status = add_parts(walk, dict, longer, depth - 1);
    tl__free(context, text);
    return status;
}

/* A dictionary of tensors, or of several such dictionaries, whose names then come before a dot. */
static tl_status add_parts(struct walk *walk, const tl__node *dict, tl__slice prefix, int depth) {
    if (count_tensors(walk, dict))
        return add_tensors(walk, dict, prefix);
    uint32_t at = dict->of.items.first;
    for (uint32_t i = 0; i < dict->count && walk->steps; i++) {
        const tl__cell *cell = tl__pickle_cell(&walk->torch->pickle, at);
        const tl__node *value = value_of(walk, cell);
        tl__slice key;
        at = cell->next;
        if (key_of(walk, cell, &key) && !is_other(key) && has_tensors(walk, value, depth))
            TL__TRY(add_part(walk, value, prefix, key, depth));
    }
    return TL_OK;
}

tl_status tl__torch_finish(tl__torch *torch) {
    const tl__pickle *pickle = &torch->pickle;
    const tl__node *root = tl__pickle_node(pickle, pickle->root);
    struct walk walk = {.torch = torch, .steps = 1000 + 16 * (uint64_t)pickle->cells.count};
    if (root->kind != TL__PICKLE_DICT)
        return fail(torch, (tl__slice){0}, "holds no dictionary of tensors");
    TL__TRY(add_parts(&walk, unwrap(&walk, root), (tl__slice){0}, MAX_DICT_DEPTH));
    if (!walk.steps)
        return tl__fail(torch->archive->context, TL_ERROR_LIMIT, "%s: its dictionaries are nested beyond reason",
                        torch->archive->path);
    if (torch->archive->entry_count + torch->archive->unread_count == 0)
        return fail(torch, (tl__slice){0}, "holds no tensors");
    for (uint32_t i = 0; i < pickle->nodes.count; i++) { /* those beside the network */
        const tl__node *node = tl__pickle_node(pickle, i);
        const tl__global *type;
        tl__entry entry;
        if (node->kind == TL__PICKLE_TENSOR)
            TL__TRY(resolve(torch, (tl__slice){0}, node, &entry, &type));
    }
    return TL_OK;
}
