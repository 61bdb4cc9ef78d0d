#include "train/engine.h"

#include <string.h>

#include "graph/plan_internal.h"

tl_status tl__engine_create(tl_model *model, tl_device *device, tl__engine **out) {
    tl__engine *engine = tl__calloc(model->context, 1, sizeof *engine);
    if (!engine)
        return TL_ERROR_MEMORY;
    engine->model = model;
    engine->device = device;
    tl_status status = tl__arena_create(device, &engine->arena);
    if (status == TL_OK && strcmp(tl_device_name(device), "cpu") != 0) {
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
                                       [TL_PRECISION_FP16] = TL_DTYPE_F16};
    if ((size_t)precision >= TL__COUNT(storage))
        return tl__fail(engine->model->context, TL_ERROR_ARGUMENT, "precision = %d is unknown", (int)precision);
    engine->storage = storage[precision];
    return TL_OK;
}

void tl__engine_destroy(tl__engine *engine) {
    if (!engine)
        return;
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

tl_status tl__engine_plan(tl__engine *engine, tl__graph *graph, tl__plan **out) {
    tl__plan_options options = {.device = engine->device, .fallback = engine->cpu, .arena = engine->arena,
                                .fallback_arena = engine->cpu_arena, .locate = locate, .user = engine};
    return tl__plan_create(graph, &options, out);
}

tl_backend_queue *tl__engine_queue(const tl__engine *engine) {
    return engine->arena->queue;
}

int tl__engine_chunk(const tl__engine *engine, int batch) {
    return engine->device->properties.kind == TL_DEVICE_CPU && batch > 8 ? 8 : batch;
}

