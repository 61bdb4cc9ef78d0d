#include <config.h>

#include "core/registry.h"

#include <stdio.h>
#include <string.h>

static void *host_allocate(void *user, size_t bytes, size_t alignment) {
    tl__host *host = user;
    const tl_context_options *options = &host->context->options;
    void *memory = NULL;
    if (alignment < sizeof(void *))
        alignment = sizeof(void *);
    if ((alignment & (alignment - 1)) == 0)
        memory = options->allocate(options->user, bytes ? bytes : 1, alignment);
    if (!memory) {
        snprintf(host->text, sizeof host->text, "out of memory: %zu bytes", bytes);
        host->status = TL_ERROR_MEMORY;
    }
    return memory;
}

static void host_release(void *user, void *memory) {
    tl__host *host = user;
    tl__free(host->context, memory);
}

/* A backend that names itself has said once what libtl would say twice. */
static const char *without_name(const tl__host *host, const char *text) {
    size_t length = host->backend ? strlen(host->backend) : 0;
    return length && strncmp(text, host->backend, length) == 0 && strncmp(text + length, ": ", 2) == 0
               ? text + length + 2
               : text;
}

static void host_log(void *user, tl_log_level level, const char *text) {
    tl__host *host = user;
    if (text)
        tl__log(host->context, level, "%s: %s", host->name, without_name(host, text));
}

/* Where the program set nothing: TL_FAKE_REFUSE for the option "refuse" of the backend "fake". */
static const char *from_environment(const char *backend, const char *option) {
    char name[96];
    int length = snprintf(name, sizeof name, "TL_%s_%s", backend, option);
    if (length < 0 || (size_t)length >= sizeof name)
        return NULL;
    for (char *c = name; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    const char *value = tl__environment(name);
    return value && *value ? value : NULL;
}

static const char *host_option(void *user, const char *name) {
    tl__host *host = user;
    if (!host->backend || !name)
        return NULL;
    if (strcmp(name, "threads") == 0 && host->threads[0])
        return host->threads;
    if (strcmp(name, "isa") == 0 && host->isa)
        return host->isa;
    return from_environment(host->backend, name);
}

static tl_status host_fail(void *user, tl_status status, const char *text) {
    tl__host *host = user;
    snprintf(host->text, sizeof host->text, "%s", text ? without_name(host, text) : "");
    host->status = status;
    return status;
}

void tl__host_start(tl__host *host, tl_context *context, const char *name) {
    *host = (tl__host){
        .table = {.size = sizeof host->table,
                  .abi = TL_BACKEND_ABI,
                  .user = host,
                  .allocate = host_allocate,
                  .release = host_release,
                  .log = host_log,
                  .option = host_option,
                  .fail = host_fail},
        .context = context,
        .name = name,
    };
}

static bool is_status(tl_status status) {
    switch (status) {
#define STATUS_CASE(name, value, text) case name:
        TL_STATUS_LIST(STATUS_CASE)
#undef STATUS_CASE
        return true;
    }
    return false;
}

void tl__host_describe(const tl__host *host, tl_status status, const char *call, char *text, size_t size) {
    if (!is_status(status) || status == TL_OK)
        snprintf(text, size, "%s: %s gave %d, which is no failure%s%s", host->name, call, (int)status,
                 host->text[0] ? ": " : "", host->text);
    else if (host->text[0] && host->status == status)
        snprintf(text, size, "%s: %s", host->name, host->text);
    else
        snprintf(text, size, "%s: %s: %s", host->name, call, tl_status_text(status));
}

tl_status tl__host_result(tl__host *host, tl_status status, const char *call) {
    if (status == TL_OK)
        return TL_OK;
    char text[768];
    tl__host_describe(host, status, call, text, sizeof text);
    return tl__fail(host->context, is_status(status) ? status : TL_ERROR_DEVICE, "%s", text);
}
