#include "train/engine.h"

#include <stdio.h>
#include <string.h>

#include "graph/plan_internal.h"
#include "train/calibrate.h"

tl_status tl__engine_create(tl_model *model, tl_device *device, tl__engine **out) {
    tl__engine *engine = tl__calloc(model->context, 1, sizeof *engine);
    if (!engine)
        return TL_ERROR_MEMORY;
    engine->model = model;
    engine->device = device;
    engine->allowed = tl__device_is_own_cpu(device) ? 0 : device->properties.memory;
    tl_status status = tl__arena_create(device, &engine->arena);
    if (status == TL_OK && !tl__device_is_own_cpu(device) && device->fallback != TL_FALLBACK_ERROR) {
        status = tl__device_open_cpu(model->context, NULL, &engine->cpu);
        if (status == TL_OK)
            status = tl__arena_create(engine->cpu, &engine->cpu_arena);
    }
    if (status != TL_OK) {
        tl__engine_destroy(engine);
        return status;
    }
    *out = engine;
    return TL_OK;
}

tl_status tl__engine_set_precision(tl__engine *engine, tl_precision precision) {
    static const tl_dtype storage[] = {[TL_PRECISION_FP32] = TL_DTYPE_F32, [TL_PRECISION_BF16] = TL_DTYPE_BF16,
                                       [TL_PRECISION_FP16] = TL_DTYPE_F16, [TL_PRECISION_INT8] = TL_DTYPE_U8};
    if ((size_t)precision >= TL__COUNT(storage))
        return tl__fail(engine->model->context, TL_ERROR_ARGUMENT, "precision = %d is unknown", (int)precision);
    engine->storage = storage[precision];
    tl__calibration_destroy(engine->calibration);
    engine->calibration = NULL;
    return TL_OK;
}

void tl__engine_destroy(tl__engine *engine) {
    if (!engine)
        return;
    tl__calibration_destroy(engine->calibration);
    tl__store_destroy(engine->store);
    tl__arena_destroy(engine->arena);
    tl__arena_destroy(engine->cpu_arena);
    tl_device_close(engine->cpu);
    tl__free(engine->model->context, engine);
}

static tl_status locate(void *user, const tl__value *value, tl_view *view) {
    const tl__engine *engine = user;
    if (!engine->store)
        return tl__fail(engine->model->context, TL_ERROR_INTERNAL, "%s changes, but nothing trains", value->name);
    return tl__store_locate(engine->store, value, view);
}

/* Frozen parameters are constants, which the backend holds as it likes: about as many bytes as they have. */
tl__memory tl__engine_memory(const tl__engine *engine) {
    tl__memory memory = {.allowed = engine->allowed, .largest_buffer = engine->device->properties.max_buffer};
    for (size_t i = 0; i < engine->model->parameter_count; i++) {
        const tl__parameter *p = engine->model->parameters[i];
        memory.frozen += tl__parameter_live(p) || p->kind == TL__PARAMETER_COUNTER ? 0 : tl__desc_bytes(&p->desc);
    }
    if (engine->store)
        memory.state = 4 * engine->store->bytes + engine->store->statistics_bytes;
    return memory;
}

tl_status tl__engine_plan(tl__engine *engine, tl__graph *graph, const char *what, int images, tl__plan **out) {
    tl__memory memory = tl__engine_memory(engine);
    uint64_t fixed = memory.frozen + memory.state;
    char title[96];
    snprintf(title, sizeof title, "%s, %d image%s", what, images, images == 1 ? "" : "s");
    engine->too_large = false;
    tl__plan_options options = {.device = engine->device, .fallback = engine->cpu, .arena = engine->arena,
                                .fallback_arena = engine->cpu_arena, .locate = locate, .user = engine, .title = title,
                                .budget = !memory.allowed ? 0 : memory.allowed > fixed ? memory.allowed - fixed : 1,
                                .measure = engine->measure, .too_large = &engine->too_large};
    return tl__plan_create(graph, &options, out);
}

tl_backend_queue *tl__engine_queue(const tl__engine *engine) {
    return engine->arena->queue;
}

int tl__engine_chunk(const tl__engine *engine, int batch) {
    return engine->device->properties.kind == TL_DEVICE_CPU && batch > 8 ? 8 : batch;
}

