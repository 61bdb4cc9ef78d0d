#include "train/store.h"

#include <string.h>

static uint64_t align_up(uint64_t bytes, uint64_t alignment) {
    return (bytes + alignment - 1) / alignment * alignment;
}

/* Gives every live parameter its offset and fills segments and bounds. */
static tl_status lay_out(tl__store *store) {
    const tl_model *model = store->model;
    uint64_t alignment = store->device->properties.alignment;
    if (alignment < sizeof(float))
        alignment = sizeof(float);
    store->segments = tl__alloc(model->context, model->parameter_count * sizeof *store->segments);
    store->bounds = tl__alloc(model->context, (model->parameter_count + 1) * sizeof *store->bounds);
    if (!store->segments || !store->bounds)
        return TL_ERROR_MEMORY;
    for (size_t i = 0; i < model->parameter_count; i++) {
        tl__parameter *p = model->parameters[i];
        uint64_t bytes = align_up(tl__desc_bytes(&p->desc), alignment);
        if (p->trains) {
            p->offset = store->bytes;
            store->bounds[store->segment_count] = (int64_t)(store->bytes / sizeof(float));
            store->segments[store->segment_count++] = p;
            store->bytes += bytes;
        } else if (p->moves && p->kind != TL__PARAMETER_COUNTER) {
            p->offset = store->statistics_bytes;
            store->statistics_bytes += bytes;
        }
    }
    store->bounds[store->segment_count] = (int64_t)(store->bytes / sizeof(float));
    return TL_OK;
}

static tl_view view_of(const tl__parameter *p, tl_backend_buffer *buffer) {
    return (tl_view){buffer, p->offset, tl__desc_bytes(&p->desc)};
}

static tl_status write_values(tl__store *store, const tl__parameter *p, tl_backend_buffer *buffer) {
    tl_context *context = store->model->context;
    float *values = tl__alloc(context, tl__desc_bytes(&p->desc));
    if (!values)
        return TL_ERROR_MEMORY;
    tl_view view = view_of(p, buffer);
    tl_status status = tl__parameter_read(context, p, values);
    if (status == TL_OK)
        status = tl__device_queue_write(store->device, store->queue, &view, values);
    tl__free(context, values);
    return status;
}

static tl_status fill(tl__store *store) {
    for (int i = 0; i < 4 && store->bytes; i++) {
        TL__TRY(tl__device_buffer_create(store->device, store->bytes, &store->buffers[i]));
        tl_view whole = {store->buffers[i], 0, store->bytes};
        TL__TRY(tl__device_queue_zero(store->device, store->queue, &whole));
    }
    if (store->statistics_bytes)
        TL__TRY(tl__device_buffer_create(store->device, store->statistics_bytes, &store->statistics));
    for (size_t i = 0; i < store->model->parameter_count; i++) {
        const tl__parameter *p = store->model->parameters[i];
        const tl__moments *m = &store->moments[i];
        if (p->moves && p->kind != TL__PARAMETER_COUNTER)
            TL__TRY(write_values(store, p, store->statistics));
        if (!p->trains)
            continue;
        TL__TRY(write_values(store, p, store->buffers[TL__FLAT_PARAMETERS]));
        if (!m->first)
            continue;
        tl_view first = view_of(p, store->buffers[TL__FLAT_MOMENT1]), second = view_of(p, store->buffers[TL__FLAT_MOMENT2]);
        TL__TRY(tl__device_queue_write(store->device, store->queue, &first, m->first));
        TL__TRY(tl__device_queue_write(store->device, store->queue, &second, m->second));
    }
    return TL_OK;
}

tl_status tl__store_create(tl_model *model, tl_device *device, tl_backend_queue *queue, tl__moments *moments, tl__store **out) {
    tl__store *store = tl__calloc(model->context, 1, sizeof *store);
    if (!store)
        return TL_ERROR_MEMORY;
    store->model = model;
    store->device = device;
    store->queue = queue;
    store->moments = moments;
    tl_status status = lay_out(store);
    if (status == TL_OK)
        status = fill(store);
    if (status != TL_OK) {
        tl__store_destroy(store);
        return status;
    }
    *out = store;
    return TL_OK;
}

void tl__store_destroy(tl__store *store) {
    if (!store)
        return;
    for (int i = 0; i < 4; i++)
        tl__device_buffer_destroy(store->device, store->buffers[i]);
    tl__device_buffer_destroy(store->device, store->statistics);
    tl__free(store->model->context, store->segments);
    tl__free(store->model->context, store->bounds);
    tl__free(store->model->context, store);
}

static tl_status read_new(tl__store *store, const tl__parameter *p, tl_backend_buffer *buffer, float **out) {
    tl_context *context = store->model->context;
    float *values = tl__alloc(context, tl__desc_bytes(&p->desc));
    if (!values)
        return TL_ERROR_MEMORY;
    tl_view view = view_of(p, buffer);
    tl_status status = tl__device_queue_read(store->device, store->queue, &view, values);
    if (status != TL_OK) {
        tl__free(context, values);
        return status;
    }
    *out = values;
    return TL_OK;
}

static tl_status sync_moments(tl__store *store, const tl__parameter *p, tl__moments *m) {
    tl_context *context = store->model->context;
    float *first, *second;
    TL__TRY(read_new(store, p, store->buffers[TL__FLAT_MOMENT1], &first));
    tl_status status = read_new(store, p, store->buffers[TL__FLAT_MOMENT2], &second);
    if (status != TL_OK) {
        tl__free(context, first);
        return status;
    }
    tl__free(context, m->first);
    tl__free(context, m->second);
    m->first = first;
    m->second = second;
    return TL_OK;
}

tl_status tl__store_sync(tl__store *store, bool moments) {
    for (size_t i = 0; i < store->model->parameter_count; i++) {
        tl__parameter *p = store->model->parameters[i];
        float *values;
        if (!tl__parameter_live(p) || p->kind == TL__PARAMETER_COUNTER)
            continue;
        TL__TRY(read_new(store, p, p->trains ? store->buffers[TL__FLAT_PARAMETERS] : store->statistics, &values));
        tl__parameter_set(store->model->context, p, values);
        if (moments && p->trains)
            TL__TRY(sync_moments(store, p, &store->moments[i]));
    }
    return TL_OK;
}

tl_status tl__store_locate(const tl__store *store, const tl__value *value, tl_view *view) {
    if (value->kind == TL__VALUE_FLAT)
        *view = (tl_view){store->buffers[value->flat], 0, store->bytes};
    else if (value->gradient_of)
        *view = view_of(value->gradient_of, store->buffers[TL__FLAT_GRADIENTS]);
    else
        *view = view_of(value->parameter, value->parameter->trains ? store->buffers[TL__FLAT_PARAMETERS] : store->statistics);
    return TL_OK;
}

tl_status tl__store_gradient(tl__store *store, const tl__parameter *parameter, float *out) {
    tl_view view = view_of(parameter, store->buffers[TL__FLAT_GRADIENTS]);
    return tl__device_queue_read(store->device, store->queue, &view, out);
}
