#include "graph/plan_internal.h"

tl_status tl__arena_create(tl_device *device, tl__arena **out) {
    tl__arena *arena = tl__calloc(device->context, 1, sizeof *arena);
    if (!arena)
        return TL_ERROR_MEMORY;
    arena->device = device;
    arena->generation = 1;
    tl_status status = tl__device_queue_create(device, &arena->queue);
    if (status != TL_OK) {
        tl__free(device->context, arena);
        return status;
    }
    *out = arena;
    return TL_OK;
}

void tl__arena_destroy(tl__arena *arena) {
    if (!arena)
        return;
    tl__device_queue_destroy(arena->device, arena->queue);
    for (int i = 0; i < TL__MAX_CHUNKS; i++)
        tl__device_buffer_destroy(arena->device, arena->chunks[i]);
    tl__free(arena->device->context, arena);
}

tl_status tl__arena_empty(tl__arena *arena) {
    TL__TRY(tl__device_queue_finish(arena->device, arena->queue));
    for (int i = 0; i < TL__MAX_CHUNKS; i++) {
        tl__device_buffer_destroy(arena->device, arena->chunks[i]);
        arena->chunks[i] = NULL;
        arena->sizes[i] = 0;
    }
    arena->generation++;
    return TL_OK;
}

uint64_t tl__arena_bytes(const tl__arena *arena) {
    uint64_t sum = 0;
    for (int i = 0; i < TL__MAX_CHUNKS; i++)
        sum += arena->sizes[i];
    return sum;
}

tl_status tl__arena_reserve(tl__arena *arena, const uint64_t sizes[TL__MAX_CHUNKS]) {
    for (int i = 0; i < TL__MAX_CHUNKS; i++) {
        if (sizes[i] <= arena->sizes[i])
            continue;
        /* The old chunk goes first: the two together might not fit. */
        TL__TRY(tl__device_queue_finish(arena->device, arena->queue));
        tl__device_buffer_destroy(arena->device, arena->chunks[i]);
        arena->chunks[i] = NULL;
        arena->sizes[i] = 0;
        arena->generation++;
        TL__TRY(tl__device_buffer_create(arena->device, sizes[i], &arena->chunks[i]));
        arena->sizes[i] = sizes[i];
    }
    return TL_OK;
}
