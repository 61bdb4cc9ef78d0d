#include "train/features.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "train/calibrate.h"

#define PATIENCE 60.0 /* seconds */
#define LOOK_EVERY 20 /* ms, at a file that another process adds to */

/* Where an image's features are: in memory, in a slot of the file, or (neither) not there yet. */
typedef struct tl__feature_row {
    tl__hash key;
    uint64_t stamp, slot;
    const float *values;
} row;

typedef struct tl__feature_block {
    struct tl__feature_block *next;
    float values[];
} block;

static bool is_missing(const row *r) {
    return !r->values && r->slot == TL__CACHE_NONE;
}

static size_t views_of(const tl__features *f, int set) {
    return set == 0 ? f->views : 1;
}

static size_t rows_of(const tl__features *f, int set) {
    return f->images[set] * views_of(f, set);
}

static size_t count_missing(const tl__features *f, int set) {
    size_t missing = 0;
    for (size_t i = 0; i < rows_of(f, set); i++)
        missing += is_missing(&f->rows[set][i]);
    return missing;
}

static size_t all_missing(const tl__features *f) {
    size_t missing = 0;
    for (int s = 0; s < TL__FEATURE_SETS; s++)
        missing += count_missing(f, s);
    return missing;
}

/* Failures of the file are said once, and then it is done without. */
static tl_status do_without(tl__features *f, tl_status status) {
    if (status == TL_OK || status == TL_ERROR_MEMORY || status == TL_CANCELLED)
        return status;
    if (f->writing)
        tl__log(f->context, TL_LOG_WARNING, "features are not kept for other runs: %s", f->context->message);
    f->writing = false;
    return TL_OK;
}

static tl_status no_room(tl__features *f) {
    f->full = true;
    return tl__fail(f->context, TL_ERROR_LIMIT, "no room for features");
}

/* ---- what is there ---- */

static void find_rows(tl__features *f) {
    uint64_t damaged = f->cache->damaged;
    for (int s = 0; s < TL__FEATURE_SETS; s++)
        for (size_t i = 0; i < rows_of(f, s); i++) {
            row *r = &f->rows[s][i];
            if (is_missing(r))
                r->slot = tl__cache_find(f->cache, r->key);
        }
    if (f->cache->damaged == damaged || f->damage_said)
        return;
    f->damage_said = true;
    tl__log(f->context, TL_LOG_WARNING, "%s: features of %llu image%s are damaged: computed anew", f->cache->path,
            (unsigned long long)(f->cache->damaged - damaged), f->cache->damaged - damaged == 1 ? "" : "s");
}

#define TURNS 8 /* between two looks at the caller's flag */
#define IMAGES_A_TURN 8

typedef struct image_hashing {
    const tl_dataset *set;
    const tl_augment *augment; /* NULL: one view, as it is */
    row *rows;
    size_t first, count, views;
    uint8_t *buffers;  /* one for each turn */
    int failed[TURNS]; /* errno, where not 0 */
    size_t at[TURNS];  /* the image that it is of */
} image_hashing;

static void set_keys(const image_hashing *h, size_t image, tl__hash contents, uint64_t stamp) {
    for (size_t v = 0; v < h->views; v++) {
        row *r = &h->rows[v * h->count + image];
        r->key = tl__feature_image_key(contents, h->augment ? tl__feature_view(h->augment, (uint32_t)image, v) : 0);
        r->stamp = stamp;
    }
}

static void hash_some(void *user, size_t turn) {
    image_hashing *h = user;
    const size_t first = h->first + turn * IMAGES_A_TURN;
    h->failed[turn] = 0;
    for (size_t i = first; i < h->count && i < first + IMAGES_A_TURN && !h->failed[turn]; i++) {
        tl__hash contents;
        uint64_t stamp;
        if (tl__hash_file(tl_dataset_path(h->set, i), h->buffers + turn * TL__HASH_BUFFER, &contents, &stamp)) {
            set_keys(h, i, contents, stamp);
            continue;
        }
        h->failed[turn] = errno ? errno : EIO;
        h->at[turn] = i;
    }
}

static tl_status hash_set(tl__features *f, image_hashing *h) {
    for (h->first = 0; h->first < h->count; h->first += TURNS * IMAGES_A_TURN) {
        tl__work(TURNS, hash_some, h);
        for (int t = 0; t < TURNS; t++)
            if (h->failed[t])
                return tl__fail(f->context, TL_ERROR_IO, "%s: cannot be read: %s", tl_dataset_path(h->set, h->at[t]),
                                strerror(h->failed[t]));
        if (tl__cancelled(f->context))
            return tl__fail(f->context, TL_CANCELLED, "cancelled while reading images");
    }
    return TL_OK;
}

static tl_status hash_images(tl__features *f, const tl__feature_request *request) {
    uint8_t *buffers = tl__alloc(f->context, TURNS * TL__HASH_BUFFER);
    tl_status status = buffers ? TL_OK : TL_ERROR_MEMORY;
    for (int s = 0; s < TL__FEATURE_SETS && status == TL_OK; s++) {
        image_hashing h = {.set = request->sets[s], .augment = s == 0 ? request->augment : NULL, .rows = f->rows[s],
                           .count = f->images[s], .views = views_of(f, s), .buffers = buffers};
        status = hash_set(f, &h);
    }
    tl__free(f->context, buffers);
    return status;
}

static tl_status open_cache(tl__features *f, const tl__feature_request *request) {
    TL__TRY(hash_images(f, request));
    f->writing = true;
    tl_status status =
        tl__cache_open(f->context, request->folder, f->key.stem, f->key.about, f->count, request->limit, &f->cache);
    TL__TRY(do_without(f, status));
    if (f->cache)
        find_rows(f);
    f->found = f->total - (int64_t)all_missing(f);
    return TL_OK;
}

/* ---- one process computes, the others wait as long as that is of use to them ---- */

static tl_status wait_for_other(tl__features *f, const tl__feature_request *request, double *since) {
    bool grown;
    struct timespec pause = {.tv_nsec = LOOK_EVERY * 1000000L};
    if (tl__cancelled(f->context))
        return tl__fail(f->context, TL_CANCELLED, "cancelled while another process computes features");
    nanosleep(&pause, NULL);
    TL__TRY(tl__cache_refresh(f->cache, &grown));
    if (grown) {
        size_t before = all_missing(f);
        find_rows(f);
        if (all_missing(f) < before)
            *since = tl__seconds();
    }
    if (tl__seconds() - *since > (request->patience > 0 ? request->patience : PATIENCE))
        return tl__fail(f->context, TL_ERROR_IO, "%s: another process holds it and adds nothing", f->cache->path);
    return TL_OK;
}

/* Afterwards either nothing is missing, or the file is ours to add to, or f->writing is false. */
static tl_status take_lock(tl__features *f, const tl__feature_request *request) {
    double since = tl__seconds();
    bool said = false;
    while (f->writing && all_missing(f) > 0) {
        tl__cache_lock lock;
        tl_status status = tl__cache_try_lock(f->cache, &lock);
        TL__TRY(do_without(f, status));
        if (status != TL_OK)
            return TL_OK;
        if (lock == TL__CACHE_NEVER)
            return do_without(f, TL_ERROR_IO);
        if (lock == TL__CACHE_MINE) {
            find_rows(f);
            return TL_OK;
        }
        if (!said)
            tl__log(f->context, TL_LOG_INFO, "another process computes features for %s: waiting for it",
                    f->cache->path);
        said = true;
        TL__TRY(do_without(f, wait_for_other(f, request, &since)));
    }
    return TL_OK;
}

static tl_status reserve(tl__features *f) {
    size_t kept = 0, found = (size_t)f->total - all_missing(f);
    bool anew;
    tl__hash *keys = tl__alloc(f->context, found * sizeof *keys);
    if (!keys)
        return TL_ERROR_MEMORY;
    for (int s = 0; s < TL__FEATURE_SETS; s++)
        for (size_t i = 0; i < rows_of(f, s); i++)
            if (!is_missing(&f->rows[s][i]))
                keys[kept++] = f->rows[s][i].key;
    tl_status status = tl__cache_reserve(f->cache, all_missing(f), keys, kept, &anew);
    tl__free(f->context, keys);
    for (int s = 0; anew && s < TL__FEATURE_SETS; s++)
        for (size_t i = 0; i < rows_of(f, s); i++)
            f->rows[s][i].slot = TL__CACHE_NONE;
    if (anew)
        find_rows(f);
    return do_without(f, status);
}

/* ---- computing ---- */

/* An image that was written to since its contents were hashed has features that are not those of its key. */
static bool unchanged(const tl__feature_request *request, int set, uint32_t index, const row *r) {
    uint64_t now;
    return tl__stamp_read(tl_dataset_path(request->sets[set], index), &now) && now == r->stamp;
}

static tl_status keep(tl__features *f, const tl__feature_request *request, int set, size_t view, const uint32_t *indices,
                      int count, const float *values) {
    block *b = NULL; /* for what of this batch has no place in the file */
    float *next = NULL;
    for (int i = 0; i < count; i++, values += f->count) {
        row *r = &f->rows[set][view * f->images[set] + indices[i]];
        if (f->writing && unchanged(request, set, indices[i], r)) {
            tl_status status = tl__cache_has(f->cache, r->key) ? TL_OK : tl__cache_add(f->cache, r->key, values);
            TL__TRY(do_without(f, status));
            if (status == TL_OK)
                continue; /* found once all are in the file */
        }
        if (!b) {
            uint64_t bytes = (uint64_t)(count - i) * f->count * sizeof *values;
            if (f->memory + bytes > request->memory)
                return no_room(f);
            b = tl__alloc(f->context, sizeof *b + (size_t)bytes);
            if (!b)
                return TL_ERROR_MEMORY;
            b->next = f->blocks;
            f->blocks = b;
            next = b->values;
            f->memory += bytes;
        }
        float *place = next;
        next += f->count;
        memcpy(place, values, f->count * sizeof *values);
        r->values = place;
    }
    return TL_OK;
}

/* A part of the work: the images that are missing of one view of one set. */
typedef struct part {
    int set;
    size_t view;
} part;

static bool next_part(const tl__features *f, part *p) {
    if (++p->view >= views_of(f, p->set)) {
        p->view = 0;
        p->set++;
    }
    return p->set < TL__FEATURE_SETS;
}

static size_t list_part(const tl__features *f, part p, uint32_t *order) {
    size_t total = 0;
    for (size_t i = 0; i < f->images[p.set]; i++)
        if (is_missing(&f->rows[p.set][p.view * f->images[p.set] + i]))
            order[total++] = (uint32_t)i;
    return total;
}

/* The first part with anything to do from *p on; its first batches are decoded from here on. *total: 0 at the end. */
static tl_status start_part(const tl__features *f, const tl__feature_request *request, part *p, uint32_t *order,
                            size_t *total) {
    *total = 0;
    while (p->set < TL__FEATURE_SETS && (*total = list_part(f, *p, order)) == 0)
        next_part(f, p);
    if (!*total)
        return TL_OK;
    tl__loader_set_epoch(request->loaders[p->set], p->view);
    return tl__loader_start(request->loaders[p->set], order, *total);
}

static tl_status compute_part(tl__features *f, const tl__feature_request *request, part p, size_t total,
                              tl__runner *runner, float *values) {
    request->begin(request->user);
    for (size_t done = 0; done < total;) {
        const uint8_t *rgb;
        const uint32_t *indices;
        int count;
        TL__TRY(tl__loader_next(request->loaders[p.set], &rgb, NULL, &indices, &count));
        TL__TRY(tl__runner_run(runner, rgb, count, values));
        TL__TRY(keep(f, request, p.set, p.view, indices, count, values));
        done += (size_t)count;
        request->progress(request->user, (int64_t)done, (int64_t)total);
        if (tl__cancelled(f->context))
            return tl__fail(f->context, TL_CANCELLED, "cancelled while computing features: %zu of %zu images", done,
                            total);
    }
    return TL_OK;
}

static tl_status compute(tl__features *f, const tl__feature_request *request) {
    tl__runner *runner = NULL;
    part p = {0};
    if (request->certain)
        TL__TRY(request->certain(request->user));
    size_t most = f->images[0] > f->images[1] ? f->images[0] : f->images[1], total = 0;
    if (tl__calibration_missing(request->engine))
        TL__TRY(tl__calibrate_on(request->engine, &request->draw, &request->cut, request->sets[0],
                                 request->loaders[0]));
    uint32_t *order = tl__alloc(f->context, most * sizeof *order);
    float *values = order ? tl__alloc(f->context, (size_t)request->batch * f->count * sizeof *values) : NULL;
    tl_status status = values ? start_part(f, request, &p, order, &total) : TL_ERROR_MEMORY;
    if (status == TL_OK) /* packs the weights, while images are decoded */
        status = tl__runner_create(request->engine, &request->draw, TL__PART_FEATURES, &request->cut, &runner);
    if (status == TL_OK && request->planned)
        status = request->planned(request->user, runner->plans[0].plan);
    while (status == TL_OK && total) {
        status = compute_part(f, request, p, total, runner, values);
        if (status == TL_OK && !next_part(f, &p))
            break;
        if (status == TL_OK)
            status = start_part(f, request, &p, order, &total);
    }
    tl__free(f->context, values);
    tl__free(f->context, order);
    tl__runner_destroy(runner);
    return status;
}

static bool fits_memory(const tl__features *f, const tl__feature_request *request) {
    return f->memory + (uint64_t)all_missing(f) * f->count * sizeof(float) <= request->memory;
}

/* All that is missing. */
static tl_status fill(tl__features *f, const tl__feature_request *request) {
    bool grown;
    TL__TRY(take_lock(f, request));
    if (f->writing && all_missing(f) > 0)
        TL__TRY(reserve(f));
    if (!f->writing && !fits_memory(f, request))
        return no_room(f);
    bool wrote = f->writing;
    if (all_missing(f) > 0)
        TL__TRY(compute(f, request));
    if (wrote && all_missing(f) > 0) {
        TL__TRY(do_without(f, tl__cache_refresh(f->cache, &grown)));
        find_rows(f);
    }
    if (all_missing(f) == 0)
        return TL_OK;
    /* What was written does not read back. */
    tl__fail(f->context, TL_ERROR_IO, "%s: what is written to it does not stay", f->cache->path);
    do_without(f, TL_ERROR_IO);
    return fits_memory(f, request) ? compute(f, request) : no_room(f);
}

/* ---- the whole ---- */

static tl_status create(tl__features *f, const tl__feature_request *request) {
    for (int s = 0; s < TL__FEATURE_SETS && request->sets[s]; s++) {
        f->images[s] = tl_dataset_size(request->sets[s]);
        f->total += (int64_t)rows_of(f, s);
        f->rows[s] = tl__calloc(f->context, rows_of(f, s), sizeof *f->rows[s]);
        if (!f->rows[s])
            return TL_ERROR_MEMORY;
        for (size_t i = 0; i < rows_of(f, s); i++)
            f->rows[s][i].slot = TL__CACHE_NONE;
    }
    if (request->folder)
        TL__TRY(open_cache(f, request));
    tl_status status = fill(f, request);
    if (f->cache)
        tl__cache_unlock(f->cache);
    return status;
}

void tl__feature_reason(char reason[128], const char *name, uint64_t bytes, bool fits) {
    if (fits)
        snprintf(reason, 128, "%s", name);
    else if (bytes < 1000000000)
        snprintf(reason, 128, "features after %s would take %.3g MB", name, (double)bytes * 1e-6);
    else
        snprintf(reason, 128, "features after %s would take %.1f GB", name, (double)bytes * 1e-9);
}

tl_status tl__features_create(const tl__feature_request *request, tl__features **out, char reason[128]) {
    tl_context *context = request->engine->model->context;
    tl__features *f = tl__calloc(context, 1, sizeof *f);
    if (!f)
        return TL_ERROR_MEMORY;
    f->context = context;
    f->cut = request->cut;
    f->views = request->augment ? (size_t)request->augment->views : 1;
    tl_status status = TL_OK;
    if (request->folder && request->engine->storage == TL_DTYPE_U8)
        status = tl__calibration_hash(request->engine, request->sets[0], request->augment);
    if (status == TL_OK)
        status = tl__feature_key_create(request->engine, &request->draw, &request->cut, request->folder != NULL, &f->key);
    if (status == TL_OK) {
        f->count = f->key.count;
        tl__feature_reason(reason, f->key.name, 0, true);
        status = create(f, request);
    }
    if (f->full) {
        tl__feature_reason(reason, f->key.name, (uint64_t)f->total * f->count * sizeof(float), false);
        status = TL_OK;
    } else if (status == TL_OK) {
        *out = f;
        return TL_OK;
    }
    tl__features_destroy(f);
    return status;
}

void tl__features_destroy(tl__features *features) {
    if (!features)
        return;
    for (block *b = features->blocks, *next; b; b = next) {
        next = b->next;
        tl__free(features->context, b);
    }
    for (int s = 0; s < TL__FEATURE_SETS; s++)
        tl__free(features->context, features->rows[s]);
    tl__cache_close(features->cache);
    tl__feature_key_release(features->context, &features->key);
    tl__free(features->context, features);
}

const float *tl__features_row(const tl__features *f, int set, size_t number) {
    const row *r = &f->rows[set][number];
    return r->values ? r->values : tl__cache_row(f->cache, r->slot);
}

void tl__features_gather(const tl__features *f, int set, const uint32_t *order, size_t first, int count, float *out) {
    for (int i = 0; i < count; i++, out += f->count)
        memcpy(out, tl__features_row(f, set, first + (order ? order[i] : (size_t)i)), f->count * sizeof *out);
}

uint64_t tl__feature_memory(uint64_t limit) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (limit)
        return limit;
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page / 4 : (uint64_t)1 << 30;
}

const char *tl__features_file(const tl__features *features) {
    return features->cache && features->cache->fd >= 0 ? features->cache->path : NULL;
}
