/* Reading files that hold only changes. */
#include "models/base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "models/frozen.h"
#include "models/save.h"

/* ---- what the model comes from ---- */

static tl_status note_file(tl_context *context, tl__base *base, const char *path) {
    char *real = base->file_count < TL__COUNT(base->files) ? realpath(path, NULL) : NULL;
    if (!real || !tl__stamp_read(real, &base->files[base->file_count].stamp)) {
        free(real); /* it is gone by now: there is nothing that changes could refer to */
        return TL_OK;
    }
    char *own = tl__strdup(context, real);
    free(real);
    if (!own)
        return TL_ERROR_MEMORY;
    base->files[base->file_count++].path = own;
    return TL_OK;
}

static tl_status fill(tl_model *model, const tl__archive *archive, tl__base *base) {
    base->ids = tl__calloc(model->context, model->parameter_count, sizeof *base->ids);
    base->counters = base->ids ? tl__calloc(model->context, model->parameter_count, sizeof *base->counters) : NULL;
    if (!base->counters)
        return TL_ERROR_MEMORY;
    for (const tl__archive *a = archive; a; a = a->lower)
        TL__TRY(note_file(model->context, base, a->path));
    return TL_OK;
}

tl_status tl__base_ready(tl_model *model, const tl__archive *archive, const tl_weights_options *options,
                         tl__base **out) {
    tl__base *base = tl__calloc(model->context, 1, sizeof *base);
    if (!base)
        return TL_ERROR_MEMORY;
    base->bgr = options->bgr;
    tl_status status = fill(model, archive, base);
    if (status != TL_OK) {
        tl__base_release(model->context, base);
        return status;
    }
    *out = base;
    return TL_OK;
}

void tl__base_set(tl_model *model, tl__base *base, const tl__piece *pieces) {
    for (size_t i = 0; i < model->parameter_count; i++) {
        const tl__parameter *p = model->parameters[i];
        if (pieces[i].action == TL__PIECE_KEEP)
            continue;
        base->ids[i] = p->id;
        base->counters[i] = p->counter;
    }
    tl__base_release(model->context, model->base);
    model->base = base;
}

void tl__base_release(tl_context *context, tl__base *base) {
    if (!base)
        return;
    for (size_t i = 0; i < base->file_count; i++)
        tl__free(context, base->files[i].path);
    tl__free(context, base->ids);
    tl__free(context, base->counters);
    tl__free(context, base);
}

/* ---- the base and the changes together ---- */

/* What the file says of its base. The text belongs to `json`. */
typedef struct wanted {
    json_t *json;
    const char *file, *path, *hash;
    json_int_t tensors;
    int bgr;
} wanted;

typedef struct joining {
    tl_context *context;
    tl__archive *changes;
    wanted wanted;
    int depth;
    tl_model *model;  /* the network that the file describes */
    tl__piece *ours;  /* of its parameters, from the file itself */
    bool *changed;    /* by parameter: the file has it */
    /* of the base that is tried: */
    tl__archive *lower;
    tl__piece *pieces;  /* from it, and from the file where that has them */
    tl__entry *entries; /* the same as a list */
    size_t count;
    /* of the search: */
    char *seen[3]; /* real paths */
    size_t seen_count;
    char absent[700];
    tl_status status; /* of the first that is there and does not serve */
    char why[sizeof((tl_context *)0)->message];
} joining;

static tl_status read_wanted(const tl__archive *archive, wanted *w) {
    static const char key[] = "libtl.base";
    TL__TRY(tl__metadata_json(archive, key, &w->json));
    if (json_unpack(w->json, "{s:s,s:s,s:s,s:I,s?b}", "file", &w->file, "path", &w->path, "hash", &w->hash, "tensors",
                    &w->tensors, "bgr", &w->bgr) != 0)
        return tl__metadata_bad(archive, key);
    return TL_OK;
}

static tl_status read_changes(joining *j) {
    const tl_weights_options strict = {.size = sizeof strict, .keep_head = true};
    TL__TRY(read_wanted(j->changes, &j->wanted));
    TL__TRY(tl__model_described(j->context, j->changes, &j->model));
    const size_t count = j->model->parameter_count;
    j->ours = tl__calloc(j->context, count, sizeof *j->ours);
    j->changed = j->ours ? tl__calloc(j->context, count, sizeof *j->changed) : NULL;
    j->pieces = j->changed ? tl__calloc(j->context, count, sizeof *j->pieces) : NULL;
    j->entries = j->pieces ? tl__calloc(j->context, count, sizeof *j->entries) : NULL;
    if (!j->entries)
        return TL_ERROR_MEMORY;
    TL__TRY(tl__model_match(j->model, j->changes, &strict, true, j->ours));
    for (size_t i = 0; i < count; i++)
        j->changed[i] = j->ours[i].action == TL__PIECE_READ;
    return TL_OK;
}

static tl_status lay_over(joining *j) {
    const tl_weights_options as_then = {.size = sizeof as_then, .bgr = j->wanted.bgr};
    memset(j->pieces, 0, j->model->parameter_count * sizeof *j->pieces);
    TL__TRY(tl__model_match(j->model, j->lower, &as_then, false, j->pieces));
    for (size_t i = 0; i < j->model->parameter_count; i++) {
        tl__parameter *p = j->model->parameters[i];
        if (j->changed[i])
            j->pieces[i] = j->ours[i];
        if (j->pieces[i].action == TL__PIECE_KEEP && p->kind != TL__PARAMETER_COUNTER)
            return tl__fail(j->context, TL_ERROR_WEIGHTS, "%s: has no %s of that shape, which the file lacks",
                            j->lower->path, p->name);
        p->counter = 0;
        tl__piece_commit(j->context, p, &j->pieces[i]);
    }
    return TL_OK;
}

static tl_status check_hash(const joining *j) {
    tl__hash hash;
    char text[33];
    size_t count;
    TL__TRY(tl__frozen_hash(j->model, j->changed, false, &hash, &count));
    tl__hash_text(hash, text);
    if ((json_int_t)count == j->wanted.tensors && strcmp(text, j->wanted.hash) == 0)
        return TL_OK;
    return tl__fail(j->context, TL_ERROR_WEIGHTS,
                    "%s: is not what the file was made from: the hash of %zu tensors is %s, not that of %lld, %.40s",
                    j->lower->path, count, text, (long long)j->wanted.tensors, j->wanted.hash);
}

/* A folded batch-norm's values are in no file. */
static tl_status write_out(joining *j, const tl__parameter *p, double value, tl__entry *entry) {
    const int64_t count = tl__desc_count(&p->desc);
    float *values = tl__alloc(j->context, (size_t)count * sizeof *values);
    if (!values)
        return TL_ERROR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)value;
    *entry = (tl__entry){.dtype = TL_DTYPE_F32, .rank = 1, .shape = {count}, .strides = {1}, .count = count,
                         .data = (const uint8_t *)values};
    return tl__archive_own(j->lower, values);
}

static tl_status list(joining *j) {
    j->count = 0;
    for (size_t i = 0; i < j->model->parameter_count; i++) {
        const tl__parameter *p = j->model->parameters[i];
        const tl__piece *piece = &j->pieces[i];
        tl__entry *entry = &j->entries[j->count];
        if (piece->action == TL__PIECE_KEEP)
            continue;
        if (piece->action == TL__PIECE_READ)
            *entry = piece->entry;
        else
            TL__TRY(write_out(j, p, piece->constant, entry));
        entry->name = p->name;
        j->count++;
    }
    return TL_OK;
}

static tl_status join(joining *j, tl__archive **out) {
    TL__TRY(lay_over(j));
    TL__TRY(check_hash(j));
    TL__TRY(list(j));
    return tl__archive_compose(j->changes, j->lower, j->entries, j->count, out);
}

/* ---- looking for the base ---- */

static tl_status open_file(tl_context *context, const char *path, int depth, tl__archive **out);

static bool was_seen(joining *j, const char *path) {
    char *real = realpath(path, NULL);
    if (!real)
        return false;
    for (size_t i = 0; i < j->seen_count; i++)
        if (strcmp(j->seen[i], real) == 0) {
            free(real);
            return true;
        }
    j->seen[j->seen_count++] = real;
    return false;
}

/* TL_ERROR_NOT_FOUND: not this one. */
static tl_status try_base(joining *j, const char *path, tl__archive **out) {
    if (access(path, F_OK) != 0) {
        const size_t used = strlen(j->absent);
        snprintf(j->absent + used, sizeof j->absent - used, "%s%s: %s", used ? "; " : "", path, strerror(errno));
        return TL_ERROR_NOT_FOUND;
    }
    if (was_seen(j, path))
        return TL_ERROR_NOT_FOUND;
    j->lower = NULL;
    tl_status status = open_file(j->context, path, j->depth + 1, &j->lower);
    if (status == TL_OK)
        status = join(j, out);
    if (status == TL_OK)
        return TL_OK;
    tl__archive_close(j->lower);
    if (status == TL_ERROR_MEMORY || status == TL_ERROR_LIMIT)
        return status;
    if (j->status == TL_OK) {
        j->status = status;
        memcpy(j->why, j->context->message, sizeof j->why);
    }
    return TL_ERROR_NOT_FOUND;
}

static tl_status search(joining *j, tl__archive **out) {
    const char *own = j->changes->path, *slash = strrchr(own, '/'), *name = strrchr(j->wanted.path, '/');
    const char *file = j->wanted.file;
    const int folder = slash ? (int)(slash + 1 - own) : 0;
    char *places[3] = {tl__printf(j->context, "%.*s%s", file[0] == '/' ? 0 : folder, own, file),
                       tl__strdup(j->context, j->wanted.path),
                       tl__printf(j->context, "%.*s%s", folder, own, name ? name + 1 : j->wanted.path)};
    tl_status status = places[0] && places[1] && places[2] ? TL_ERROR_NOT_FOUND : TL_ERROR_MEMORY;
    for (int i = 0; i < 3 && status == TL_ERROR_NOT_FOUND; i++)
        status = try_base(j, places[i], out);
    for (int i = 0; i < 3; i++)
        tl__free(j->context, places[i]);
    if (status != TL_ERROR_NOT_FOUND)
        return status;
    if (j->status != TL_OK)
        return tl__fail(j->context, j->status, "%s: its base: %s", own, j->why);
    return tl__fail(j->context, TL_ERROR_NOT_FOUND,
                    "%s: holds only what changed, and its base is not there: %s (it may lie beside the file, or a link "
                    "to it)",
                    own, j->absent);
}

static tl_status open_file(tl_context *context, const char *path, int depth, tl__archive **out) {
    tl__archive *archive;
    if (depth > TL__BASE_DEPTH)
        return tl__fail(context, TL_ERROR_LIMIT, "%s: more than %d files, each the base of another", path,
                        TL__BASE_DEPTH);
    TL__TRY(tl__archive_open(context, path, &archive));
    if (!tl__archive_get(archive, "libtl.base")) {
        *out = archive;
        return TL_OK;
    }
    joining *j = tl__calloc(context, 1, sizeof *j);
    tl_status status = TL_ERROR_MEMORY;
    if (j) {
        *j = (joining){.context = context, .changes = archive, .depth = depth};
        status = read_changes(j);
        if (status == TL_OK)
            status = search(j, out);
        for (size_t i = 0; i < j->seen_count; i++)
            free(j->seen[i]);
        json_decref(j->wanted.json);
        tl_model_destroy(j->model);
        tl__free(context, j->ours);
        tl__free(context, j->changed);
        tl__free(context, j->pieces);
        tl__free(context, j->entries);
        tl__free(context, j);
    }
    if (status != TL_OK)
        tl__archive_close(archive);
    return status;
}

tl_status tl__model_archive_open(tl_context *context, const char *path, tl__archive **out) {
    return open_file(context, path, 0, out);
}
