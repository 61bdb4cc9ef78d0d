#include <config.h>

#include "core/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 4096
#define MAX_ALIGNMENT 4096

static const char *kind_name(int32_t kind) {
    static const char *const names[] = {
        [TL_DEVICE_CPU] = "cpu", [TL_DEVICE_GPU] = "gpu", [TL_DEVICE_OTHER] = "other", [TL_DEVICE_REMARK] = "remark"};
    return names[kind];
}

tl_status tl_device_list(tl_context *context, bool (*each)(void *user, const tl_device_info *info), void *user) {
    tl__found *found = NULL;
    size_t count = 0;
    TL__TRY(tl__probe(context, NULL, &found, &count));
    for (size_t i = 0; i < count; i++) {
        const tl_backend *backend = &found[i].backend->table;
        const tl_backend_device_info *info = &found[i].info;
        tl_device_info shown = {
            .size = sizeof shown,
            .name = found[i].name,
            .backend = backend->name,
            .version = backend->version ? backend->version : "",
            .kind = kind_name(info->kind),
            .description = info->name,
            .driver = info->driver,
            .note = info->note,
            .memory = info->memory,
            .units = info->units,
            .usable = info->usable != 0,
            .automatic = i == 0 && info->usable,
            .why_not = tl__found_why_not(&found[0], &found[i]),
        };
        if (!each(user, &shown))
            break;
    }
    tl__free(context, found);
    return TL_OK;
}

/* ---- opening ---- */

static const char *missing_function(const tl_device_ops *ops) {
    const struct {
        const char *name;
        bool there;
    } required[] = {
        {"properties", ops->properties != NULL},       {"close", ops->close != NULL},
        {"buffer_create", ops->buffer_create != NULL}, {"buffer_destroy", ops->buffer_destroy != NULL},
        {"queue_create", ops->queue_create != NULL},   {"queue_destroy", ops->queue_destroy != NULL},
        {"queue_write", ops->queue_write != NULL},     {"queue_read", ops->queue_read != NULL},
        {"queue_zero", ops->queue_zero != NULL},       {"queue_flush", ops->queue_flush != NULL},
        {"queue_finish", ops->queue_finish != NULL},   {"prepare", ops->prepare != NULL},
    };
    for (size_t i = 0; i < TL__COUNT(required); i++)
        if (!required[i].there)
            return required[i].name;
    return NULL;
}

static tl_status take_ops(tl_device *device) {
    const tl_device_ops *ops = device->handle->ops;
    if (!ops)
        return tl__fail(device->context, TL_ERROR_ABI, "%s: its device has no functions", device->name);
    TL__TABLE_COPY(&device->ops, ops);
    if (ops->size < TL__SIZE_UP_TO(tl_device_ops, prepare))
        return tl__fail(device->context, TL_ERROR_ABI, "%s: its device's table has %u bytes, %zu are needed",
                        device->name, (unsigned)ops->size, TL__SIZE_UP_TO(tl_device_ops, prepare));
    const char *missing = missing_function(&device->ops);
    if (missing)
        return tl__fail(device->context, TL_ERROR_ABI, "%s: its device lacks %s", device->name, missing);
    return TL_OK;
}

static tl_status take_properties(tl_device *device) {
    tl_device_properties *properties = &device->properties;
    *properties = (tl_device_properties){.size = sizeof *properties};
    device->host.text[0] = '\0';
    TL__TRY(tl__host_result(&device->host, device->ops.properties(device->handle, properties), "properties"));
    properties->size = sizeof *properties;
    uint64_t alignment = properties->alignment;
    if (alignment == 0 || alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) != 0)
        return tl__fail(device->context, TL_ERROR_ABI, "%s: an alignment of %llu is not a power of two up to %d",
                        device->name, (unsigned long long)alignment, MAX_ALIGNMENT);
    if (properties->max_buffer == 0)
        return tl__fail(device->context, TL_ERROR_ABI, "%s: its buffers hold 0 bytes", device->name);
    if (properties->host_visible && !device->ops.buffer_host)
        return tl__fail(device->context, TL_ERROR_ABI, "%s: its device lacks buffer_host", device->name);
    if (properties->kind != TL_DEVICE_CPU && properties->kind != TL_DEVICE_GPU)
        properties->kind = TL_DEVICE_OTHER;
    if (!properties->description)
        properties->description = "";
    if (!properties->identity)
        properties->identity = properties->description;
    return TL_OK;
}

static tl_status open_handle(tl_device *device, uint32_t index) {
    tl_backend_device *handle = NULL;
    tl_status status = device->backend->table.open(&device->host.table, index, &handle);
    TL__TRY(tl__host_result(&device->host, status, "open"));
    if (!handle)
        return tl__fail(device->context, TL_ERROR_DEVICE, "%s: open gave no device", device->name);
    device->handle = handle;
    TL__TRY(take_ops(device));
    return take_properties(device);
}

static tl_status set_options(tl_device *device, const tl_device_options *options) {
    if (options->threads < 0 || options->threads > MAX_THREADS)
        return tl__fail(device->context, TL_ERROR_ARGUMENT, "%s: threads = %d is not from 0 to %d", device->name,
                        options->threads, MAX_THREADS);
    if (options->fallback != TL_FALLBACK_WARN && options->fallback != TL_FALLBACK_ERROR &&
        options->fallback != TL_FALLBACK_ALLOW)
        return tl__fail(device->context, TL_ERROR_ARGUMENT, "%s: fallback = %d is unknown", device->name,
                        (int)options->fallback);
    device->fallback = options->fallback;
    if (options->threads > 0)
        snprintf(device->host.threads, sizeof device->host.threads, "%d", options->threads);
    if (options->isa) {
        device->isa = tl__strdup(device->context, options->isa);
        if (!device->isa)
            return TL_ERROR_MEMORY;
        device->host.isa = device->isa;
    }
    return TL_OK;
}

static tl_status open_found(tl_context *context, const tl__found *found, const tl_device_options *options,
                            tl_device **out) {
    if (!found->info.usable)
        return tl__fail(context, TL_ERROR_DEVICE, "%s cannot be used: %s", found->name,
                        found->info.note[0] ? found->info.note : "its backend does not say why");
    tl_device *device = tl__calloc(context, 1, sizeof *device);
    if (!device)
        return TL_ERROR_MEMORY;
    device->context = context;
    device->backend = found->backend;
    memcpy(device->name, found->name, sizeof device->name);
    tl__host_start(&device->host, context, device->name);
    device->host.backend = found->backend->table.name;
    tl_status status = set_options(device, options);
    if (status == TL_OK)
        status = open_handle(device, found->index);
    if (status != TL_OK) {
        tl_device_close(device);
        return status;
    }
    tl__log(context, TL_LOG_DEBUG, "%s opened: %s", device->name, device->properties.description);
    *out = device;
    return TL_OK;
}

/* ---- by name ---- */

/* "backend" or "backend:index" into its parts; *index is -1 without one. */
static bool split_name(const char *name, char *backend, size_t size, long *index) {
    size_t length = strcspn(name, ":");
    if (length == 0 || length >= size)
        return false;
    memcpy(backend, name, length);
    backend[length] = '\0';
    *index = -1;
    if (name[length] == '\0')
        return true;
    const char *digits = name + length + 1;
    size_t many = strspn(digits, "0123456789");
    if (many == 0 || many > 6 || digits[many] != '\0')
        return false;
    *index = strtol(digits, NULL, 10);
    return true;
}

static tl_status no_device(tl_context *context, const char *name) {
    tl__found *found = NULL;
    size_t count = 0, used = 0;
    char names[800] = "";
    TL__TRY(tl__probe(context, NULL, &found, &count));
    for (size_t i = 0; i < count && used < sizeof names; i++) {
        bool remark = found[i].info.kind == TL_DEVICE_REMARK;
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s%s%s", !i ? "" : remark ? "; " : ", ",
                                 found[i].name, remark ? ": " : "", remark ? found[i].info.note : "");
    }
    tl__free(context, found);
    return tl__fail(context, TL_ERROR_NOT_FOUND, "no device \"%.100s\"; there is: %s", name,
                    names[0] ? names : "none at all");
}

static tl_status find_backend(tl_context *context, const char *name, tl__backend **backend) {
    struct tl__registry *registry;
    *backend = NULL;
    /* Those built in cannot be replaced, so "cpu" is opened without loading a single plugin. */
    for (int plugins = 0; plugins < 2 && !*backend; plugins++) {
        TL__TRY(tl__registry_get(context, plugins, &registry));
        *backend = tl__registry_find(registry, name);
    }
    return TL_OK;
}

static tl_status open_named(tl_context *context, const char *name, const tl_device_options *options, tl_device **out) {
    char backend_name[48];
    long index = -1;
    tl__backend *backend = NULL;
    if (split_name(name, backend_name, sizeof backend_name, &index))
        TL__TRY(find_backend(context, backend_name, &backend));
    if (!backend)
        return no_device(context, name);
    tl__found *found = NULL;
    size_t count = 0, chosen = 0;
    TL__TRY(tl__probe(context, backend, &found, &count));
    if (index >= 0)
        while (chosen < count &&
               (found[chosen].index != (uint32_t)index || found[chosen].info.kind == TL_DEVICE_REMARK))
            chosen++;
    tl_status status = chosen < count ? open_found(context, &found[chosen], options, out) : no_device(context, name);
    tl__free(context, found);
    return status;
}

/* The best that opens. One that does not is passed over with a warning, not in silence. */
static tl_status open_auto(tl_context *context, const tl_device_options *options, tl_device **out) {
    tl__found *found = NULL;
    size_t count = 0;
    TL__TRY(tl__probe(context, NULL, &found, &count));
    tl_status status = TL_ERROR_DEVICE;
    size_t i = 0;
    for (; i < count && found[i].info.usable; i++) {
        status = open_found(context, &found[i], options, out);
        if (status == TL_OK || status == TL_ERROR_MEMORY || status == TL_ERROR_ARGUMENT)
            break;
        tl__log(context, TL_LOG_WARNING, "%s", context->message);
    }
    for (size_t k = 0; k < count; k++) /* why it is none of theirs */
        if (found[k].info.kind == TL_DEVICE_REMARK)
            tl__log(context, TL_LOG_INFO, "%s: %s", found[k].name, found[k].info.note);
    if (i == 0 && status != TL_OK && (count == 0 || !found[0].info.usable))
        status = no_device(context, "auto");
    tl__free(context, found);
    return status;
}

static tl_device_options full_options(const tl_device_options *options) {
    tl_device_options full = {0};
    if (options)
        TL__TABLE_COPY(&full, options);
    full.size = sizeof full;
    return full;
}

tl_status tl_device_open(tl_context *context, const char *name, const tl_device_options *options, tl_device **out) {
    if (options && options->size < sizeof options->size)
        return tl__fail(context, TL_ERROR_ARGUMENT, "tl_device_options: size is not set");
    tl_device_options full = full_options(options);
    if (!name || strcmp(name, "auto") == 0)
        return open_auto(context, &full, out);
    return open_named(context, name, &full, out);
}

bool tl__device_is_own_cpu(const tl_device *device) {
    return strcmp(device->name, "cpu") == 0; /* no other device can have this name */
}

tl_status tl__device_open_cpu(tl_context *context, const tl_device_options *options, tl_device **out) {
    return tl_device_open(context, "cpu", options, out);
}

void tl_device_close(tl_device *device) {
    if (!device)
        return;
    if (device->handle && device->ops.close)
        device->ops.close(device->handle);
    for (size_t i = 0; i < device->warned_count; i++)
        tl__free(device->context, device->warned[i]);
    tl__free(device->context, device->warned);
    tl__free(device->context, device->isa);
    tl__free(device->context, device);
}

const char *tl_device_name(const tl_device *device) {
    return device->name;
}

const char *tl_device_description(const tl_device *device) {
    return device->properties.description;
}
