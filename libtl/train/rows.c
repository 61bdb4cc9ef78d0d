#include "train/rows.h"

#include <string.h>

static size_t value_bytes(const tl__plan *plan, int value) {
    return tl__desc_bytes(&tl__plan_value(plan, value)->desc);
}

size_t tl__rows_bytes(const tl__plan *plan, const tl__cut *values, int count) {
    size_t sum = 0;
    for (int i = 0; i < values->count; i++)
        sum += value_bytes(plan, values->values[i]) / (size_t)count;
    return sum;
}

tl_status tl__rows_ready(tl__rows *rows, const tl__plan *plan, const tl__cut *values) {
    size_t most = 0;
    for (int i = 0; i < values->count && values->count > 1; i++)
        most = value_bytes(plan, values->values[i]) > most ? value_bytes(plan, values->values[i]) : most;
    if (most <= rows->bytes)
        return TL_OK;
    void *room = tl__alloc(rows->context, most);
    if (!room)
        return TL_ERROR_MEMORY;
    tl__free(rows->context, rows->room);
    rows->room = room;
    rows->bytes = most;
    return TL_OK;
}

void tl__rows_free(tl__rows *rows) {
    if (rows->room)
        tl__free(rows->context, rows->room);
    rows->room = NULL;
    rows->bytes = 0;
}

tl_status tl__rows_write(const tl__rows *rows, tl__plan *plan, const tl__cut *values, int count, const void *from) {
    const size_t stride = tl__rows_bytes(plan, values, count);
    const char *at = from;
    if (values->count == 1)
        return tl__plan_write(plan, values->values[0], from);
    for (int i = 0; i < values->count; i++) {
        size_t bytes = value_bytes(plan, values->values[i]) / (size_t)count;
        for (size_t row = 0; row < (size_t)count; row++)
            memcpy((char *)rows->room + row * bytes, at + row * stride, bytes);
        TL__TRY(tl__plan_write(plan, values->values[i], rows->room));
        at += bytes;
    }
    return TL_OK;
}

tl_status tl__rows_read(const tl__rows *rows, tl__plan *plan, const tl__cut *values, int count, void *to) {
    const size_t stride = tl__rows_bytes(plan, values, count);
    char *at = to;
    if (values->count == 1)
        return tl__plan_read(plan, values->values[0], to);
    for (int i = 0; i < values->count; i++) {
        size_t bytes = value_bytes(plan, values->values[i]) / (size_t)count;
        TL__TRY(tl__plan_read(plan, values->values[i], rows->room));
        for (size_t row = 0; row < (size_t)count; row++)
            memcpy(at + row * stride, (char *)rows->room + row * bytes, bytes);
        at += bytes;
    }
    return TL_OK;
}
