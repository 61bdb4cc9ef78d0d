#include "formats/reader.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER ((uint64_t)16 << 20)

/* Every type the format knows. Those without a dtype of ours are left out, but their bytes still have to fit. */
static const struct {
    const char *name;
    int dtype, bits;
} types[] = {
    {"F32", TL_DTYPE_F32, 32}, {"BF16", TL_DTYPE_BF16, 16}, {"F16", TL_DTYPE_F16, 16}, {"F64", TL_DTYPE_F64, 64},
    {"U8", TL_DTYPE_U8, 8},    {"I8", TL_DTYPE_I8, 8},      {"I32", TL_DTYPE_I32, 32}, {"I64", TL_DTYPE_I64, 64},
    {"BOOL", TL_DTYPE_U8, 8},  {"I16", 0, 16},              {"U16", 0, 16},            {"U32", 0, 32},
    {"U64", 0, 64},            {"C64", 0, 64},              {"F8_E4M3", 0, 8},         {"F8_E5M2", 0, 8},
    {"F8_E8M0", 0, 8},         {"F8_E4M3FNUZ", 0, 8},       {"F8_E5M2FNUZ", 0, 8},     {"F6_E2M3", 0, 6},
    {"F6_E3M2", 0, 6},         {"F4", 0, 4},
};

struct span {
    uint64_t begin, end;
    const char *name; /* in the parsed header */
};

struct header {
    tl__archive *archive;
    const uint8_t *data; /* what follows the header */
    uint64_t size;
    json_t *root;
    struct span *spans;
    size_t count;
};

static tl_status fail(const struct header *header, const char *name, const char *what) {
    return tl__fail(header->archive->context, TL_ERROR_FORMAT, "%s: %s: %s", header->archive->path, name, what);
}

/* A header is an object of objects whose values are text or arrays of numbers. Anything else is refused before it
 * is parsed, so that the parsed form cannot become much larger than the text. Strings are skipped, not checked. */
static const char *check_outline(const char *text, size_t size) {
    int depth = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"') {
            for (i++; i < size && text[i] != '"'; i++)
                if (text[i] == '\\')
                    i++;
        } else if (text[i] == '{' || text[i] == '[') {
            if (++depth > 3 || (text[i] == '{') != (depth < 3))
                return "is not an object of tensor descriptions";
        } else if (text[i] == '}' || text[i] == ']') {
            depth--;
        }
    }
    return NULL;
}

static tl_status read_shape(const struct header *header, const char *name, const json_t *value, tl__entry *entry) {
    size_t rank = json_array_size(value);
    if (!json_is_array(value))
        return fail(header, name, "has no \"shape\"");
    if (rank > TL__ARCHIVE_MAX_RANK)
        return fail(header, name, "has more than 8 dimensions");
    entry->rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        const json_t *size = json_array_get(value, i);
        if (!json_is_integer(size))
            return fail(header, name, "its shape is not made of integers");
        entry->shape[i] = json_integer_value(size);
    }
    if (!tl__shape_count(entry->rank, entry->shape, &entry->count))
        return fail(header, name, "its shape is negative or too large");
    tl__shape_strides(entry->rank, entry->shape, entry->strides);
    return TL_OK;
}

static tl_status read_offsets(const struct header *header, const char *name, const json_t *value, struct span *span) {
    const json_t *begin = json_array_get(value, 0), *end = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return fail(header, name, "has no two \"data_offsets\"");
    json_int_t b = json_integer_value(begin), e = json_integer_value(end);
    if (b < 0 || e < b || (uint64_t)e > header->size)
        return fail(header, name, "reaches beyond the file");
    span->begin = (uint64_t)b;
    span->end = (uint64_t)e;
    span->name = name;
    return TL_OK;
}

static tl_status read_tensor(struct header *header, const char *name, const json_t *value) {
    tl__entry entry = {0};
    const char *type = json_string_value(json_object_get(value, "dtype"));
    size_t at = 0;
    if (!json_is_object(value) || !type)
        return fail(header, name, "has no \"dtype\"");
    while (at < TL__COUNT(types) && strcmp(types[at].name, type) != 0)
        at++;
    if (at == TL__COUNT(types))
        return fail(header, name, "is of an unknown type");
    struct span *span = &header->spans[header->count];
    TL__TRY(read_shape(header, name, json_object_get(value, "shape"), &entry));
    TL__TRY(read_offsets(header, name, json_object_get(value, "data_offsets"), span));
    header->count++;
    int64_t bits;
    if (!tl__multiply(entry.count, types[at].bits, &bits) || bits % 8 != 0 ||
        (uint64_t)bits / 8 != span->end - span->begin)
        return fail(header, name, "its shape does not fit its bytes");
    tl__slice text = {name, strlen(name)};
    if (!types[at].dtype)
        return tl__archive_add_unread(header->archive, text, types[at].name);
    entry.dtype = types[at].dtype;
    entry.data = header->data + span->begin;
    return tl__archive_add(header->archive, (tl__slice){0}, text, &entry);
}

static tl_status read_metadata(const struct header *header, const json_t *object) {
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return fail(header, "__metadata__", "is not an object");
    json_object_foreach((json_t *)object, key, value) {
        if (!json_is_string(value))
            return fail(header, "__metadata__", "a value is not text");
        TL__TRY(tl__archive_add_metadata(header->archive, key, json_string_value(value)));
    }
    return TL_OK;
}

static int compare_spans(const void *a, const void *b) {
    const struct span *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* The tensors must cover everything after the header exactly once. */
static tl_status check_spans(struct header *header) {
    uint64_t at = 0;
    qsort(header->spans, header->count, sizeof *header->spans, compare_spans);
    for (size_t i = 0; i < header->count; i++) {
        const struct span *span = &header->spans[i];
        if (span->begin != at)
            return fail(header, span->name, span->begin < at ? "overlaps another tensor" : "there is a hole before it");
        at = span->end;
    }
    if (at != header->size)
        return tl__fail(header->archive->context, TL_ERROR_FORMAT, "%s: %llu bytes at its end belong to no tensor",
                        header->archive->path, (unsigned long long)(header->size - at));
    return TL_OK;
}

static tl_status read_all(struct header *header) {
    tl__archive *archive = header->archive;
    size_t count = json_object_size(header->root);
    const char *name;
    json_t *value;
    header->spans = tl__calloc(archive->context, count, sizeof *header->spans);
    if (!header->spans)
        return TL_ERROR_MEMORY;
    TL__TRY(tl__archive_reserve(archive, count));
    json_object_foreach(header->root, name, value) {
        if (strcmp(name, "__metadata__") == 0)
            TL__TRY(read_metadata(header, value));
        else
            TL__TRY(read_tensor(header, name, value));
    }
    return check_spans(header);
}

tl_status tl__safetensors_read(tl__archive *archive) {
    tl_context *context = archive->context;
    const tl__mapping *mapping = &archive->mapping;
    uint64_t length = mapping->size >= 8 ? tl__read_le(mapping->data, 8) : UINT64_MAX;
    if (length > MAX_HEADER || length > mapping->size - 8)
        return tl__fail(context, TL_ERROR_FORMAT, "%s: its header of %llu bytes is longer than the file or 16 MiB",
                        archive->path, (unsigned long long)length);
    const char *text = (const char *)mapping->data + 8;
    if (length == 0 || text[0] != '{')
        return tl__fail(context, TL_ERROR_FORMAT, "%s: its header does not begin with '{'", archive->path);
    const char *wrong = check_outline(text, (size_t)length);
    if (wrong)
        return tl__fail(context, TL_ERROR_FORMAT, "%s: its header %s", archive->path, wrong);
    json_error_t error;
    struct header header = {.archive = archive, .data = mapping->data + 8 + length, .size = mapping->size - 8 - length};
    header.root = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (!header.root)
        return json_error_code(&error) == json_error_out_of_memory
                   ? tl__fail(context, TL_ERROR_MEMORY, "%s: out of memory", archive->path)
                   : tl__fail(context, TL_ERROR_FORMAT, "%s: its header: %s (at byte %d)", archive->path, error.text,
                              error.position);
    tl_status status = read_all(&header);
    tl__free(context, header.spans);
    json_decref(header.root);
    return status;
}
