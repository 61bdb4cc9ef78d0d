#include "data/loader.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "data/dataset.h"
#include "data/reader.h"

#define CANCEL_INTERVAL    20 /* ms between two looks at the caller's flag while waiting */

typedef enum cached { CACHED_NOT, CACHED_FILLING, CACHED_READY } cached;

typedef struct worker {
    tl__loader *loader;
    tl_context *context; /* its own: failures of two threads must not mix */
    tl__reader *reader;
    uint8_t *labels; /* of a mask */
    uint8_t *work;   /* for random changes */
    pthread_t thread;
} worker;

/* One batch: positions number * batch .. of the order. */
typedef struct slot {
    uint8_t *rgb;
    int32_t *labels;
    uint32_t *indices;
    tl__whole_image whole; /* in the place of pixels and labels */
    int pending; /* images that are not in yet */
} slot;

struct tl__loader {
    tl_context *context;
    const tl_dataset *dataset;
    tl__loader_options options;
    tl_augment augment;
    bool random;
    int crop;
    const tl__mask_rule *masks; /* NULL: a label an image */
    size_t label_count;         /* an image */
    size_t image_bytes;
    worker *workers;
    int worker_count; /* those that run */
    slot *slots;      /* a ring: the batch in use and those ahead */
    int slot_count;

    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t work;   /* something to decode, or to end */
    pthread_cond_t done;   /* a batch is complete, or a worker has become idle */
    bool have_mutex, have_work, have_done;
    bool quit;
    uint64_t epoch;
    int busy; /* workers in the middle of an image */
    uint32_t *order;
    size_t order_room;
    size_t count;     /* images of the epoch */
    size_t taken;     /* positions that were given to workers */
    size_t limit;     /* positions that may be given to workers */
    size_t next;      /* batch to be given to the caller */
    size_t first;     /* batch that holds the first slot of the ring: the caller's, or the next */
    size_t failed_at; /* the first position that failed, SIZE_MAX */
    tl_status failed_status;
    char failed_message[1024];
    char notice[512];
    bool noticed;                 /* the caller was told */
    uint8_t *cache, *cache_state; /* of the first cache_count images of the data set */
    size_t cache_count;
};

int tl__loader_workers(const tl__loader *loader) {
    return loader->worker_count;
}

/* ---- the workers; the mutex is held except while decoding ---- */

/* As far as the ring reaches, and not past the batch of an image that failed. */
static void set_limit(tl__loader *l) {
    size_t batch = (size_t)l->options.batch, end = l->first + (size_t)l->slot_count;
    if (l->failed_at != SIZE_MAX && l->failed_at / batch + 1 < end)
        end = l->failed_at / batch + 1;
    l->limit = end < l->count / batch + 1 ? end * batch : l->count;
}

/* From the files, as this epoch wants it. */
static tl_status load(worker *w, uint32_t index, uint64_t epoch, uint8_t *rgb) {
    tl__loader *l = w->loader;
    tl__change change;
    const char *path = tl_dataset_path(l->dataset, index), *mask = tl_dataset_mask(l->dataset, index);
    if (l->random) {
        tl__change_draw(&l->augment, epoch, index, &change);
        w->reader->change = &change;
    }
    tl_status status = l->masks ? tl__reader_mask(w->reader, mask, l->masks) : TL_OK;
    if (status == TL_OK && l->options.labels_only)
        status = tl__reader_look(w->reader, path);
    else if (status == TL_OK)
        status = tl__reader_load(w->reader, path, rgb);
    if (status == TL_OK && l->masks)
        status = tl__mask_show(w->reader, path, mask, w->labels);
    if (status == TL_OK && l->random)
        tl__change_apply(&change, l->crop, rgb, w->labels, w->work);
    w->reader->change = NULL;
    return status;
}

/* With masks the cache has labels behind the pixels. */
static void remember(const worker *w, const uint8_t *rgb, uint8_t *kept) {
    memcpy(kept, rgb, w->loader->image_bytes);
    if (w->labels)
        memcpy(kept + w->loader->image_bytes, w->labels, w->loader->label_count);
}

static void recall(const worker *w, const uint8_t *kept, uint8_t *rgb) {
    memcpy(rgb, kept, w->loader->image_bytes);
    if (w->labels)
        memcpy(w->labels, kept + w->loader->image_bytes, w->loader->label_count);
}

static size_t cached_bytes(const tl__loader *l) {
    return l->image_bytes + (l->masks ? l->label_count : 0);
}

static void notice(worker *w) {
    tl__loader *l = w->loader;
    if (w->reader->notice[0] && !l->noticed && !l->notice[0])
        memcpy(l->notice, w->reader->notice, sizeof l->notice);
}

/* Unlocks the mutex meanwhile. */
static tl_status fetch_whole(worker *w, uint32_t index, tl__whole_image *out) {
    tl__loader *l = w->loader;
    pthread_mutex_unlock(&l->mutex);
    tl_status status = tl__whole_image_load(w->reader, tl_dataset_path(l->dataset, index),
                                            tl_dataset_mask(l->dataset, index), l->masks, out);
    pthread_mutex_lock(&l->mutex);
    if (status == TL_OK)
        notice(w);
    return status;
}

/* From the file or from the cache. Unlocks the mutex meanwhile. */
static tl_status fetch(worker *w, uint32_t index, uint8_t *rgb, int32_t *labels) {
    tl__loader *l = w->loader;
    uint8_t *kept = index < l->cache_count ? l->cache + index * cached_bytes(l) : NULL;
    cached state = kept ? (cached)l->cache_state[index] : CACHED_NOT;
    bool filling = kept && state == CACHED_NOT;
    uint64_t epoch = l->epoch;
    if (filling)
        l->cache_state[index] = CACHED_FILLING;
    pthread_mutex_unlock(&l->mutex);
    tl_status status = TL_OK;
    if (state == CACHED_READY)
        recall(w, kept, rgb);
    else
        status = load(w, index, epoch, rgb);
    if (filling && status == TL_OK)
        remember(w, rgb, kept);
    for (size_t i = 0; status == TL_OK && l->masks && i < l->label_count; i++)
        labels[i] = w->labels[i];
    pthread_mutex_lock(&l->mutex);
    if (filling)
        l->cache_state[index] = status == TL_OK ? CACHED_READY : CACHED_NOT;
    if (state != CACHED_READY && status == TL_OK)
        notice(w);
    return status;
}

static void take(worker *w) {
    tl__loader *l = w->loader;
    size_t position = l->taken++, batch = (size_t)l->options.batch;
    slot *s = &l->slots[position / batch % (size_t)l->slot_count];
    l->busy++;
    size_t place = position % batch;
    uint32_t index = l->order[position];
    tl_status status = l->options.whole
                           ? fetch_whole(w, index, &s->whole)
                           : fetch(w, index, s->rgb + place * l->image_bytes, s->labels + place * l->label_count);
    l->busy--;
    if (status != TL_OK && position < l->failed_at) {
        l->failed_at = position;
        l->failed_status = status;
        snprintf(l->failed_message, sizeof l->failed_message, "%s", tl_context_message(w->context));
        set_limit(l);
    }
    if (--s->pending == 0 || l->busy == 0)
        pthread_cond_signal(&l->done);
}

static void *work(void *argument) {
    worker *w = argument;
    tl__loader *l = w->loader;
    pthread_mutex_lock(&l->mutex);
    while (!l->quit) {
        if (l->taken < l->limit)
            take(w);
        else
            pthread_cond_wait(&l->work, &l->mutex);
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

/* ---- making and ending ---- */

static tl_status slots_create(tl__loader *l) {
    size_t batch = (size_t)l->options.batch, bytes, label_bytes;
    if (__builtin_mul_overflow(batch, l->image_bytes, &bytes) ||
        __builtin_mul_overflow(batch, l->label_count * sizeof(int32_t), &label_bytes))
        return tl__fail(l->context, TL_ERROR_MEMORY, "out of memory: a batch of %zu images", batch);
    l->slot_count = l->options.ahead + 1;
    l->slots = tl__calloc(l->context, (size_t)l->slot_count, sizeof *l->slots);
    if (!l->slots)
        return TL_ERROR_MEMORY;
    for (int i = 0; i < l->slot_count; i++) {
        slot *s = &l->slots[i];
        s->rgb = tl__alloc(l->context, bytes);
        s->labels = tl__alloc(l->context, label_bytes);
        s->indices = tl__alloc(l->context, batch * sizeof *s->indices);
        if (!s->rgb || !s->labels || !s->indices)
            return TL_ERROR_MEMORY;
    }
    return TL_OK;
}

/* What cannot be kept is decoded again. */
static void cache_create(tl__loader *l) {
    uint64_t fit = l->random || !l->options.cache_bytes ? 0 : l->options.cache_bytes / cached_bytes(l);
    size_t images = tl_dataset_size(l->dataset);
    size_t count = fit < images ? (size_t)fit : images;
    if (!count)
        return;
    l->cache = tl__alloc(l->context, count * cached_bytes(l));
    l->cache_state = l->cache ? tl__calloc(l->context, count, 1) : NULL;
    if (l->cache_state)
        l->cache_count = count;
    else
        tl__log(l->context, TL_LOG_WARNING, "no memory to keep %zu decoded images: they are decoded in every epoch",
                count);
}

static tl_status locks_create(tl__loader *l) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return tl__fail(l->context, TL_ERROR_MEMORY, "out of memory for a lock");
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    l->have_mutex = pthread_mutex_init(&l->mutex, NULL) == 0;
    l->have_work = pthread_cond_init(&l->work, NULL) == 0;
    l->have_done = pthread_cond_init(&l->done, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    if (l->have_mutex && l->have_work && l->have_done)
        return TL_OK;
    return tl__fail(l->context, TL_ERROR_MEMORY, "out of memory for a lock");
}

static tl_status worker_start(tl__loader *l, worker *w, const tl_preprocess *preprocess) {
    w->loader = l;
    tl_status status = tl__context_create_child(l->context, &w->context);
    if (status != TL_OK)
        return tl__fail(l->context, status, "out of memory for a decoding thread");
    status = tl__reader_create(w->context, preprocess, &w->reader);
    if (status != TL_OK)
        return tl__fail(l->context, status, "%s", tl_context_message(w->context));
    if (l->masks && !(w->labels = tl__alloc(l->context, l->label_count)))
        return TL_ERROR_MEMORY;
    if (l->random && !(w->work = tl__alloc(l->context, (size_t)l->crop * (size_t)l->crop * 4)))
        return TL_ERROR_MEMORY;
    int code = tl__thread_start(&w->thread, work, w);
    if (code)
        return tl__fail(l->context, TL_ERROR_MEMORY, "a decoding thread cannot be started: %s", strerror(code));
    l->worker_count++;
    return TL_OK;
}

static tl_status workers_start(tl__loader *l, const tl_preprocess *preprocess) {
    l->workers = tl__calloc(l->context, (size_t)l->options.workers, sizeof *l->workers);
    if (!l->workers)
        return TL_ERROR_MEMORY;
    tl_status status = TL_OK;
    for (int i = 0; i < l->options.workers && status == TL_OK; i++)
        status = worker_start(l, &l->workers[i], preprocess);
    return status;
}

static tl_status fill(tl__loader *l, const tl_preprocess *preprocess) {
    tl_preprocess p;
    TL__TRY(tl__preprocess_take(l->context, preprocess, &p));
    l->crop = p.crop;
    l->image_bytes = l->options.labels_only || l->options.whole ? 0 : (size_t)p.crop * (size_t)p.crop * 3;
    l->masks = l->dataset->names->masks;
    l->label_count = l->masks && !l->options.whole ? (size_t)p.crop * (size_t)p.crop : 1;
    if (l->options.labels_only && (!l->masks || l->options.augment))
        return tl__fail(l->context, TL_ERROR_ARGUMENT, "labels alone are of masks that do not change");
    if (l->options.whole && (!l->masks || l->options.augment || l->options.batch != 1 || l->options.cache_bytes))
        return tl__fail(l->context, TL_ERROR_ARGUMENT, "whole images come one by one, with masks, as they are");
    if (l->options.augment)
        TL__TRY(tl__augment_take(l->context, l->options.augment, &l->augment));
    l->random = l->options.augment && tl_augment_is_random(&l->augment);
    l->options.augment = NULL;
    l->failed_at = SIZE_MAX;
    TL__TRY(slots_create(l));
    cache_create(l);
    TL__TRY(locks_create(l));
    return workers_start(l, &p);
}

tl_status tl__loader_create(tl_context *context, const tl_dataset *dataset, const tl_preprocess *preprocess,
                            const tl__loader_options *options, tl__loader **out) {
    if (options->batch < 1 || options->workers < 0 || options->workers > 1024 || options->ahead < 0 ||
        options->ahead > 1024)
        return tl__fail(context, TL_ERROR_ARGUMENT, "batch %d, %d decoding threads: out of range", options->batch,
                        options->workers);
    tl__loader *l = tl__calloc(context, 1, sizeof *l);
    if (!l)
        return TL_ERROR_MEMORY;
    l->context = context;
    l->dataset = dataset;
    l->options = *options;
    if (!l->options.workers)
        l->options.workers = tl__processors();
    if (!l->options.ahead)
        l->options.ahead = 2;
    tl_status status = fill(l, preprocess);
    if (status != TL_OK) {
        tl__loader_destroy(l);
        return status;
    }
    *out = l;
    return TL_OK;
}

static void workers_end(tl__loader *l) {
    if (l->worker_count) {
        pthread_mutex_lock(&l->mutex);
        l->quit = true;
        pthread_cond_broadcast(&l->work);
        pthread_mutex_unlock(&l->mutex);
    }
    for (int i = 0; i < l->worker_count; i++)
        pthread_join(l->workers[i].thread, NULL);
    for (int i = 0; l->workers && i < l->options.workers; i++) {
        tl__reader_destroy(l->workers[i].reader);
        tl_context_destroy(l->workers[i].context);
        tl__free(l->context, l->workers[i].labels);
        tl__free(l->context, l->workers[i].work);
    }
    tl__free(l->context, l->workers);
}

void tl__loader_destroy(tl__loader *loader) {
    if (!loader)
        return;
    workers_end(loader);
    if (loader->have_done)
        pthread_cond_destroy(&loader->done);
    if (loader->have_work)
        pthread_cond_destroy(&loader->work);
    if (loader->have_mutex)
        pthread_mutex_destroy(&loader->mutex);
    for (int i = 0; loader->slots && i < loader->slot_count; i++) {
        tl__free(loader->context, loader->slots[i].rgb);
        tl__free(loader->context, loader->slots[i].labels);
        tl__free(loader->context, loader->slots[i].indices);
        tl__whole_image_free(loader->context, &loader->slots[i].whole);
    }
    tl__free(loader->context, loader->slots);
    tl__free(loader->context, loader->cache);
    tl__free(loader->context, loader->cache_state);
    tl__free(loader->context, loader->order);
    tl__free(loader->context, loader);
}

/* ---- serving ---- */

static void slot_fill_in(tl__loader *l, size_t number) {
    size_t batch = (size_t)l->options.batch, first = number * batch;
    slot *s = &l->slots[number % (size_t)l->slot_count];
    s->pending = 0;
    tl__whole_image_free(l->context, &s->whole); /* what nobody has taken */
    for (size_t i = 0; i < batch && first + i < l->count; i++, s->pending++) {
        s->indices[i] = l->order[first + i];
        if (!l->masks)
            s->labels[i] = tl_dataset_label(l->dataset, l->order[first + i]);
    }
}

/* Workers take nothing more; returns when the last has put its image down. */
static void drain(tl__loader *l) {
    l->limit = l->taken;
    while (l->busy)
        pthread_cond_wait(&l->done, &l->mutex);
}

static tl_status order_set(tl__loader *l, const uint32_t *order, size_t count) {
    if (count > l->order_room) {
        uint32_t *room = tl__alloc(l->context, count * sizeof *room);
        if (!room)
            return TL_ERROR_MEMORY;
        tl__free(l->context, l->order);
        l->order = room;
        l->order_room = count;
    }
    for (size_t i = 0; i < count; i++)
        l->order[i] = order ? order[i] : (uint32_t)i;
    return TL_OK;
}

void tl__loader_set_epoch(tl__loader *loader, uint64_t epoch) {
    pthread_mutex_lock(&loader->mutex);
    drain(loader);
    loader->epoch = epoch;
    pthread_mutex_unlock(&loader->mutex);
}

tl_status tl__loader_start(tl__loader *loader, const uint32_t *order, size_t count) {
    size_t images = tl_dataset_size(loader->dataset);
    for (size_t i = 0; i < count; i++)
        if ((order ? order[i] : i) >= images)
            return tl__fail(loader->context, TL_ERROR_ARGUMENT, "image %zu of a data set of %zu",
                            (size_t)(order ? order[i] : i), images);
    pthread_mutex_lock(&loader->mutex);
    drain(loader);
    loader->count = loader->taken = loader->limit = loader->next = loader->first = 0;
    loader->failed_at = SIZE_MAX;
    tl_status status = order_set(loader, order, count);
    if (status == TL_OK) {
        loader->count = count;
        for (int i = 0; i < loader->slot_count; i++)
            slot_fill_in(loader, (size_t)i);
        set_limit(loader);
        pthread_cond_broadcast(&loader->work);
    }
    pthread_mutex_unlock(&loader->mutex);
    return status;
}

/* Until the batch is complete or the caller wants to end. The caller is asked with the mutex free. */
static tl_status await(tl__loader *l, const slot *s) {
    while (s->pending) {
        pthread_mutex_unlock(&l->mutex);
        bool cancelled = tl__cancelled(l->context);
        pthread_mutex_lock(&l->mutex);
        if (cancelled) {
            l->limit = l->taken;
            return tl__fail(l->context, TL_CANCELLED, "cancelled while reading images");
        }
        if (!s->pending)
            break;
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += CANCEL_INTERVAL * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&l->done, &l->mutex, &until);
    }
    return TL_OK;
}

/* Hands the slot of the caller's last batch to the workers and waits for the next batch. */
static tl_status advance(tl__loader *l, slot **out, size_t *images) {
    size_t batch = (size_t)l->options.batch;
    if (l->first < l->next) {
        slot_fill_in(l, l->first + (size_t)l->slot_count);
        l->first = l->next;
    }
    set_limit(l);
    pthread_cond_broadcast(&l->work);
    *images = 0;
    if (l->next * batch >= l->count)
        return TL_OK;
    slot *s = &l->slots[l->next % (size_t)l->slot_count];
    TL__TRY(await(l, s));
    if (l->failed_at / batch == l->next)
        return tl__fail(l->context, l->failed_status, "%s", l->failed_message);
    size_t left = l->count - l->next * batch;
    *images = left < batch ? left : batch;
    *out = s;
    l->next++;
    return TL_OK;
}

/* *s is NULL after the last batch. */
static tl_status next_slot(tl__loader *loader, slot **s, size_t *images) {
    if (tl__cancelled(loader->context))
        return tl__fail(loader->context, TL_CANCELLED, "cancelled while reading images");
    *s = NULL;
    pthread_mutex_lock(&loader->mutex);
    tl_status status = advance(loader, s, images);
    bool odd = loader->notice[0] && !loader->noticed;
    loader->noticed |= odd; /* nobody writes the notice any more */
    pthread_mutex_unlock(&loader->mutex);
    if (odd)
        tl__log(loader->context, TL_LOG_WARNING, "%s (not said again for other images)", loader->notice);
    return status;
}

tl_status tl__loader_next(tl__loader *loader, const uint8_t **rgb, const int32_t **labels, const uint32_t **indices,
                          int *count) {
    slot *s;
    size_t images;
    TL__TRY(next_slot(loader, &s, &images));
    if (rgb)
        *rgb = s ? s->rgb : NULL;
    if (labels)
        *labels = s ? s->labels : NULL;
    if (indices)
        *indices = s ? s->indices : NULL;
    *count = (int)images;
    return TL_OK;
}

tl_status tl__loader_next_whole(tl__loader *loader, tl__whole_image *image, uint32_t *index) {
    slot *s;
    size_t images;
    TL__TRY(next_slot(loader, &s, &images));
    *image = s ? s->whole : (tl__whole_image){.labels = NULL};
    if (s) {
        *index = s->indices[0];
        s->whole = (tl__whole_image){.labels = NULL};
    }
    return TL_OK;
}
