#include "formats/reader.h"

#include <stdlib.h>
#include <string.h>

int tl__slice_compare(tl__slice a, tl__slice b) {
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter ? memcmp(a.text, b.text, shorter) : 0;
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

bool tl__slice_is(tl__slice slice, const char *text) {
    return slice.length == strlen(text) && memcmp(slice.text, text, slice.length) == 0;
}

/* UTF-8 as Unicode defines it (no overlong forms, no surrogates), and no NUL, so that it can be a C string. */
static bool valid_text(tl__slice slice) {
    if (!slice.length)
        return true;
    const uint8_t *s = (const uint8_t *)slice.text, *end = s + slice.length;
    while (s < end) {
        if (*s == 0)
            return false;
        if (*s < 0x80) {
            s++;
            continue;
        }
        int more = *s >= 0xc2 && *s < 0xe0 ? 1 : *s >= 0xe0 && *s < 0xf0 ? 2 : *s >= 0xf0 && *s < 0xf5 ? 3 : 0;
        if (!more || end - s <= more)
            return false;
        if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) || (*s == 0xf0 && s[1] < 0x90) ||
            (*s == 0xf4 && s[1] > 0x8f))
            return false;
        for (s++; more > 0; more--, s++)
            if ((*s & 0xc0) != 0x80)
                return false;
    }
    return true;
}

static char *join(tl__archive *archive, tl__slice a, tl__slice b) {
    if (!valid_text(a) || !valid_text(b)) {
        tl__fail(archive->context, TL_ERROR_FORMAT, "%s: a name is not UTF-8: %.*s", archive->path, TL__SLICE(b));
        return NULL;
    }
    char *text = tl__alloc(archive->context, a.length + b.length + 1);
    if (!text)
        return NULL;
    if (a.length)
        memcpy(text, a.text, a.length);
    if (b.length)
        memcpy(text + a.length, b.text, b.length);
    text[a.length + b.length] = 0;
    return text;
}

tl_status tl__archive_reserve(tl__archive *archive, size_t count) {
    if (count <= archive->entry_capacity)
        return TL_OK;
    tl__entry *entries = tl__realloc(archive->context, archive->entries, archive->entry_count * sizeof *entries,
                                     count * sizeof *entries);
    if (!entries)
        return TL_ERROR_MEMORY;
    archive->entries = entries;
    archive->entry_capacity = count;
    return TL_OK;
}

/* join returned NULL: it left either of two messages. */
static tl_status join_status(tl__slice a, tl__slice b) {
    return valid_text(a) && valid_text(b) ? TL_ERROR_MEMORY : TL_ERROR_FORMAT;
}

tl_status tl__archive_add(tl__archive *archive, tl__slice prefix, tl__slice name, const tl__entry *entry) {
    char *text = join(archive, prefix, name);
    if (!text)
        return join_status(prefix, name);
    tl_status status = tl__grow(archive->context, (void **)&archive->entries, &archive->entry_capacity,
                                archive->entry_count, sizeof *archive->entries);
    if (status != TL_OK) {
        tl__free(archive->context, text);
        return status;
    }
    tl__entry *added = &archive->entries[archive->entry_count++];
    *added = *entry;
    added->name = text;
    if (!added->data) /* of no elements, in an empty file part */
        added->data = archive->mapping.data;
    return TL_OK;
}

static tl_status add_pair(tl__archive *archive, tl__metadata **array, size_t *capacity, size_t *count, tl__slice key,
                          const char *value) {
    tl_context *context = archive->context;
    TL__TRY(tl__grow(context, (void **)array, capacity, *count, sizeof **array));
    tl__metadata pair = {.key = join(archive, (tl__slice){0}, key)};
    if (!pair.key)
        return join_status((tl__slice){0}, key);
    pair.value = tl__strdup(context, value);
    if (!pair.value) {
        tl__free(context, pair.key);
        return TL_ERROR_MEMORY;
    }
    (*array)[(*count)++] = pair;
    return TL_OK;
}

tl_status tl__archive_add_unread(tl__archive *archive, tl__slice name, const char *type) {
    tl__log(archive->context, TL_LOG_WARNING, "%s: %.*s is left out: libtl does not read tensors of type %s",
            archive->path, TL__SLICE(name), type);
    return add_pair(archive, &archive->unread, &archive->unread_capacity, &archive->unread_count, name, type);
}

tl_status tl__archive_add_metadata(tl__archive *archive, const char *key, const char *value) {
    return add_pair(archive, &archive->metadata, &archive->metadata_capacity, &archive->metadata_count,
                    (tl__slice){key, strlen(key)}, value);
}

tl_status tl__archive_own(tl__archive *archive, void *block) {
    tl_status status = tl__grow(archive->context, (void **)&archive->owned, &archive->owned_capacity,
                                archive->owned_count, sizeof *archive->owned);
    if (status == TL_OK)
        archive->owned[archive->owned_count++] = block;
    else
        tl__free(archive->context, block);
    return status;
}

static tl_status map_companion(tl__archive *archive, tl__slice name, tl__companion *made) {
    tl_context *context = archive->context;
    const char *slash = strrchr(archive->path, '/');
    size_t folder = slash ? (size_t)(slash + 1 - archive->path) : 0;
    char *path = join(archive, (tl__slice){archive->path, folder}, name);
    if (!path)
        return join_status((tl__slice){archive->path, folder}, name);
    tl_status status = tl__map(context, path, &made->mapping);
    if (status == TL_OK)
        made->name = tl__strdup(context, path + folder);
    tl__free(context, path);
    if (status == TL_OK && !made->name) {
        tl__unmap(&made->mapping);
        return TL_ERROR_MEMORY;
    }
    return status == TL_OK ? TL_OK : tl__fail_at(context, status, "%s: needs another file", archive->path);
}

tl_status tl__archive_companion(tl__archive *archive, tl__slice name, tl__mapping *mapping) {
    tl_context *context = archive->context;
    for (size_t i = 0; i < archive->companion_count; i++)
        if (tl__slice_is(name, archive->companions[i].name)) {
            *mapping = archive->companions[i].mapping;
            return TL_OK;
        }
    if (!name.length || memchr(name.text, '/', name.length) || !valid_text(name))
        return tl__fail(context, TL_ERROR_FORMAT, "%s: its values are in \"%.*s\", which is no file beside it",
                        archive->path, TL__SLICE(name));
    tl__companion made = {0};
    TL__TRY(tl__grow(context, (void **)&archive->companions, &archive->companion_capacity, archive->companion_count,
                     sizeof made));
    TL__TRY(map_companion(archive, name, &made));
    archive->companions[archive->companion_count++] = made;
    *mapping = made.mapping;
    return TL_OK;
}

bool tl__shape_count(int rank, const int64_t *shape, int64_t *count) {
    int64_t product = 1;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return false;
        if (shape[i] == 0)
            empty = true;
        else if (!tl__multiply(product, shape[i], &product))
            return false;
    }
    *count = empty ? 0 : product;
    return true;
}

void tl__shape_strides(int rank, const int64_t *shape, int64_t *strides) {
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= shape[i] > 0 ? shape[i] : 1;
    }
}

/* ---- names ---- */

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const tl__entry *const *)a)->name, (*(const tl__entry *const *)b)->name);
}

static void sort_names(tl__archive *archive) {
    qsort(archive->by_name, archive->entry_count, sizeof *archive->by_name, compare_names);
}

static bool begins(const char *name, const char *prefix) {
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Takes the prefix off every name that has it, unless that would make two names equal or one empty; with `all`
 * only if every name has it. */
static bool strip(tl__archive *archive, const char *prefix, bool all) {
    size_t length = strlen(prefix), found = 0;
    for (size_t i = 0; i < archive->entry_count; i++) {
        const char *name = archive->entries[i].name;
        if (!begins(name, prefix))
            continue;
        const tl__entry *other = tl__archive_find(archive, name + length);
        if (!name[length] || (other && !begins(other->name, prefix)))
            return false;
        found++;
    }
    if (!found || (all && found < archive->entry_count))
        return false;
    for (size_t i = 0; i < archive->entry_count; i++) {
        char *name = archive->entries[i].name;
        if (begins(name, prefix))
            memmove(name, name + length, strlen(name + length) + 1);
    }
    sort_names(archive);
    return true;
}

static tl_status sort_entries(tl__archive *archive) {
    archive->by_name = tl__calloc(archive->context, archive->entry_count, sizeof *archive->by_name);
    if (!archive->by_name)
        return TL_ERROR_MEMORY;
    for (size_t i = 0; i < archive->entry_count; i++)
        archive->by_name[i] = &archive->entries[i];
    sort_names(archive);
    for (size_t i = 1; i < archive->entry_count; i++)
        if (strcmp(archive->by_name[i - 1]->name, archive->by_name[i]->name) == 0)
            return tl__fail(archive->context, TL_ERROR_FORMAT, "%s: two tensors are named %s", archive->path,
                            archive->by_name[i]->name);
    return TL_OK;
}

static tl_status finish_names(tl__archive *archive) {
    TL__TRY(sort_entries(archive));
    /* DataParallel and torch.compile wrap the network, training frameworks keep it in a field of their own. */
    while (strip(archive, "module.", false) || strip(archive, "_orig_mod.", false) || strip(archive, "model.", true) ||
           strip(archive, "net.", true) || strip(archive, "network.", true))
        continue;
    return TL_OK;
}

/* ---- opening ---- */

struct reader {
    const char *format;
    tl_status (*read)(tl__archive *archive);
};

static const struct reader readers[] = {
    {"safetensors", tl__safetensors_read},
    {"torch zip", tl__torch_zip_read},
    {"torch legacy", tl__torch_legacy_read},
    {"onnx", tl__onnx_read},
};

/* The length of a safetensors header may look like the first bytes of any other format, so the brace after it and
 * the zeros in its upper half are looked at first. */
static const struct reader *tell(const uint8_t *data, size_t size) {
    if (size >= 9 && data[8] == '{' && tl__read_le(data + 4, 4) == 0)
        return &readers[0];
    if (size >= 2 && data[0] == 'P' && data[1] == 'K')
        return &readers[1];
    if (size >= 2 && data[0] == 0x80)
        return &readers[2];
    if (size >= 2 && data[0] == 0x08)
        return &readers[3];
    if (size >= 9 && (data[8] == '{' || tl__read_le(data, 8) <= size - 8)) /* a broken one, which says how */
        return &readers[0];
    return NULL;
}

static tl_status open_mapped(tl__archive *archive) {
    const tl__mapping *mapping = &archive->mapping;
    if (mapping->size == 0)
        return tl__fail(archive->context, TL_ERROR_FORMAT, "%s: is empty", archive->path);
    const struct reader *reader = tell(mapping->data, mapping->size);
    if (!reader)
        return tl__fail(archive->context, TL_ERROR_FORMAT,
                        "%s: is neither a .safetensors nor a PyTorch nor an ONNX file", archive->path);
    archive->format = reader->format;
    TL__TRY(reader->read(archive));
    return finish_names(archive);
}

tl_status tl__archive_open(tl_context *context, const char *path, tl__archive **out) {
    tl__archive *archive = tl__calloc(context, 1, sizeof *archive);
    if (!archive)
        return TL_ERROR_MEMORY;
    archive->context = context;
    archive->path = tl__strdup(context, path);
    tl_status status = archive->path ? tl__map(context, path, &archive->mapping) : TL_ERROR_MEMORY;
    if (status == TL_OK)
        status = open_mapped(archive);
    if (status != TL_OK) {
        tl__archive_close(archive);
        return status;
    }
    *out = archive;
    return TL_OK;
}

static tl_status compose(tl__archive *made, const tl__archive *upper, const tl__entry *entries, size_t count) {
    made->path = tl__strdup(made->context, upper->path);
    if (!made->path)
        return TL_ERROR_MEMORY;
    made->format = upper->format;
    TL__TRY(tl__archive_reserve(made, count));
    for (size_t i = 0; i < count; i++)
        TL__TRY(tl__archive_add(made, (tl__slice){0}, (tl__slice){entries[i].name, strlen(entries[i].name)}, &entries[i]));
    for (size_t i = 0; i < upper->metadata_count; i++)
        TL__TRY(tl__archive_add_metadata(made, upper->metadata[i].key, upper->metadata[i].value));
    return sort_entries(made);
}

tl_status tl__archive_compose(tl__archive *upper, tl__archive *lower, const tl__entry *entries, size_t count,
                              tl__archive **out) {
    tl__archive *made = tl__calloc(upper->context, 1, sizeof *made);
    if (!made)
        return TL_ERROR_MEMORY;
    made->context = upper->context;
    tl_status status = compose(made, upper, entries, count);
    if (status != TL_OK) {
        tl__archive_close(made);
        return status;
    }
    made->upper = upper;
    made->lower = lower;
    *out = made;
    return TL_OK;
}

static bool lies_in(const tl__mapping *mapping, const uint8_t *data) {
    return mapping->data && data >= mapping->data && data < mapping->data + mapping->size;
}

const tl__mapping *tl__archive_mapping(const tl__archive *archive, const uint8_t *data) {
    if (!archive || lies_in(&archive->mapping, data))
        return archive ? &archive->mapping : NULL;
    for (size_t i = 0; i < archive->companion_count; i++)
        if (lies_in(&archive->companions[i].mapping, data))
            return &archive->companions[i].mapping;
    const tl__mapping *found = tl__archive_mapping(archive->upper, data);
    return found ? found : tl__archive_mapping(archive->lower, data);
}

static void free_pairs(tl_context *context, tl__metadata *pairs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        tl__free(context, pairs[i].key);
        tl__free(context, pairs[i].value);
    }
    tl__free(context, pairs);
}

void tl__archive_close(tl__archive *archive) {
    if (!archive)
        return;
    tl_context *context = archive->context;
    for (size_t i = 0; i < archive->entry_count; i++)
        tl__free(context, archive->entries[i].name);
    for (size_t i = 0; i < archive->owned_count; i++)
        tl__free(context, archive->owned[i]);
    for (size_t i = 0; i < archive->companion_count; i++) {
        tl__unmap(&archive->companions[i].mapping);
        tl__free(context, archive->companions[i].name);
    }
    free_pairs(context, archive->metadata, archive->metadata_count);
    free_pairs(context, archive->unread, archive->unread_count);
    tl__free(context, archive->entries);
    tl__free(context, archive->owned);
    tl__free(context, archive->companions);
    tl__free(context, archive->layers);
    tl__free(context, archive->by_name);
    tl__unmap(&archive->mapping);
    tl__archive_close(archive->upper);
    tl__archive_close(archive->lower);
    tl__free(context, archive->path);
    tl__free(context, archive);
}

const tl__entry *tl__archive_find(const tl__archive *archive, const char *name) {
    size_t low = 0, high = archive->entry_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, archive->by_name[middle]->name);
        if (order == 0)
            return archive->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *tl__archive_get(const tl__archive *archive, const char *key) {
    for (size_t i = 0; i < archive->metadata_count; i++)
        if (strcmp(archive->metadata[i].key, key) == 0)
            return archive->metadata[i].value;
    return NULL;
}
