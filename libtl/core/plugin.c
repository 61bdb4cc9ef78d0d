#include <config.h>

#include "core/registry.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *tl__environment(const char *name) {
#ifdef HAVE_SECURE_GETENV
    return secure_getenv(name);
#else
    return getuid() == geteuid() && getgid() == getegid() ? getenv(name) : NULL;
#endif
}

typedef struct names {
    char **items;
    size_t count, capacity;
} names;

static void names_free(tl_context *context, names *list) {
    for (size_t i = 0; i < list->count; i++)
        tl__free(context, list->items[i]);
    tl__free(context, list->items);
}

/* Bytes, not the locale's order: what is loaded first must not depend on LANG. */
static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_plugin(const char *name) {
    size_t length = strlen(name);
    return length > 3 && name[0] != '.' && strcmp(name + length - 3, ".so") == 0;
}

static tl_status read_names(tl_context *context, DIR *stream, const char *folder, names *list) {
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (!is_plugin(entry->d_name))
            continue;
        void *array = list->items;
        tl_status status = tl__grow(context, &array, &list->capacity, list->count, sizeof *list->items);
        list->items = array;
        if (status != TL_OK)
            return status;
        char *path = tl__printf(context, "%s/%s", folder, entry->d_name);
        if (!path)
            return TL_ERROR_MEMORY;
        list->items[list->count++] = path;
    }
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, compare_names);
    return TL_OK;
}

static tl_status load_file(tl_context *context, struct tl__registry *registry, const char *path) {
    /* Never closed: threads and exit handlers of what a backend brings with it may outlive every context. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *text = dlerror();
        size_t length = strlen(path);
        if (!text)
            text = "cannot be opened";
        else if (strncmp(text, path, length) == 0 && strncmp(text + length, ": ", 2) == 0)
            text += length + 2;
        tl__log(context, TL_LOG_WARNING, "%s: backend not loaded: %s", path, text);
        return TL_OK;
    }
    tl_backend_entry_fn entry;
    void *symbol = dlsym(library, TL_BACKEND_ENTRY_SYMBOL);
    memcpy(&entry, &symbol, sizeof entry);
    if (!entry) {
        tl__log(context, TL_LOG_WARNING, "%s: backend not loaded: it has no %s", path, TL_BACKEND_ENTRY_SYMBOL);
        return TL_OK;
    }
    return tl__registry_admit(context, registry, entry, path);
}

static tl_status load_folder(tl_context *context, struct tl__registry *registry, const char *folder, bool asked_for) {
    if (folder[0] != '/') {
        tl__log(context, TL_LOG_WARNING, "%s: not searched for backends: not an absolute path", folder);
        return TL_OK;
    }
    DIR *stream = opendir(folder);
    if (!stream) {
        if (asked_for || errno != ENOENT)
            tl__log(context, TL_LOG_WARNING, "%s: not searched for backends: %s", folder, strerror(errno));
        return TL_OK;
    }
    names list = {0};
    tl_status status = read_names(context, stream, folder, &list);
    closedir(stream);
    for (size_t i = 0; i < list.count && status == TL_OK; i++)
        status = load_file(context, registry, list.items[i]);
    names_free(context, &list);
    return status;
}

tl_status tl__plugins_load(tl_context *context, struct tl__registry *registry) {
    const char *path = context->options.backend_path;
    if (path && !*path)
        return TL_OK;
    if (!path)
        path = tl__environment("TL_BACKEND_PATH");
    char *copy = tl__strdup(context, path ? path : "");
    if (!copy)
        return TL_ERROR_MEMORY;
    tl_status status = TL_OK;
    for (char *folder = copy, *next; folder && status == TL_OK; folder = next) {
        next = strchr(folder, ':');
        if (next)
            *next++ = '\0';
        if (*folder)
            status = load_folder(context, registry, folder, true);
    }
    tl__free(context, copy);
    return status == TL_OK ? load_folder(context, registry, TL_PLUGIN_DIR, false) : status;
}
