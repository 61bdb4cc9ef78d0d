#include "formats/reader.h"

#include <string.h>

bool tl__entry_contiguous(const tl__entry *entry) {
    int64_t strides[TL__ARCHIVE_MAX_RANK];
    tl__shape_strides(entry->rank, entry->shape, strides);
    for (int i = 0; i < entry->rank; i++)
        if (entry->shape[i] > 1 && entry->strides[i] != strides[i])
            return false;
    return true;
}

static float f32_at(const uint8_t *data) {
    uint32_t bits = (uint32_t)tl__read_le(data, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float f64_at(const uint8_t *data) {
    uint64_t bits = tl__read_le(data, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return (float)value;
}

static float f16_at(const uint8_t *data) {
    return tl__f16_to_f32((uint16_t)tl__read_le(data, 2));
}

static float bf16_at(const uint8_t *data) {
    return tl__bf16_to_f32((uint16_t)tl__read_le(data, 2));
}

static float i64_at(const uint8_t *data) {
    return (float)(int64_t)tl__read_le(data, 8);
}

static float i32_at(const uint8_t *data) {
    return (float)(int32_t)tl__read_le(data, 4);
}

#define READ(convert)                                     \
    for (int64_t i = 0; i < count; i++, data += step)     \
        out[i] = (convert);                               \
    break

/* `count` elements that lie `step` bytes apart. */
static void read_run(int dtype, const uint8_t *data, ptrdiff_t step, int64_t count, float *out) {
    if (TL__LITTLE_ENDIAN && dtype == TL_DTYPE_F32 && step == sizeof *out) {
        memcpy(out, data, (size_t)count * sizeof *out);
        return;
    }
    switch (dtype) {
    case TL_DTYPE_F32: READ(f32_at(data));
    case TL_DTYPE_F64: READ(f64_at(data));
    case TL_DTYPE_F16: READ(f16_at(data));
    case TL_DTYPE_BF16: READ(bf16_at(data));
    case TL_DTYPE_U8: READ((float)*data);
    case TL_DTYPE_I8: READ((float)(int8_t)*data);
    case TL_DTYPE_I32: READ(i32_at(data));
    case TL_DTYPE_I64: READ(i64_at(data));
    default: break;
    }
}

static void read_strided(const tl__entry *entry, ptrdiff_t size, int64_t first, int64_t count, float *out) {
    int last = entry->rank - 1;
    int64_t index[TL__ARCHIVE_MAX_RANK];
    for (int i = last; i >= 0; i--) {
        index[i] = first % entry->shape[i];
        first /= entry->shape[i];
    }
    while (count > 0) {
        int64_t offset = 0, run = entry->shape[last] - index[last];
        for (int i = 0; i <= last; i++)
            offset += index[i] * entry->strides[i];
        if (run > count)
            run = count;
        read_run(entry->dtype, entry->data + offset * size, entry->strides[last] * size, run, out);
        out += run;
        count -= run;
        index[last] = 0;
        for (int i = last - 1; i >= 0 && ++index[i] == entry->shape[i]; i--)
            index[i] = 0;
    }
}

void tl__entry_read_f32(const tl__entry *entry, int64_t first, int64_t count, float *out) {
    ptrdiff_t size = (ptrdiff_t)tl__dtype_size(entry->dtype);
    if (tl__entry_contiguous(entry))
        read_run(entry->dtype, entry->data + first * size, size, count, out);
    else
        read_strided(entry, size, first, count, out);
}
