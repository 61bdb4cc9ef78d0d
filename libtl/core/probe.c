#include <config.h>

#include "core/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 8
#define MAX_DEVICES 1024

static bool is_own_cpu(const tl__backend *backend) {
    return !backend->path && strcmp(backend->table.name, "cpu") == 0;
}

enum { RANK_GPU, RANK_OWN_CPU, RANK_OTHER, RANK_UNUSABLE, RANK_REMARK };

static int rank(const tl__found *found) {
    if (found->info.kind == TL_DEVICE_REMARK)
        return RANK_REMARK;
    if (!found->info.usable)
        return RANK_UNUSABLE;
    if (is_own_cpu(found->backend))
        return RANK_OWN_CPU;
    return found->info.kind == TL_DEVICE_GPU ? RANK_GPU : RANK_OTHER;
}

const char *tl__found_why_not(const tl__found *best, const tl__found *found) {
    int r = rank(found), b = rank(best);
    if (found == best || r == RANK_REMARK)
        return "";
    if (r == RANK_UNUSABLE)
        return "it cannot be used";
    if (r != b)
        return b == RANK_GPU ? "a GPU comes first" : "libtl's own CPU backend comes before all but GPUs";
    return found->backend->table.priority != best->backend->table.priority ? "its backend has a lower priority"
                                                                          : "another one comes before it";
}

static int compare_found(const void *a, const void *b) {
    const tl__found *x = a, *y = b;
    int32_t p = x->backend->table.priority, q = y->backend->table.priority;
    if (rank(x) != rank(y))
        return rank(x) - rank(y);
    if (p != q)
        return p > q ? -1 : 1;
    if (x->admitted != y->admitted)
        return x->admitted < y->admitted ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static tl_status refuse(tl_context *context, const tl__host *host, tl_status status) {
    char text[768];
    tl__host_describe(host, status, "probe", text, sizeof text);
    if (status == TL_ERROR_MEMORY)
        return tl__fail(context, TL_ERROR_MEMORY, "%s", text);
    tl__log(context, TL_LOG_WARNING, "%s", text);
    return TL_OK;
}

/* The backend's answer: *infos is the caller's where *count > 0. */
static tl_status ask(tl_context *context, const tl__backend *backend, tl_backend_device_info **infos, uint32_t *count) {
    tl__host host;
    tl__host_start(&host, context, backend->table.name);
    host.backend = backend->table.name;
    for (uint32_t capacity = FIRST_CAPACITY;;) {
        tl_backend_device_info *made = tl__calloc(context, capacity, sizeof *made);
        if (!made)
            return TL_ERROR_MEMORY;
        for (uint32_t i = 0; i < capacity; i++)
            made[i].size = sizeof *made;
        uint32_t there = 0;
        tl_status status = backend->table.probe(&host.table, made, capacity, &there);
        if (status == TL_OK && there > 0 && there <= capacity) {
            *infos = made;
            *count = there;
            return TL_OK;
        }
        tl__free(context, made);
        if (status != TL_OK)
            return refuse(context, &host, status);
        if (there == 0)
            return TL_OK;
        if (there > MAX_DEVICES) {
            tl__log(context, TL_LOG_WARNING, "%s: probe speaks of %u devices: none is used", host.name,
                    (unsigned)there);
            return TL_OK;
        }
        capacity = there;
    }
}

static tl__found describe(const tl__backend *backend, size_t admitted, uint32_t index,
                          const tl_backend_device_info *info) {
    tl__found found = {.backend = (tl__backend *)backend, .admitted = admitted, .index = index, .info = *info};
    found.info.name[sizeof found.info.name - 1] = '\0';
    found.info.driver[sizeof found.info.driver - 1] = '\0';
    found.info.note[sizeof found.info.note - 1] = '\0';
    if (found.info.kind < TL_DEVICE_CPU || found.info.kind > TL_DEVICE_REMARK)
        found.info.kind = TL_DEVICE_OTHER;
    if (found.info.kind == TL_DEVICE_REMARK) {
        found.info.usable = 0;
        snprintf(found.name, sizeof found.name, "%s", backend->table.name);
    } else if (is_own_cpu(backend) && index == 0)
        snprintf(found.name, sizeof found.name, "cpu");
    else
        snprintf(found.name, sizeof found.name, "%s:%u", backend->table.name, (unsigned)index);
    return found;
}

static tl_status append(tl_context *context, const tl__backend *backend, size_t admitted, tl__found **list,
                        size_t *count) {
    tl_backend_device_info *infos = NULL;
    uint32_t there = 0;
    TL__TRY(ask(context, backend, &infos, &there));
    if (there == 0)
        return TL_OK;
    tl__found *larger = tl__realloc(context, *list, *count * sizeof **list, (*count + there) * sizeof **list);
    if (!larger) {
        tl__free(context, infos);
        return TL_ERROR_MEMORY;
    }
    for (uint32_t i = 0; i < there; i++)
        larger[*count + i] = describe(backend, admitted, i, &infos[i]);
    tl__free(context, infos);
    *list = larger;
    *count += there;
    return TL_OK;
}

tl_status tl__probe(tl_context *context, tl__backend *backend, tl__found **found, size_t *count) {
    tl__found *list = NULL;
    size_t length = 0;
    struct tl__registry *registry;
    tl_status status = tl__registry_get(context, backend == NULL, &registry);
    for (size_t i = 0; status == TL_OK && i < registry->count; i++)
        if (!backend || registry->backends[i] == backend)
            status = append(context, registry->backends[i], i, &list, &length);
    if (status != TL_OK) {
        tl__free(context, list);
        return status;
    }
    if (length)
        qsort(list, length, sizeof *list, compare_found);
    *found = list;
    *count = length;
    return TL_OK;
}
