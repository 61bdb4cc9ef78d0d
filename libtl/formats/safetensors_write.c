#include "formats/reader.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The format's name of each dtype, NULL for those it lacks. */
static const char *const type_names[] = {
    [TL_DTYPE_F32] = "F32", [TL_DTYPE_BF16] = "BF16", [TL_DTYPE_F16] = "F16", [TL_DTYPE_F64] = "F64",
    [TL_DTYPE_U8] = "U8",   [TL_DTYPE_I8] = "I8",     [TL_DTYPE_I32] = "I32", [TL_DTYPE_I64] = "I64",
};

static tl_status output_bytes(tl_context *context, const char *path, const tl__output *output, int64_t *bytes) {
    const char *name = output->name ? output->name : "";
    if (output->dtype <= 0 || (size_t)output->dtype >= TL__COUNT(type_names) || output->rank < 0 ||
        output->rank > TL__ARCHIVE_MAX_RANK || !tl__shape_count(output->rank, output->shape, bytes) ||
        !tl__multiply(*bytes, (int64_t)tl__dtype_size(output->dtype), bytes))
        return tl__fail(context, TL_ERROR_ARGUMENT, "%s: %s: no such tensor can be written", path, name);
    return TL_OK;
}

static bool is_utf8(const char *text) {
    json_t *probe = text ? json_string(text) : NULL;
    bool valid = probe != NULL;
    json_decref(probe);
    return valid;
}

/* jansson tells no reason; what it refuses besides lack of memory is text that is not UTF-8. */
static tl_status bad_text(tl_context *context, const char *path, const char *key, const char *value) {
    return is_utf8(key) && is_utf8(value)
               ? tl__fail(context, TL_ERROR_MEMORY, "%s: out of memory", path)
               : tl__fail(context, TL_ERROR_ARGUMENT, "%s: a name or a value is not UTF-8", path);
}

static tl_status describe(tl_context *context, const char *path, json_t *root, const tl__output *output,
                          int64_t *offset) {
    int64_t bytes, end;
    TL__TRY(output_bytes(context, path, output, &bytes));
    if (__builtin_add_overflow(*offset, bytes, &end))
        return tl__fail(context, TL_ERROR_ARGUMENT, "%s: more than a file can hold", path);
    if (!output->name || strcmp(output->name, "__metadata__") == 0)
        return tl__fail(context, TL_ERROR_ARGUMENT, "%s: a tensor without a name of its own", path);
    if (json_object_get(root, output->name))
        return tl__fail(context, TL_ERROR_ARGUMENT, "%s: two tensors are named %s", path, output->name);
    json_t *shape = json_array();
    bool failed = !shape;
    for (int i = 0; i < output->rank; i++)
        failed |= json_array_append_new(shape, json_integer(output->shape[i])) != 0;
    json_t *tensor = json_pack("{s:s, s:o, s:[I, I]}", "dtype", type_names[output->dtype], "shape", shape,
                               "data_offsets", (json_int_t)*offset, (json_int_t)end);
    if (failed || !tensor) {
        json_decref(tensor);
        return tl__fail(context, TL_ERROR_MEMORY, "%s: out of memory", path);
    }
    if (json_object_set_new(root, output->name, tensor) != 0)
        return bad_text(context, path, output->name, "");
    *offset = end;
    return TL_OK;
}

static tl_status fill_header(tl_context *context, const char *path, json_t *root, const tl__output *outputs,
                             size_t count, const tl__metadata *metadata, size_t metadata_count) {
    int64_t offset = 0;
    if (metadata_count) {
        json_t *object = json_object();
        if (json_object_set_new(root, "__metadata__", object) != 0)
            return tl__fail(context, TL_ERROR_MEMORY, "%s: out of memory", path);
        for (size_t i = 0; i < metadata_count; i++)
            if (json_object_set_new(object, metadata[i].key, json_string(metadata[i].value)) != 0)
                return bad_text(context, path, metadata[i].key, metadata[i].value);
    }
    for (size_t i = 0; i < count; i++)
        TL__TRY(describe(context, path, root, &outputs[i], &offset));
    return TL_OK;
}

/* The header as text in *text, to be freed with free(). */
static tl_status make_header(tl_context *context, const char *path, const tl__output *outputs, size_t count,
                             const tl__metadata *metadata, size_t metadata_count, char **text) {
    json_t *root = json_object();
    if (!root)
        return tl__fail(context, TL_ERROR_MEMORY, "%s: out of memory", path);
    tl_status status = fill_header(context, path, root, outputs, count, metadata, metadata_count);
    if (status == TL_OK) {
        *text = json_dumps(root, JSON_COMPACT);
        if (!*text)
            status = tl__fail(context, TL_ERROR_MEMORY, "%s: out of memory", path);
    }
    json_decref(root);
    return status;
}

tl_status tl__safetensors_header(tl_context *context, const char *path, const tl__output *outputs, size_t count,
                                 const tl__metadata *metadata, size_t metadata_count, char **header, size_t *bytes) {
    char *text = NULL;
    TL__TRY(make_header(context, path, outputs, count, metadata, metadata_count, &text));
    size_t length = strlen(text), padded = (length + 7) / 8 * 8;
    char *made = tl__alloc(context, 8 + padded);
    if (made) {
        for (int i = 0; i < 8; i++)
            made[i] = (char)((uint64_t)padded >> 8 * i);
        memcpy(made + 8, text, length);
        memset(made + 8 + length, ' ', padded - length);
        *header = made;
        *bytes = 8 + padded;
    }
    free(text);
    return made ? TL_OK : TL_ERROR_MEMORY;
}

static int64_t pieces_of(const tl__output *output) {
    return output->pieces > 0 ? output->pieces : 1;
}

static tl_status part_bytes(tl_context *context, const char *path, const tl__output *output, int64_t *bytes) {
    TL__TRY(output_bytes(context, path, output, bytes));
    *bytes /= pieces_of(output);
    return TL_OK;
}

static tl_status write_tensors(tl__writer *writer, const tl__output *outputs, size_t count,
                               tl_status (*read)(void *user, size_t index, void *out), void *user) {
    tl_context *context = writer->context;
    int64_t largest = 0, bytes = 0;
    for (size_t i = 0; i < count; i++) {
        TL__TRY(part_bytes(context, writer->path, &outputs[i], &bytes));
        largest = bytes > largest && !outputs[i].data ? bytes : largest;
    }
    void *buffer = tl__alloc(context, (size_t)largest);
    if (!buffer)
        return TL_ERROR_MEMORY;
    tl_status status = TL_OK;
    for (size_t i = 0; i < count && status == TL_OK; i++) {
        status = part_bytes(context, writer->path, &outputs[i], &bytes);
        if (status == TL_OK && outputs[i].data) {
            status = tl__writer_write(writer, outputs[i].data, (size_t)bytes);
            status = status == TL_OK ? read(user, i, NULL) : status;
            continue;
        }
        for (int64_t p = 0; p < pieces_of(&outputs[i]) && status == TL_OK; p++) {
            status = read(user, i, buffer);
            if (status == TL_OK)
                status = tl__writer_write(writer, buffer, (size_t)bytes);
        }
    }
    tl__free(context, buffer);
    return status;
}

tl_status tl__safetensors_write(tl_context *context, const char *path, const tl__output *outputs, size_t count,
                                const tl__metadata *metadata, size_t metadata_count,
                                tl_status (*read)(void *user, size_t index, void *out), void *user) {
    char *header = NULL;
    size_t bytes;
    tl__writer writer;
    TL__TRY(tl__safetensors_header(context, path, outputs, count, metadata, metadata_count, &header, &bytes));
    tl_status status = tl__writer_open(context, path, &writer);
    if (status == TL_OK) {
        status = tl__writer_write(&writer, header, bytes);
        if (status == TL_OK)
            status = write_tensors(&writer, outputs, count, read, user);
        if (status == TL_OK)
            status = tl__writer_commit(&writer);
        else
            tl__writer_abandon(&writer);
    }
    tl__free(context, header);
    return status;
}
