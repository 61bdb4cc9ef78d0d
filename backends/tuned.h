/* tuned.h: which implementation a convolution has, as measured by tune of tl/backend.h, and kept for prepare; for our own
 * backends, see form.h.
 *
 * One file of the cache for each device: its identity (name, driver, libtl's version) in the first line, then a line for
 * each form, its fields parted by tabs: form, implementation, seconds. A form names sizes and attributes of the operation,
 * not the number of images: an image's result must not depend on the batch that it is in. */
#ifndef TL_BACKENDS_TUNED_H
#define TL_BACKENDS_TUNED_H

#include "backends/cache.h"
#include "backends/form.h"

#define TUNED_STEM "tuned"
#define TUNED_MOST_LINES 4096
#define TUNED_TEXT 64 /* of an implementation's name */
#define TUNED_FORM 128

/* What the choice may depend on: everything but the number of images and what is done with the sums. False where there
 * is nothing to choose: others than convolutions have one way. */
static inline bool tuned_form(const tl_op_desc *op, const tl_operand *operands, char text[TUNED_FORM]) {
    static const struct {
        uint32_t op;
        const char *name;
        int x, y;
        uint32_t count;
    } forms[] = {{TL_OP_CONV2D, "conv2d", 0, 4, 5},
                 {TL_OP_CONV2D_GRAD_INPUT, "conv2d_grad_input", 4, 0, 5},
                 {TL_OP_CONV2D_GRAD_WEIGHT, "conv2d_grad_weight", 0, 1, 4}};
    int which = 0;
    while (which < 3 && op->op != forms[which].op)
        which++;
    if (which == 3)
        return false;
    const bool stored = which == 0 && form_misfit(operands, forms[which].count, "effeg") < 0;
    if (!stored && form_misfit(operands, forms[which].count, "fffff") >= 0)
        return false;
    const int64_t *x = operands[forms[which].x].desc.shape, *y = operands[forms[which].y].desc.shape;
    int length = snprintf(text, TUNED_FORM, "%s %lldx%lldx%lld -> %lldx%lldx%lld %dx%d s%d,%d p%d,%d d%d,%d g%d%s",
                          forms[which].name, (long long)x[1], (long long)x[2], (long long)x[3], (long long)y[1],
                          (long long)y[2], (long long)y[3], (int)op->kernel[0], (int)op->kernel[1], (int)op->stride[0],
                          (int)op->stride[1], (int)op->pad[0], (int)op->pad[1], (int)op->dilation[0], (int)op->dilation[1],
                          (int)op->groups, stored ? " fp16" : "");
    /* Some ways are for those that need not be exact. */
    if (op->exact && op->op == TL_OP_CONV2D && length > 0 && length < TUNED_FORM)
        length += snprintf(text + length, TUNED_FORM - (size_t)length, " exact");
    return length > 0 && length < TUNED_FORM;
}

/* ---- what was chosen for one device ---- */

typedef struct tuned_choice {
    struct tuned_choice *next;
    char form[TUNED_FORM], implementation[TUNED_TEXT];
    double seconds;
    bool fresh; /* measured since the device was opened */
} tuned_choice;

typedef struct tuned_store {
    cache files;
    const char *identity; /* of the device */
    tuned_choice *first;
    bool known; /* the file was looked for */
} tuned_store;

/* A device's, made when it is first asked for; NULL: no memory. */
static inline tuned_store *tuned_open(tuned_store **place, const tl_host *host, const char *backend,
                                      const char *identity) {
    if (!*place && (*place = host->allocate(host->user, sizeof(**place), 64)))
        **place = (tuned_store){.files = {host, backend}, .identity = identity};
    return *place;
}

static inline cache_key tuned_key(const char *identity) {
    const char *parts[] = {TUNED_STEM, identity};
    return cache_key_of(TUNED_STEM, parts, 2);
}

static inline tuned_choice *tuned_add(tuned_store *store, const char *form, const char *implementation, double seconds) {
    const tl_host *host = store->files.host;
    tuned_choice *made = host->allocate(host->user, sizeof(*made), 64);
    if (!made)
        return NULL;
    *made = (tuned_choice){.seconds = seconds};
    snprintf(made->form, sizeof(made->form), "%s", form);
    snprintf(made->implementation, sizeof(made->implementation), "%s", implementation);
    tuned_choice **last = &store->first;
    while (*last)
        last = &(*last)->next;
    return *last = made;
}

/* A file's text ends with its 0. */
static inline bool tuned_is_text(const cache_blob *blob) {
    return blob->bytes > 0 && memchr(blob->data, '\0', blob->bytes) == blob->data + blob->bytes - 1;
}

/* Calls `each` for the lines of a file's text after the first, which is the identity; false: it is no such text. */
static inline bool tuned_parse(char *text, void *user,
                               void (*each)(void *user, const char *form, const char *implementation, double seconds)) {
    char *line = strchr(text, '\n');
    if (!line)
        return false;
    *line++ = '\0';
    for (int i = 0; *line && i < TUNED_MOST_LINES; i++) {
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

static inline void tuned_take(void *user, const char *form, const char *implementation, double seconds) {
    tuned_add(user, form, implementation, seconds); /* without memory there is one result less */
}

static inline void tuned_forget(tuned_store *store) {
    const tl_host *host = store->files.host;
    while (store->first) {
        tuned_choice *t = store->first;
        store->first = t->next;
        host->release(host->user, t);
    }
}

/* What tuned_open made; NULL is fine. */
static inline void tuned_close(tuned_store *store) {
    if (!store)
        return;
    tuned_forget(store);
    store->files.host->release(store->files.host->user, store);
}

/* The device's results, read where they were not yet; NULL: none. A file that cannot be believed is told of. */
static inline tuned_choice *tuned_list(tuned_store *store) {
    cache_blob blob;
    if (store->known)
        return store->first;
    store->known = true;
    const cache_key key = tuned_key(store->identity);
    const tl_host *host = store->files.host;
    bool good = cache_read(&store->files, &key, &blob);
    const bool there = good || cache_has(&store->files, &key);
    if (good) {
        good = tuned_is_text(&blob) && tuned_parse((char *)blob.data, store, tuned_take);
        cache_release(&store->files, &blob);
    }
    if (there && !good) {
        char text[160];
        tuned_forget(store);
        snprintf(text, sizeof(text), "%s: this file of choices is damaged, and none is used: measure again with tl tune",
                 key.name);
        host->log(host->user, TL_LOG_WARNING, text);
    }
    return store->first;
}

static inline tuned_choice *tuned_find(tuned_store *store, const char *form) {
    tuned_choice *t = tuned_list(store);
    while (t && strcmp(t->form, form) != 0)
        t = t->next;
    return t;
}

static inline size_t tuned_print(const tuned_store *store, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "%s\n", store->identity);
    for (const tuned_choice *t = store->first; t; t = t->next)
        used += (size_t)snprintf(text ? text + used : NULL, text ? size - used : 0, "%s\t%s\t%.6g\n", t->form,
                                 t->implementation, t->seconds);
    return used + 1;
}

/* Remembers, now and on disk. TL_ERROR_MEMORY; TL_ERROR_IO where nothing can be kept. */
static inline tl_status tuned_keep(tuned_store *store, const char *form, const char *implementation, double seconds) {
    char folder[CACHE_PATH - 256], text[CACHE_PATH];
    const tl_host *host = store->files.host;
    tuned_choice *t = tuned_find(store, form);
    if (!t)
        t = tuned_add(store, form, implementation, seconds);
    if (!t)
        return TL_ERROR_MEMORY;
    snprintf(t->implementation, sizeof(t->implementation), "%s", implementation);
    t->seconds = seconds;
    t->fresh = true;
    if (!cache_folder(&store->files, true, folder, sizeof(folder)))
        return host->fail(host->user, TL_ERROR_IO,
                          "there is no folder to keep results in: set HOME or XDG_CACHE_HOME");
    cache_blob back, blob = {.bytes = tuned_print(store, NULL, 0)};
    blob.data = host->allocate(host->user, blob.bytes, 16);
    if (!blob.data)
        return TL_ERROR_MEMORY;
    tuned_print(store, (char *)blob.data, blob.bytes);
    const cache_key key = tuned_key(store->identity);
    cache_write(&store->files, &key, &blob);
    const bool kept = cache_read(&store->files, &key, &back);
    if (kept)
        cache_release(&store->files, &back);
    cache_release(&store->files, &blob);
    if (kept)
        return TL_OK;
    snprintf(text, sizeof(text), "results cannot be kept in %s", folder);
    return host->fail(host->user, TL_ERROR_IO, text);
}

/* ---- listing and forgetting: tuned of tl/backend.h ---- */

typedef struct tuned_visit {
    const cache *files;
    const char *identity; /* of the device in question; NULL: all */
    const char *current;
    bool forget;
    void *user;
    void (*each)(void *user, const tl_tuned *tuned);
} tuned_visit;

static inline void tuned_show(void *user, const char *form, const char *implementation, double seconds) {
    const tuned_visit *v = user;
    tl_tuned tuned = {.size = sizeof(tuned), .device = v->current, .form = form, .implementation = implementation,
                      .seconds = seconds};
    v->each(v->user, &tuned);
}

static inline void tuned_look(void *user, const char *name, cache_blob *blob) {
    tuned_visit *v = user;
    char *first = (char *)blob->data, *end = tuned_is_text(blob) ? strchr(first, '\n') : NULL;
    size_t length = end ? (size_t)(end - first) : 0;
    if (v->identity && (strlen(v->identity) != length || memcmp(first, v->identity, length) != 0))
        return;
    v->current = first;
    if (end)
        tuned_parse(first, v, tuned_show);
    if (v->forget)
        cache_remove(v->files, name);
}

/* `identity` NULL: every device's. */
static inline void tuned_each(const cache *files, const char *identity, bool forget, void *user,
                              void (*each)(void *user, const tl_tuned *tuned)) {
    tuned_visit v = {.files = files, .identity = identity, .forget = forget, .user = user, .each = each};
    cache_each(files, TUNED_STEM "-", tuned_look, &v);
    if (forget && identity) { /* damaged, it was passed by */
        const cache_key key = tuned_key(identity);
        cache_remove(files, key.name);
    }
}

#endif
