#include "graph/parameter.h"

#include <stdatomic.h>
#include <string.h>

#define PART ((int64_t)1 << 18) /* elements that are read at once where they change their order */

uint64_t tl__parameter_new_id(void) {
    static atomic_uint_fast64_t last;
    return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

/* Elements of a map, height * width, behind one channel of a weight; 1 where both orders are the same. */
static int64_t map_size(const tl__parameter *parameter) {
    return parameter->kind == TL__PARAMETER_WEIGHT ? parameter->desc.shape[1] * parameter->desc.shape[2] : 1;
}

/* [outer][rows][columns] to [outer][columns][rows] */
static void transpose(const float *in, int64_t outer, int64_t rows, int64_t columns, float *out) {
    for (int64_t o = 0; o < outer; o++, in += rows * columns, out += rows * columns)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < columns; c++)
                out[c * rows + r] = in[r * columns + c];
}

void tl__parameter_from_torch(const tl__parameter *parameter, const float *torch, float *out) {
    const int64_t *shape = parameter->desc.shape, map = map_size(parameter);
    if (map == 1)
        memcpy(out, torch, (size_t)tl__desc_count(&parameter->desc) * sizeof *out);
    else
        transpose(torch, shape[0], shape[3], map, out);
}

void tl__parameter_to_torch(const tl__parameter *parameter, const float *ours, float *out) {
    const int64_t *shape = parameter->desc.shape, map = map_size(parameter);
    if (map == 1)
        memcpy(out, ours, (size_t)tl__desc_count(&parameter->desc) * sizeof *out);
    else
        transpose(ours, shape[0], map, shape[3], out);
}

static tl_status read_source(tl_context *context, const tl__parameter *parameter, int64_t first, int64_t count, float *out) {
    const tl__source *source = &parameter->source;
    tl_status status = source->read(context, source, first, count, out);
    return status == TL_OK ? TL_OK : tl__fail_at(context, status, "%s", parameter->name);
}

tl_status tl__parameter_read(tl_context *context, const tl__parameter *parameter, float *out) {
    int64_t count = tl__desc_count(&parameter->desc), map = map_size(parameter);
    if (parameter->kind == TL__PARAMETER_COUNTER) {
        *out = (float)parameter->counter;
        return TL_OK;
    }
    if (parameter->values) {
        memcpy(out, parameter->values, (size_t)count * sizeof *out);
        return TL_OK;
    }
    if (map == 1)
        return read_source(context, parameter, 0, count, out);

    int64_t row = parameter->desc.shape[3] * map, at_once = row < PART ? PART / row : 1;
    float *part = tl__alloc(context, (size_t)(at_once * row) * sizeof *part);
    if (!part)
        return TL_ERROR_MEMORY;
    tl_status status = TL_OK;
    for (int64_t o = 0; o < parameter->desc.shape[0] && status == TL_OK; o += at_once) {
        int64_t rows = parameter->desc.shape[0] - o < at_once ? parameter->desc.shape[0] - o : at_once;
        status = read_source(context, parameter, o * row, rows * row, part);
        if (status == TL_OK)
            transpose(part, rows, parameter->desc.shape[3], map, out + o * row);
    }
    tl__free(context, part);
    return status;
}

tl_status tl__parameter_read_torch(tl_context *context, const tl__parameter *parameter, float *out) {
    if (parameter->kind == TL__PARAMETER_COUNTER)
        *out = (float)parameter->counter;
    else if (parameter->values)
        tl__parameter_to_torch(parameter, parameter->values, out);
    else
        return read_source(context, parameter, 0, tl__desc_count(&parameter->desc), out);
    return TL_OK;
}

void tl__parameter_set(tl_context *context, tl__parameter *parameter, float *values) {
    tl__free(context, parameter->values);
    parameter->values = values;
    parameter->source = (tl__source){0};
    parameter->id = tl__parameter_new_id();
}
