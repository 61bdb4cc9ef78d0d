#include "core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tl/version.h>

#include "core/registry.h"

#define ALIGNMENT 64

static void *default_allocate(void *user, size_t bytes, size_t alignment) {
    (void)user;
    void *memory = NULL;
    return posix_memalign(&memory, alignment, bytes) == 0 ? memory : NULL;
}

static void default_release(void *user, void *memory) {
    (void)user;
    free(memory);
}

const char *tl_version(void) {
    return TL_VERSION;
}

const char *tl_status_text(tl_status status) {
    switch (status) {
#define STATUS_CASE(name, value, text) \
    case name:                         \
        return text;
        TL_STATUS_LIST(STATUS_CASE)
#undef STATUS_CASE
    }
    return "unknown status";
}

static tl_status create(const tl_context_options *options, tl_context **out) {
    tl_context_options o = *options;
    if (!o.allocate != !o.release)
        return TL_ERROR_ARGUMENT;
    if (!o.allocate) {
        o.allocate = default_allocate;
        o.release = default_release;
    }
    tl_context *context = o.allocate(o.user, sizeof *context, ALIGNMENT);
    if (!context)
        return TL_ERROR_MEMORY;
    memset(context, 0, sizeof *context);
    context->options = o;
    if (o.backend_path) {
        context->backend_path = tl__strdup(context, o.backend_path);
        if (!context->backend_path) {
            o.release(o.user, context);
            return TL_ERROR_MEMORY;
        }
    }
    context->options.backend_path = context->backend_path;
    *out = context;
    return TL_OK;
}

tl_status tl_context_create(const tl_context_options *options, tl_context **out) {
    tl_context_options o = {0};
    if (!out || (options && options->size == 0))
        return TL_ERROR_ARGUMENT;
    if (options)
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    o.size = sizeof o;
    return create(&o, out);
}

tl_status tl__context_create_child(const tl_context *parent, tl_context **out) {
    tl_context_options o = parent->options;
    o.log = NULL;
    o.cancelled = NULL;
    return create(&o, out);
}

void tl_context_destroy(tl_context *context) {
    if (!context)
        return;
    tl__registry_destroy(context, context->registry);
    tl__free(context, context->backend_path);
    context->options.release(context->options.user, context);
}

const char *tl_context_message(const tl_context *context) {
    return context ? context->message : "";
}

void *tl__alloc(tl_context *context, size_t bytes) {
    void *memory = context->options.allocate(context->options.user, bytes ? bytes : 1, ALIGNMENT);
    if (!memory)
        tl__fail(context, TL_ERROR_MEMORY, "out of memory: %zu bytes", bytes);
    return memory;
}

void *tl__calloc(tl_context *context, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        tl__fail(context, TL_ERROR_MEMORY, "out of memory: %zu x %zu bytes", count, size);
        return NULL;
    }
    void *memory = tl__alloc(context, bytes);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

void *tl__realloc(tl_context *context, void *memory, size_t old_bytes, size_t new_bytes) {
    void *larger = tl__alloc(context, new_bytes);
    if (!larger)
        return NULL;
    if (memory) {
        memcpy(larger, memory, old_bytes < new_bytes ? old_bytes : new_bytes);
        tl__free(context, memory);
    }
    return larger;
}

void tl__free(tl_context *context, void *memory) {
    if (memory)
        context->options.release(context->options.user, memory);
}

char *tl__strdup(tl_context *context, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = tl__alloc(context, bytes);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

char *tl__printf(tl_context *context, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    char *text = tl__alloc(context, (size_t)length + 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

tl_status tl__grow(tl_context *context, void **array, size_t *capacity, size_t count, size_t size) {
    if (count < *capacity)
        return TL_OK;
    size_t wanted = *capacity ? *capacity * 2 : 16, bytes;
    if (__builtin_mul_overflow(wanted, size, &bytes))
        return tl__fail(context, TL_ERROR_MEMORY, "out of memory: %zu x %zu bytes", wanted, size);
    void *larger = tl__realloc(context, *array, count * size, bytes);
    if (!larger)
        return TL_ERROR_MEMORY;
    *array = larger;
    *capacity = wanted;
    return TL_OK;
}

/* Messages are one line: a name from a file must not be able to fake a second one. */
static void one_line(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

tl_status tl__fail(tl_context *context, tl_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(context->message, sizeof context->message, format, args);
    va_end(args);
    one_line(context->message);
    return status;
}

tl_status tl__fail_at(tl_context *context, tl_status status, const char *format, ...) {
    char where[sizeof context->message], joined[2 * sizeof context->message + 2];
    va_list args;
    va_start(args, format);
    vsnprintf(where, sizeof where, format, args);
    va_end(args);
    snprintf(joined, sizeof joined, "%s: %s", where, context->message);
    return tl__fail(context, status, "%s", joined);
}

void tl__log(tl_context *context, tl_log_level level, const char *format, ...) {
    if (!context->options.log || level > context->options.log_level)
        return;
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    one_line(text);
    context->options.log(context->options.user, level, text);
}

bool tl__cancelled(tl_context *context) {
    return context->options.cancelled && context->options.cancelled(context->options.user);
}
