#include <config.h>

#include "core/registry.h"

#include <stdio.h>
#include <string.h>

#include <tl/version.h>

#define NAME_BYTES 32

#define DECLARE_BUILTIN(stem) const tl_backend *tl__backend_entry_##stem(uint32_t abi, const tl_host *host);
TL_BUILTIN_BACKENDS(DECLARE_BUILTIN)
#undef DECLARE_BUILTIN

static const tl_backend_entry_fn builtins[] = {
#define BUILTIN_ENTRY(stem) tl__backend_entry_##stem,
    TL_BUILTIN_BACKENDS(BUILTIN_ENTRY)
#undef BUILTIN_ENTRY
    NULL};

static bool name_valid(const char *name) {
    if (!name || name[0] < 'a' || name[0] > 'z')
        return false;
    size_t length = 1;
    for (; name[length]; length++)
        if (length + 1 == NAME_BYTES || !((name[length] >= 'a' && name[length] <= 'z') ||
                                          (name[length] >= '0' && name[length] <= '9')))
            return false;
    return strcmp(name, "auto") != 0;
}

static const char *origin(const tl__backend *backend) {
    return backend->path ? backend->path : "built in";
}

/* Why a table cannot be used, into reason; false if it can. The order matters: nothing is read before it is known
 * to be there and to mean what it means here. */
static bool table_refused(const struct tl__registry *registry, const tl_backend *table, char *reason, size_t size) {
    size_t needed = TL__SIZE_UP_TO(tl_backend, open);
    if (table->size < TL__SIZE_UP_TO(tl_backend, abi)) {
        snprintf(reason, size, "its table has %u bytes, %zu are needed", (unsigned)table->size, needed);
        return true;
    }
    if (table->abi != TL_BACKEND_ABI) {
        snprintf(reason, size, "it is for version %u of the backend interface, libtl %s has %u", (unsigned)table->abi,
                 TL_VERSION, TL_BACKEND_ABI);
        return true;
    }
    if (table->size < needed) {
        snprintf(reason, size, "its table has %u bytes, %zu are needed", (unsigned)table->size, needed);
        return true;
    }
    if (!name_valid(table->name)) {
        snprintf(reason, size, "its name \"%.40s\" is not one: a-z, then a-z and 0-9, up to %d characters, not auto",
                 table->name ? table->name : "", NAME_BYTES - 1);
        return true;
    }
    if (!table->probe || !table->open) {
        snprintf(reason, size, "its table lacks %s", table->probe ? "open" : "probe");
        return true;
    }
    const tl__backend *other = tl__registry_find(registry, table->name);
    if (other) {
        snprintf(reason, size, "there is a backend \"%s\" already (%s)", table->name, origin(other));
        return true;
    }
    return false;
}

static const tl_backend *ask(tl_context *context, tl_backend_entry_fn entry, char *reason, size_t size) {
    tl__host host;
    tl__host_start(&host, context, "backend");
    const tl_backend *table = entry(TL_BACKEND_ABI, &host.table);
    if (!table)
        snprintf(reason, size, "it does not work with version %u of the backend interface%s%s", TL_BACKEND_ABI,
                 host.text[0] ? ": " : "", host.text);
    else if (entry(TL_BACKEND_ABI, &host.table) != table) {
        snprintf(reason, size, "it gives another table each time it is asked");
        table = NULL;
    }
    return table;
}

tl_status tl__registry_admit(tl_context *context, struct tl__registry *registry, tl_backend_entry_fn entry,
                             const char *path) {
    char reason[768];
    const tl_backend *table = ask(context, entry, reason, sizeof reason);
    if (!table || table_refused(registry, table, reason, sizeof reason)) {
        tl__log(context, TL_LOG_WARNING, "%s: backend not loaded: %s", path ? path : "built in", reason);
        return TL_OK;
    }
    void *array = registry->backends;
    tl_status status = tl__grow(context, &array, &registry->capacity, registry->count, sizeof *registry->backends);
    registry->backends = array;
    if (status != TL_OK)
        return status;
    tl__backend *backend = tl__calloc(context, 1, sizeof *backend);
    if (!backend)
        return TL_ERROR_MEMORY;
    if (path && !(backend->path = tl__strdup(context, path))) {
        tl__free(context, backend);
        return TL_ERROR_MEMORY;
    }
    TL__TABLE_COPY(&backend->table, table);
    registry->backends[registry->count++] = backend;
    tl__log(context, TL_LOG_DEBUG, "backend %s %s (%s)", backend->table.name,
            backend->table.version ? backend->table.version : "", origin(backend));
    return TL_OK;
}

static tl_status create(tl_context *context, struct tl__registry **out) {
    struct tl__registry *registry = tl__calloc(context, 1, sizeof *registry);
    if (!registry)
        return TL_ERROR_MEMORY;
    for (size_t i = 0; builtins[i]; i++) {
        tl_status status = tl__registry_admit(context, registry, builtins[i], NULL);
        if (status != TL_OK) {
            tl__registry_destroy(context, registry);
            return status;
        }
    }
    *out = registry;
    return TL_OK;
}

tl_status tl__registry_get(tl_context *context, bool plugins, struct tl__registry **registry) {
    if (!context->registry)
        TL__TRY(create(context, &context->registry));
    if (plugins && !context->registry->plugins) {
        /* Set before the search: one that ended for want of memory is not begun again, it would log twice. */
        context->registry->plugins = true;
        TL__TRY(tl__plugins_load(context, context->registry));
    }
    *registry = context->registry;
    return TL_OK;
}

void tl__registry_destroy(tl_context *context, struct tl__registry *registry) {
    if (!registry)
        return;
    for (size_t i = 0; i < registry->count; i++) {
        tl__free(context, registry->backends[i]->path);
        tl__free(context, registry->backends[i]);
    }
    tl__free(context, registry->backends);
    tl__free(context, registry);
}

tl__backend *tl__registry_find(const struct tl__registry *registry, const char *name) {
    for (size_t i = 0; i < registry->count; i++)
        if (strcmp(registry->backends[i]->table.name, name) == 0)
            return registry->backends[i];
    return NULL;
}
