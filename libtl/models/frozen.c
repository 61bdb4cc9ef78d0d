#include "models/frozen.h"

#include <string.h>

#define MAPPED_AT_ONCE ((size_t)1 << 20) /* bytes */
#define MADE_AT_ONCE   ((size_t)1 << 15)

/* Values that lie in a file as they are, or that a generator makes. */
typedef struct reading {
    const tl__source *source;
    const char *plain;
    bool again; /* they will be read again soon */
    size_t first, bytes; /* the last part */
    float *made;
} reading;

static const void *next_part(void *user, size_t first, size_t bytes) {
    reading *r = user;
    if (!r->plain) {
        if (bytes)
            r->source->read(NULL, r->source, (int64_t)(first / sizeof(float)), (int64_t)(bytes / sizeof(float)), r->made);
        return r->made;
    }
    if (r->bytes && !r->again)
        r->source->pages(r->source, (int64_t)(r->first / sizeof(float)), (int64_t)(r->bytes / sizeof(float)), false);
    if (bytes)
        r->source->pages(r->source, (int64_t)(first / sizeof(float)), (int64_t)(bytes / sizeof(float)), true);
    r->first = first;
    r->bytes = bytes;
    return r->plain + first;
}

/* Of contents that need neither memory nor luck; false: others. */
static bool hash_source(const tl__parameter *p, bool again, tl__hash *hash) {
    float made[MADE_AT_ONCE / sizeof(float)];
    reading r = {.source = &p->source, .again = again, .made = made};
    if (p->values || p->kind == TL__PARAMETER_COUNTER)
        return false;
    r.plain = p->source.plain ? p->source.plain(&p->source) : NULL;
    if (!r.plain && !p->source.generated)
        return false;
    *hash = tl__hash_parts(tl__desc_bytes(&p->desc), r.plain ? MAPPED_AT_ONCE : MADE_AT_ONCE, next_part, &r);
    return true;
}

static bool is_known(const tl__parameter *p) {
    return p->kind != TL__PARAMETER_COUNTER && p->hashed == p->id; /* a counter's contents have no id */
}

static void note(tl__parameter *p, tl__hash hash) {
    p->hash = hash;
    p->hashed = p->id;
}

static tl_status hash_values(tl_context *context, tl__parameter *p, tl__hash *hash) {
    size_t bytes = tl__desc_bytes(&p->desc);
    if (p->kind == TL__PARAMETER_COUNTER) {
        *hash = tl__hash_bytes(&p->counter, sizeof p->counter, 0);
        return TL_OK;
    }
    if (hash_source(p, false, hash)) {
        note(p, *hash);
        return TL_OK;
    }
    float *values = tl__alloc(context, bytes);
    if (!values)
        return TL_ERROR_MEMORY;
    tl_status status = tl__parameter_read_torch(context, p, values);
    if (status == TL_OK) {
        *hash = tl__hash_bytes(values, bytes, 0);
        note(p, *hash);
    }
    tl__free(context, values);
    return status;
}

tl_status tl__parameter_hash(tl_context *context, tl__parameter *p, tl__hash *hash) {
    if (!is_known(p))
        return hash_values(context, p, hash);
    *hash = p->hash;
    return TL_OK;
}

typedef struct hashing {
    const tl_model *model;
    const bool *changed;
    bool again, *done;
} hashing;

/* What a generator makes cannot have changed. */
static bool is_settled(const hashing *h, const tl__parameter *p) {
    return is_known(p) && (!h->again || (!p->values && p->source.generated));
}

static void hash_one(void *user, size_t i) {
    const hashing *h = user;
    tl__parameter *p = h->model->parameters[i];
    tl__hash hash;
    if (h->changed[i] || is_settled(h, p) || !hash_source(p, !h->again, &hash))
        return;
    note(p, hash);
    h->done[i] = true;
}

static bool is_work(const hashing *h) {
    for (size_t i = 0; i < h->model->parameter_count; i++) {
        const tl__parameter *p = h->model->parameters[i];
        if (!h->changed[i] && p->kind != TL__PARAMETER_COUNTER && !is_settled(h, p))
            return true;
    }
    return false;
}

static tl_status hash_all(const hashing *h, tl__hash *hash, size_t *count) {
    tl__hash all = {0, 0};
    size_t tensors = 0;
    if (is_work(h)) /* threads are not for nothing */
        tl__work(h->model->parameter_count, hash_one, (void *)h);
    for (size_t i = 0; i < h->model->parameter_count; i++) {
        tl__parameter *p = h->model->parameters[i];
        tl__hash each = p->hash;
        if (h->changed[i])
            continue;
        if (!h->done[i] && !is_settled(h, p))
            TL__TRY(hash_values(h->model->context, p, &each));
        all = tl__hash_mix(all, tl__hash_mix(tl__hash_bytes(p->name, strlen(p->name), 0), each));
        tensors++;
    }
    *hash = all;
    *count = tensors;
    return TL_OK;
}

tl_status tl__frozen_hash(tl_model *model, const bool *changed, bool again, tl__hash *hash, size_t *count) {
    hashing h = {model, changed, again, tl__calloc(model->context, model->parameter_count, sizeof *h.done)};
    tl_status status = h.done ? hash_all(&h, hash, count) : TL_ERROR_MEMORY;
    tl__free(model->context, h.done);
    return status;
}
