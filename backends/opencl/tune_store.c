/* tune_store.c: what was measured, on disk and in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/opencl/cache.h"
#include "backends/opencl/tune.h"

#define STEM "tuned"
#define MOST_LINES 4096

static opencl_key key_of(const char *identity) {
    const char *parts[] = {STEM, identity};
    opencl_key key;
    tl__opencl_cache_key(STEM, parts, 2, &key);
    return key;
}

static opencl_tuned *add(opencl_device *device, const char *form, const char *implementation, double seconds) {
    opencl_tuned *made = tl__opencl_allocate(device, sizeof(*made));
    if (!made)
        return NULL;
    snprintf(made->form, sizeof(made->form), "%s", form);
    snprintf(made->implementation, sizeof(made->implementation), "%s", implementation);
    made->seconds = seconds;
    opencl_tuned **last = &device->tuned;
    while (*last)
        last = &(*last)->next;
    return *last = made;
}

/* Calls `each` for the lines of a file's text after the first, which is the identity; false: it is no such text. */
static bool parse(char *text, char **identity, void *user, void (*each)(void *user, const char *form, const char *implementation,
                                                                        double seconds)) {
    *identity = text;
    char *line = strchr(text, '\n');
    if (!line)
        return false;
    *line++ = '\0';
    for (int i = 0; *line && i < MOST_LINES; i++) {
        char *end = strchr(line, '\n'), *implementation, *seconds;
        if (!end)
            return false;
        *end = '\0';
        implementation = strchr(line, '\t');
        seconds = implementation ? strchr(implementation + 1, '\t') : NULL;
        if (!seconds)
            return false;
        *implementation++ = *seconds++ = '\0';
        each(user, line, implementation, strtod(seconds, NULL));
        line = end + 1;
    }
    return true;
}

static void take(void *user, const char *form, const char *implementation, double seconds) {
    opencl_device *device = user;
    add(device, form, implementation, seconds); /* without memory there is one result less */
}

/* A file's text ends with its 0. */
static bool is_text(const opencl_blob *blob) {
    return blob->bytes > 0 && memchr(blob->data, '\0', blob->bytes) == blob->data + blob->bytes - 1;
}

opencl_tuned *tl__opencl_tuned_list(opencl_device *device) {
    if (device->tuned_known)
        return device->tuned;
    device->tuned_known = true;
    opencl_key key = key_of(device->identity);
    opencl_blob blob;
    char *identity;
    if (!tl__opencl_cache_read(device, &key, &blob))
        return NULL;
    if (is_text(&blob))
        parse((char *)blob.data, &identity, device, take);
    tl__opencl_release(device, blob.data);
    return device->tuned;
}

opencl_tuned *tl__opencl_tuned_find(opencl_device *device, const char *form) {
    opencl_tuned *t = tl__opencl_tuned_list(device);
    while (t && strcmp(t->form, form) != 0)
        t = t->next;
    return t;
}

void tl__opencl_tuned_release(opencl_device *device) {
    while (device->tuned) {
        opencl_tuned *t = device->tuned;
        device->tuned = t->next;
        tl__opencl_release(device, t);
    }
    device->tuned_known = false;
}

static size_t print(const opencl_device *device, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "%s\n", device->identity);
    for (const opencl_tuned *t = device->tuned; t; t = t->next)
        used += (size_t)snprintf(text ? text + used : NULL, text ? size - used : 0, "%s\t%s\t%.6g\n", t->form,
                                 t->implementation, t->seconds);
    return used + 1;
}

tl_status tl__opencl_tuned_keep(opencl_device *device, const char *form, const char *implementation, double seconds) {
    char folder[3072];
    opencl_tuned *t = tl__opencl_tuned_find(device, form);
    if (!t)
        t = add(device, form, implementation, seconds);
    if (!t)
        return TL_ERROR_MEMORY;
    snprintf(t->implementation, sizeof(t->implementation), "%s", implementation);
    t->seconds = seconds;
    t->fresh = true;
    if (!tl__opencl_cache_folder(device->host, folder, sizeof(folder)))
        return tl__opencl_fail(device, TL_ERROR_IO, "there is no folder to keep results in: set HOME or XDG_CACHE_HOME");
    opencl_blob blob = {.bytes = print(device, NULL, 0)};
    blob.data = tl__opencl_allocate(device, blob.bytes);
    if (!blob.data)
        return TL_ERROR_MEMORY;
    print(device, (char *)blob.data, blob.bytes);
    opencl_key key = key_of(device->identity);
    opencl_blob back;
    tl__opencl_cache_write(device, &key, &blob);
    bool kept = tl__opencl_cache_read(device, &key, &back);
    if (kept)
        tl__opencl_release(device, back.data);
    tl__opencl_release(device, blob.data);
    return kept ? TL_OK : tl__opencl_fail(device, TL_ERROR_IO, "results cannot be kept in %s", folder);
}

/* ---- listing and forgetting ---- */

typedef struct visit {
    opencl_device device; /* no device: what the cache's functions ask of one */
    const char *identity; /* of the device in question; NULL: all */
    const char *current;
    bool forget;
    void *user;
    void (*each)(void *user, const tl_tuned *tuned);
} visit;

static void show(void *user, const char *form, const char *implementation, double seconds) {
    visit *v = user;
    tl_tuned tuned = {.size = sizeof(tuned), .device = v->current, .form = form, .implementation = implementation,
                      .seconds = seconds};
    v->each(v->user, &tuned);
}

static void look(void *user, const char *name, opencl_blob *blob) {
    visit *v = user;
    char *first = (char *)blob->data, *end = is_text(blob) ? strchr(first, '\n') : NULL;
    size_t length = end ? (size_t)(end - first) : 0;
    if (v->identity && (strlen(v->identity) != length || memcmp(first, v->identity, length) != 0))
        return;
    v->current = first;
    if (end)
        parse(first, &first, v, show);
    if (v->forget)
        tl__opencl_cache_remove(&v->device, name);
}

tl_status tl__opencl_tuned_each(const tl_host *host, uint32_t index, int forget, void *user,
                                void (*each)(void *user, const tl_tuned *tuned)) {
    visit v = {.device = {.host = host}, .forget = forget != 0, .user = user, .each = each};
    tl_status status = TL_OK;
    if (index != TL_EVERY_DEVICE) {
        status = tl__opencl_identify(&v.device, index);
        v.identity = v.device.identity;
    }
    if (status == TL_OK)
        tl__opencl_cache_each(&v.device, STEM "-", look, &v);
    return status;
}
