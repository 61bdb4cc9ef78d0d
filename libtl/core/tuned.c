#include <config.h>

#include <string.h>

#include <tl/tune.h>

#include "core/registry.h"

typedef struct visit {
    const tl__backend *backend;
    void *user;
    void (*each)(void *user, const tl_tune_choice *choice);
    int count;
} visit;

static const char *words(const char *text) {
    return text ? text : "";
}

static void show(void *user, const tl_tuned *from) {
    visit *v = user;
    tl_tuned known;
    TL__TABLE_COPY(&known, from);
    tl_tune_choice choice = {.size = sizeof choice,
                             .backend = v->backend->table.name,
                             .device = words(known.device),
                             .form = words(known.form),
                             .implementation = words(known.implementation),
                             .seconds = known.seconds};
    v->count++;
    if (v->each)
        v->each(v->user, &choice);
}

static tl_status ask(tl_context *context, visit *v, const tl__backend *backend, uint32_t index, bool forget) {
    tl__host host;
    if (!backend->table.tuned)
        return TL_OK;
    v->backend = backend;
    tl__host_start(&host, context, backend->table.name);
    host.backend = backend->table.name;
    return tl__host_result(&host, backend->table.tuned(&host.table, index, forget, v, show), "tuned");
}

/* Without an index a backend's name stands for its first device, as in tl_device_open. */
static bool is_named(const tl__found *found, const char *name) {
    return strcmp(found->name, name) == 0 ||
           (found->index == 0 && strcmp(found->backend->table.name, name) == 0);
}

static tl_status visit_device(tl_context *context, visit *v, const char *device, bool forget) {
    tl__found *found = NULL;
    size_t count = 0, i = 0;
    TL__TRY(tl__probe(context, NULL, &found, &count));
    while (i < count && (found[i].info.kind == TL_DEVICE_REMARK || !is_named(&found[i], device)))
        i++;
    tl_status status = i < count ? ask(context, v, found[i].backend, found[i].index, forget)
                                 : tl__fail(context, TL_ERROR_NOT_FOUND, "no device \"%.100s\"", device);
    tl__free(context, found);
    return status;
}

static tl_status visit_all(tl_context *context, visit *v, const char *device, bool forget) {
    struct tl__registry *registry;
    if (device)
        return visit_device(context, v, device, forget);
    TL__TRY(tl__registry_get(context, true, &registry));
    for (size_t i = 0; i < registry->count; i++)
        TL__TRY(ask(context, v, registry->backends[i], TL_EVERY_DEVICE, forget));
    return TL_OK;
}

tl_status tl_tune_list(tl_context *context, const char *device, void (*each)(void *user, const tl_tune_choice *choice),
                       void *user) {
    visit v = {.each = each, .user = user};
    return visit_all(context, &v, device, false);
}

tl_status tl_tune_forget(tl_context *context, const char *device, int *count) {
    visit v = {0};
    TL__TRY(visit_all(context, &v, device, true));
    if (count)
        *count = v.count;
    return TL_OK;
}
