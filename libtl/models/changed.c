/* Writing only what changed since the model was read from a file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "models/base.h"
#include "models/frozen.h"
#include "models/save.h"

static bool is_as_read(const tl__base *base, size_t index, const tl__parameter *p) {
    return p->kind == TL__PARAMETER_COUNTER ? base->counters[index] == p->counter : base->ids[index] == p->id;
}

/* `path` with its folder as it really is; the file need not be there. */
static tl_status make_absolute(tl_context *context, const char *path, char **out) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? tl__printf(context, "%.*s/", (int)(slash - path), path) : tl__strdup(context, ".");
    if (!folder)
        return TL_ERROR_MEMORY;
    char *real = realpath(folder, NULL);
    const int code = errno;
    tl__free(context, folder);
    if (!real)
        return tl__fail(context, TL_ERROR_IO, "%s: cannot be written: %s", path, strerror(code));
    *out = tl__printf(context, "%s/%s", strcmp(real, "/") ? real : "", slash ? slash + 1 : path);
    free(real);
    return *out ? TL_OK : TL_ERROR_MEMORY;
}

/* How `to` is reached from the folder of `from`; both absolute. */
static char *make_relative(tl_context *context, const char *from, const char *to) {
    size_t common = 0, up = 0;
    for (size_t i = 0; from[i] && from[i] == to[i]; i++)
        if (from[i] == '/')
            common = i + 1;
    for (const char *c = from + common; *c; c++)
        up += *c == '/';
    char *steps = tl__alloc(context, 3 * up + 1), *made = NULL;
    for (size_t i = 0; steps && i < up; i++)
        memcpy(steps + 3 * i, "../", 3);
    if (steps) {
        steps[3 * up] = 0;
        made = tl__printf(context, "%s%s", steps, to + common);
    }
    tl__free(context, steps);
    return made;
}

/* The base must be there as it was read, and stay: what is not in the file is nowhere else. */
static tl_status check_base(const tl_model *model, const char *path, const char *absolute) {
    const tl__base *base = model->base;
    if (!base || base->file_count == 0)
        return tl__fail(model->context, TL_ERROR_ARGUMENT,
                        "%s: the model was not read from a file that it could have changed from", path);
    if (base->file_count > TL__BASE_DEPTH)
        return tl__fail(model->context, TL_ERROR_LIMIT, "%s: more than %d files, each the base of another", path,
                        TL__BASE_DEPTH);
    for (size_t i = 0; i < base->file_count; i++) {
        uint64_t stamp;
        if (strcmp(base->files[i].path, absolute) == 0)
            return tl__fail(model->context, TL_ERROR_ARGUMENT,
                            "%s: would take the place of the file that it needs as its base", path);
        if (!tl__stamp_read(base->files[i].path, &stamp) || stamp != base->files[i].stamp)
            return tl__fail(model->context, TL_ERROR_NOT_FOUND,
                            "%s: its base %s is not as it was when the model was read from it", path,
                            base->files[i].path);
    }
    return TL_OK;
}

static tl_status describe_base(tl__model_file *file, const char *absolute, tl__hash hash, size_t count) {
    tl_context *context = file->model->context;
    const tl__base *base = file->model->base;
    char text[33], *relative = make_relative(context, absolute, base->files[0].path);
    if (!relative)
        return TL_ERROR_MEMORY;
    tl__hash_text(hash, text);
    json_t *json = json_pack("{s:s,s:s,s:s,s:I}", "file", relative, "path", base->files[0].path, "hash", text,
                             "tensors", (json_int_t)count);
    tl__free(context, relative);
    if (!json)
        return tl__fail(context, TL_ERROR_ARGUMENT, "%s: the path of its base %s is not UTF-8", absolute,
                        base->files[0].path);
    if (base->bgr && json_object_set_new(json, "bgr", json_true()) != 0) {
        json_decref(json);
        return tl__fail(context, TL_ERROR_MEMORY, "%s: out of memory", absolute);
    }
    return tl__model_file_describe(file, "libtl.base", json);
}

static tl_status write_file(tl_model *model, const char *path, const char *absolute, const bool *changed) {
    tl__hash hash;
    size_t count;
    TL__TRY(tl__frozen_hash(model, changed, false, &hash, &count));
    tl__model_file file;
    tl_status status = tl__model_file_create(model, changed, &file);
    if (status == TL_OK)
        status = describe_base(&file, absolute, hash, count);
    if (status == TL_OK)
        status = tl__model_file_write(&file, path);
    tl__model_file_release(&file);
    return status;
}

tl_status tl_model_save_changed(tl_model *model, const char *path) {
    tl_context *context = model->context;
    char *absolute = NULL;
    bool *changed = NULL;
    tl_status status = make_absolute(context, path, &absolute);
    if (status == TL_OK)
        status = check_base(model, path, absolute);
    if (status == TL_OK)
        status = (changed = tl__calloc(context, model->parameter_count, sizeof *changed)) ? TL_OK : TL_ERROR_MEMORY;
    for (size_t i = 0; status == TL_OK && i < model->parameter_count; i++)
        changed[i] = !is_as_read(model->base, i, model->parameters[i]);
    if (status == TL_OK)
        status = write_file(model, path, absolute, changed);
    tl__free(context, changed);
    tl__free(context, absolute);
    return status;
}
