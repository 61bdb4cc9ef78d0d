#include "formats/onnx.h"

#include <string.h>

/* Fields of TensorProto. */
enum {
    TENSOR_DIMS = 1,
    TENSOR_TYPE = 2,
    TENSOR_SEGMENT = 3,
    TENSOR_FLOATS = 4,
    TENSOR_INT32S = 5,
    TENSOR_INT64S = 7,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9,
    TENSOR_DOUBLES = 10,
    TENSOR_EXTERNAL = 13,
    TENSOR_LOCATION = 14,
};

/* TensorProto.DataType: ours, and the field that holds the values where raw_data does not. */
static const struct {
    const char *name;
    int dtype;
    uint32_t field;
} types[] = {
    [1] = {"FLOAT", TL_DTYPE_F32, TENSOR_FLOATS},
    [2] = {"UINT8", TL_DTYPE_U8, TENSOR_INT32S},
    [3] = {"INT8", TL_DTYPE_I8, TENSOR_INT32S},
    [4] = {"UINT16", 0, 0},
    [5] = {"INT16", 0, 0},
    [6] = {"INT32", TL_DTYPE_I32, TENSOR_INT32S},
    [7] = {"INT64", TL_DTYPE_I64, TENSOR_INT64S},
    [8] = {"STRING", 0, 0},
    [9] = {"BOOL", TL_DTYPE_U8, TENSOR_INT32S},
    [10] = {"FLOAT16", TL_DTYPE_F16, TENSOR_INT32S},
    [11] = {"DOUBLE", TL_DTYPE_F64, TENSOR_DOUBLES},
    [12] = {"UINT32", 0, 0},
    [13] = {"UINT64", 0, 0},
    [14] = {"COMPLEX64", 0, 0},
    [15] = {"COMPLEX128", 0, 0},
    [16] = {"BFLOAT16", TL_DTYPE_BF16, TENSOR_INT32S},
};

struct tensor {
    tl__slice bytes, name, raw;
    bool has_raw, outside, segmented;
    tl__slice file; /* of the values, where they are outside */
    uint64_t offset, length; /* length 0: not said */
    uint64_t type;
    tl__entry entry;
};

static tl_status fail(tl__archive *archive, tl__slice name, const char *what) {
    return tl__fail(archive->context, TL_ERROR_FORMAT, "%s: %.*s: %s", archive->path, TL__SLICE(name), what);
}

static bool add_size(tl__entry *entry, uint64_t size) {
    if (entry->rank == TL__ARCHIVE_MAX_RANK || size > INT64_MAX)
        return false;
    entry->shape[entry->rank++] = (int64_t)size;
    return true;
}

static tl_status read_dims(tl__archive *archive, struct tensor *tensor, const tl__field *field) {
    bool fits = true;
    if (field->wire == TL__WIRE_VARINT) {
        fits = add_size(&tensor->entry, field->value);
    } else {
        tl__message packed = tl__message_of(field->bytes);
        uint64_t size;
        while (fits && packed.at < packed.end)
            fits = tl__message_varint(&packed, &size) && add_size(&tensor->entry, size);
    }
    return fits ? TL_OK : fail(archive, tensor->name, "has negative sizes or more than 8 dimensions");
}

static bool decimal(tl__slice text, uint64_t *value) {
    *value = 0;
    for (size_t i = 0; i < text.length; i++)
        if (text.text[i] < '0' || text.text[i] > '9' || __builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(text.text[i] - '0'), value))
            return false;
    return text.length > 0;
}

/* One key and value of external_data. */
static tl_status read_external(tl__archive *archive, struct tensor *tensor, tl__slice bytes) {
    tl__message message = tl__message_of(bytes);
    tl__field field;
    tl__slice key = {0}, value = {0};
    while (tl__message_next(&message, &field))
        *(field.number == 1 ? &key : &value) = field.bytes;
    bool fits = true;
    if (tl__slice_is(key, "location"))
        tensor->file = value;
    else if (tl__slice_is(key, "offset"))
        fits = decimal(value, &tensor->offset);
    else if (tl__slice_is(key, "length"))
        fits = decimal(value, &tensor->length);
    return fits && !message.broken ? TL_OK : fail(archive, tensor->name, "does not say where its values are");
}

static tl_status read_fields(tl__archive *archive, struct tensor *tensor) {
    tl__message message = tl__message_of(tensor->bytes);
    tl__field field;
    while (tl__message_next(&message, &field)) {
        switch (field.number) {
        case TENSOR_DIMS: TL__TRY(read_dims(archive, tensor, &field)); break;
        case TENSOR_TYPE: tensor->type = field.value; break;
        case TENSOR_SEGMENT: tensor->segmented = true; break;
        case TENSOR_NAME: tensor->name = field.bytes; break;
        case TENSOR_RAW:
            tensor->raw = field.bytes;
            tensor->has_raw = true;
            break;
        case TENSOR_EXTERNAL: TL__TRY(read_external(archive, tensor, field.bytes)); break;
        case TENSOR_LOCATION: tensor->outside = field.value != 0; break;
        default: break;
        }
    }
    return message.broken ? fail(archive, tensor->name, "is cut off or malformed") : TL_OK;
}

/* Bytes of one value as it stands in a packed or single field: 0 for varints. */
static size_t fixed_size(uint32_t field) {
    return field == TENSOR_FLOATS ? 4 : field == TENSOR_DOUBLES ? 8 : 0;
}

static bool count_values(const tl__field *field, size_t fixed, int64_t *count) {
    if (field->wire != TL__WIRE_BYTES) {
        ++*count;
        return field->wire == (fixed == 4 ? TL__WIRE_FIXED32 : fixed == 8 ? TL__WIRE_FIXED64 : TL__WIRE_VARINT);
    }
    if (fixed) {
        *count += (int64_t)(field->bytes.length / fixed);
        return field->bytes.length % fixed == 0;
    }
    for (size_t i = 0; i < field->bytes.length; i++)
        *count += !(field->bytes.text[i] & 0x80); /* the last byte of each varint */
    return true;
}

static uint8_t *store(uint8_t *out, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++)
        *out++ = (uint8_t)(value >> 8 * i);
    return out;
}

static bool store_values(const tl__field *field, size_t fixed, size_t size, uint8_t **out) {
    if (field->wire == TL__WIRE_VARINT) {
        *out = store(*out, field->value, size);
    } else if (fixed) {
        memcpy(*out, field->bytes.text, field->bytes.length);
        *out += field->bytes.length;
    } else {
        tl__message packed = tl__message_of(field->bytes);
        uint64_t value;
        while (packed.at < packed.end) {
            if (!tl__message_varint(&packed, &value))
                return false;
            *out = store(*out, value, size);
        }
    }
    return true;
}

/* Values in typed fields. One packed run of floats or doubles is used where it is, the rest is decoded. */
static tl_status read_values(tl__archive *archive, struct tensor *tensor) {
    uint32_t number = types[tensor->type].field;
    size_t fixed = fixed_size(number), size = tl__dtype_size(tensor->entry.dtype), pieces = 0;
    tl__message message = tl__message_of(tensor->bytes);
    tl__field field, last = {0};
    int64_t count = 0;
    while (tl__message_next(&message, &field)) {
        if (field.number != number)
            continue;
        if (!count_values(&field, fixed, &count))
            return fail(archive, tensor->name, "its values are malformed");
        last = field;
        pieces++;
    }
    if (count != tensor->entry.count)
        return fail(archive, tensor->name, "its shape does not fit its values");
    if (pieces == 0 || (pieces == 1 && fixed && last.wire == TL__WIRE_BYTES)) {
        tensor->entry.data = (const uint8_t *)last.bytes.text;
        return TL_OK;
    }
    uint8_t *block = tl__alloc(archive->context, (size_t)count * size), *out = block;
    if (!block)
        return TL_ERROR_MEMORY;
    TL__TRY(tl__archive_own(archive, block));
    message = tl__message_of(tensor->bytes);
    while (tl__message_next(&message, &field))
        if (field.number == number && !store_values(&field, fixed, size, &out))
            return fail(archive, tensor->name, "its values are malformed");
    tensor->entry.data = block;
    return TL_OK;
}

static tl_status use_outside(tl__archive *archive, struct tensor *tensor, uint64_t size) {
    tl__mapping mapping;
    tl_status status = tl__archive_companion(archive, tensor->file, &mapping);
    if (status != TL_OK)
        return status;
    if ((tensor->length && tensor->length != size) || tensor->offset > mapping.size ||
        size > mapping.size - tensor->offset)
        return fail(archive, tensor->name, "its shape does not fit its bytes in the other file");
    tensor->entry.data = mapping.data ? mapping.data + tensor->offset : NULL;
    return TL_OK;
}

tl_status tl__onnx_add_tensor(tl__archive *archive, tl__slice bytes, tl__slice name, bool *added) {
    struct tensor tensor = {.bytes = bytes, .name = name};
    *added = false;
    TL__TRY(read_fields(archive, &tensor));
    if (name.length)
        tensor.name = name;
    if (tensor.segmented)
        return fail(archive, tensor.name, "is a segment of a tensor");
    bool known = tensor.type > 0 && tensor.type < TL__COUNT(types);
    if (!known || !types[tensor.type].dtype)
        return tl__archive_add_unread(archive, tensor.name, known ? types[tensor.type].name : "unknown");
    tl__entry *entry = &tensor.entry;
    int64_t size;
    entry->dtype = types[tensor.type].dtype;
    if (!tl__shape_count(entry->rank, entry->shape, &entry->count) ||
        !tl__multiply(entry->count, (int64_t)tl__dtype_size(entry->dtype), &size))
        return fail(archive, tensor.name, "its shape is too large");
    tl__shape_strides(entry->rank, entry->shape, entry->strides);
    if (tensor.outside) {
        TL__TRY(use_outside(archive, &tensor, (uint64_t)size));
    } else if (tensor.has_raw) {
        if ((uint64_t)size != tensor.raw.length)
            return fail(archive, tensor.name, "its shape does not fit its bytes");
        entry->data = (const uint8_t *)tensor.raw.text;
    } else {
        TL__TRY(read_values(archive, &tensor));
    }
    *added = true;
    return tl__archive_add(archive, (tl__slice){0}, tensor.name, entry);
}

tl_status tl__onnx_tensor_name(tl__archive *archive, tl__slice bytes, tl__slice *name) {
    struct tensor tensor = {.bytes = bytes};
    TL__TRY(read_fields(archive, &tensor));
    *name = tensor.name;
    return TL_OK;
}
