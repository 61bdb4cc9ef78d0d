#include "train/whole_cache.h"

#include <string.h>
#include <sys/stat.h>

#define ROW ((size_t)16384) /* floats: the last row of a piece is half empty, which is little beside the others */

/* Failures of the file are said once, and then it is done without. */
static tl_status do_without(tl__whole_cache *c, tl_status status) {
    if (status == TL_OK || status == TL_ERROR_MEMORY || status == TL_CANCELLED)
        return status;
    if (c->writing)
        tl__log(c->context, TL_LOG_WARNING, "features of whole images are not kept for other runs: %s",
                c->context->message);
    c->writing = false;
    return TL_OK;
}

static tl_status key_of(tl__whole_cache *c, int height, int width, tl__feature_key *key) {
    const tl__whole_cache_options *o = &c->options;
    const tl__draw_options draw = {.batch = 1, .height = height, .width = width};
    return tl__feature_key_create(o->engine, &draw, &o->cut, true, key);
}

static tl_status create(tl__whole_cache *c) {
    const int crop = c->options.engine->model->preprocess.crop;
    TL__TRY(key_of(c, crop, crop, &c->key));
    c->about = tl__printf(c->context, "%swhole images, in rows of %zu floats\n", c->key.about, ROW);
    char *stem = tl__printf(c->context, "%s-whole", c->key.stem);
    c->row = tl__calloc(c->context, ROW, sizeof *c->row);
    c->writing = true;
    tl_status status = c->about && stem && c->row ? TL_OK : TL_ERROR_MEMORY;
    if (status == TL_OK)
        status = do_without(
            c, tl__cache_open(c->context, c->options.folder, stem, c->about, ROW, c->options.limit, &c->cache));
    tl__free(c->context, stem);
    return status;
}

tl_status tl__whole_cache_create(const tl__whole_cache_options *options, tl__whole_cache **out) {
    tl_context *context = options->engine->model->context;
    tl__whole_cache *c = tl__calloc(context, 1, sizeof *c);
    if (!c)
        return TL_ERROR_MEMORY;
    c->context = context;
    c->options = *options;
    tl_status status = create(c);
    if (status != TL_OK) {
        tl__whole_cache_destroy(c);
        return status;
    }
    *out = c;
    return TL_OK;
}

void tl__whole_cache_destroy(tl__whole_cache *cache) {
    if (!cache)
        return;
    tl__cache_close(cache->cache);
    tl__feature_key_release(cache->context, &cache->key);
    tl__free(cache->context, cache->about);
    tl__free(cache->context, cache->row);
    tl__free(cache->context, cache);
}

tl_status tl__whole_cache_begin(tl__whole_cache *cache) {
    bool grown;
    return cache->cache ? do_without(cache, tl__cache_refresh(cache->cache, &grown)) : TL_OK;
}

void tl__whole_cache_end(tl__whole_cache *cache) {
    if (!cache->cache)
        return;
    tl__cache_unlock(cache->cache);
    if (cache->found || cache->missed)
        tl__log(cache->context, TL_LOG_INFO, "whole images: features of %lld of %lld pieces found in %s",
                (long long)cache->found, (long long)(cache->found + cache->missed), cache->cache->path);
    cache->found = cache->missed = 0;
}

/* ---- pieces ---- */

tl_status tl__whole_cache_key(tl__whole_cache *cache, int height, int width, tl__hash contents, const double place[4],
                              tl__hash *key) {
    if (cache->height != height || cache->width != width) {
        tl__feature_key of_size;
        TL__TRY(key_of(cache, height, width, &of_size));
        cache->size = tl__hash_bytes(of_size.about, strlen(of_size.about), 0);
        tl__feature_key_release(cache->context, &of_size);
        cache->height = height;
        cache->width = width;
    }
    *key = tl__hash_mix(tl__hash_mix(cache->size, contents), tl__hash_bytes(place, 4 * sizeof *place, 0));
    return TL_OK;
}

static tl__hash row_key(tl__hash key, size_t first) {
    const uint64_t number = first / ROW;
    return tl__hash_mix(key, tl__hash_bytes(&number, sizeof number, 0));
}

static size_t floats_of_row(size_t first, size_t count) {
    return count - first < ROW ? count - first : ROW;
}

bool tl__whole_cache_get(tl__whole_cache *cache, tl__hash key, float *features, size_t count) {
    for (size_t first = 0; first < count; first += ROW) {
        const uint64_t slot =
            cache->cache ? tl__cache_find(cache->cache, row_key(key, first)) : TL__CACHE_NONE;
        if (slot == TL__CACHE_NONE) {
            cache->missed++;
            return false;
        }
        memcpy(features + first, tl__cache_row(cache->cache, slot), floats_of_row(first, count) * sizeof *features);
    }
    cache->found++;
    return true;
}

/* What another process computes at the same time is not waited for: images are judged one by one, each soon done. */
static tl_status take_lock(tl__whole_cache *c) {
    tl__cache_lock lock = TL__CACHE_TAKEN;
    if (c->cache->locked)
        return TL_OK;
    TL__TRY(do_without(c, tl__cache_try_lock(c->cache, &lock)));
    if (c->writing && lock == TL__CACHE_NEVER)
        return do_without(c, TL_ERROR_IO);
    c->writing &= lock == TL__CACHE_MINE;
    return TL_OK;
}

/* The run's other file is as good as ours. */
static tl_status make_room(tl__whole_cache *c, size_t rows) {
    struct stat st;
    const tl__cache *cache = c->cache;
    uint64_t own = TL__CACHE_HEADER + cache->end * cache->stride;
    if (c->options.beside && stat(c->options.beside, &st) == 0)
        own += (uint64_t)st.st_size;
    return do_without(c, tl__cache_evict(c->context, cache->folder, cache->path, c->options.beside, own,
                                         rows * cache->stride, cache->limit));
}

tl_status tl__whole_cache_put(tl__whole_cache *cache, tl__hash key, const float *features, size_t count) {
    if (!cache->cache || !cache->writing)
        return TL_OK;
    TL__TRY(cache->options.certain(cache->options.user));
    TL__TRY(take_lock(cache));
    if (cache->writing)
        TL__TRY(make_room(cache, (count + ROW - 1) / ROW));
    for (size_t first = 0; first < count && cache->writing; first += ROW) {
        const tl__hash own = row_key(key, first);
        /* one that is damaged is known to be so once it was looked for while locked */
        if (tl__cache_find(cache->cache, own) != TL__CACHE_NONE || tl__cache_has(cache->cache, own))
            continue;
        memset(cache->row, 0, ROW * sizeof *cache->row);
        memcpy(cache->row, features + first, floats_of_row(first, count) * sizeof *features);
        TL__TRY(do_without(cache, tl__cache_add(cache->cache, own, cache->row)));
    }
    return TL_OK;
}
