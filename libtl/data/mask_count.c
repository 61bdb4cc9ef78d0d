/* Pixels of each class over all masks, read by as many threads as images are. */
#include <stdio.h>
#include <string.h>

#include "data/dataset.h"
#include "data/loader.h"
#include "data/reader.h"

#define MOST_THREADS 8

typedef struct counting {
    const tl_dataset *dataset;
    uint32_t (*each)[256]; /* NULL: nobody asks */
    pthread_mutex_t mutex; /* of all below */
    size_t next;           /* mask to be read */
    size_t failed_at;      /* the first that failed, SIZE_MAX */
    tl_status status;
    char message[1024];
    bool stop;
    int64_t counts[256];
} counting;

typedef struct counter {
    counting *work;
    tl_context *context; /* its own */
    tl__reader *reader;
    pthread_t thread;
} counter;

/* The masks before one that failed are all read, so that the message does not depend on the threads. */
static bool take(counting *w, size_t *index) {
    pthread_mutex_lock(&w->mutex);
    *index = w->next;
    bool more = !w->stop && w->next < w->dataset->count && w->next < w->failed_at;
    w->next += more;
    pthread_mutex_unlock(&w->mutex);
    return more;
}

static void note_failure(counting *w, size_t index, tl_status status, const char *message) {
    pthread_mutex_lock(&w->mutex);
    if (index < w->failed_at) {
        w->failed_at = index;
        w->status = status;
        snprintf(w->message, sizeof w->message, "%s", message);
    }
    pthread_mutex_unlock(&w->mutex);
}

static void stop(counting *w) {
    pthread_mutex_lock(&w->mutex);
    w->stop = true;
    pthread_mutex_unlock(&w->mutex);
}

static tl_status count_one(counter *c, size_t index, uint32_t counts[256]) {
    const tl__image_entry *entry = &c->work->dataset->images[index];
    memset(counts, 0, 256 * sizeof *counts);
    if (entry->pixels) {
        memcpy(counts, entry->pixels, 256 * sizeof *counts);
        return TL_OK;
    }
    TL__TRY(tl__reader_mask(c->reader, entry->mask, c->work->dataset->names->masks));
    size_t pixels = (size_t)c->reader->mask_width * (size_t)c->reader->mask_height;
    for (size_t p = 0; p < pixels; p++)
        counts[c->reader->mask[p]]++;
    return TL_OK;
}

/* `caller`: the context that says whether to go on; NULL in the other threads. */
static void count_some(counter *c, tl_context *caller) {
    counting *w = c->work;
    int64_t counts[256] = {0};
    uint32_t own[256];
    size_t index;
    for (;;) {
        if (caller && tl__cancelled(caller)) {
            stop(w);
            note_failure(w, 0, TL_CANCELLED, "cancelled while reading masks");
            break;
        }
        if (!take(w, &index))
            break;
        uint32_t *one = w->each ? w->each[index] : own;
        tl_status status = count_one(c, index, one);
        if (status != TL_OK) {
            note_failure(w, index, status, tl_context_message(c->context));
            continue;
        }
        for (int i = 0; i < 256; i++)
            counts[i] += one[i];
    }
    pthread_mutex_lock(&w->mutex);
    for (int i = 0; i < 256; i++)
        w->counts[i] += counts[i];
    pthread_mutex_unlock(&w->mutex);
}

static void *run(void *argument) {
    count_some(argument, NULL);
    return NULL;
}

static tl_status counter_create(tl_context *context, counting *work, counter *c) {
    tl_preprocess preprocess;
    tl_preprocess_init(&preprocess, sizeof preprocess);
    *c = (counter){.work = work};
    tl_status status = tl__context_create_child(context, &c->context);
    return status == TL_OK ? tl__reader_create(c->context, &preprocess, &c->reader) : status;
}

static void counter_destroy(counter *c) {
    tl__reader_destroy(c->reader);
    tl_context_destroy(c->context);
}

/* The caller's thread works too: where no other can be had, alone. */
static tl_status count_all(tl_context *context, counting *w) {
    counter all[MOST_THREADS];
    int threads = 1, wanted = tl__processors();
    tl_status status = counter_create(context, w, &all[0]);
    if (status != TL_OK) {
        counter_destroy(&all[0]);
        return tl__fail(context, status, "out of memory for reading masks");
    }
    for (; threads < wanted && threads < MOST_THREADS && (size_t)threads < w->dataset->count; threads++)
        if (counter_create(context, w, &all[threads]) != TL_OK ||
            tl__thread_start(&all[threads].thread, run, &all[threads])) {
            counter_destroy(&all[threads]);
            break;
        }
    count_some(&all[0], context);
    for (int i = 0; i < threads; i++) {
        if (i > 0)
            pthread_join(all[i].thread, NULL);
        counter_destroy(&all[i]);
    }
    return w->failed_at == SIZE_MAX ? TL_OK : tl__fail(context, w->status, "%s", w->message);
}

tl_status tl__masks_count(tl_context *context, const tl_dataset *dataset, int64_t counts[256], uint32_t (*each)[256]) {
    counting w = {.dataset = dataset, .each = each, .failed_at = SIZE_MAX};
    if (pthread_mutex_init(&w.mutex, NULL))
        return tl__fail(context, TL_ERROR_MEMORY, "out of memory for a lock");
    tl_status status = count_all(context, &w);
    pthread_mutex_destroy(&w.mutex);
    memcpy(counts, w.counts, sizeof w.counts);
    return status;
}

tl_status tl_dataset_count_pixels(tl_context *context, const tl_dataset *dataset, int64_t *counts, int64_t *ignored) {
    int64_t all[256];
    if (!dataset || !dataset->names->masks || !counts)
        return tl__fail(context, TL_ERROR_ARGUMENT, "tl_dataset_count_pixels needs a data set with masks and room for counts");
    TL__TRY(tl__masks_count(context, dataset, all, NULL));
    memcpy(counts, all, dataset->names->class_count * sizeof *counts);
    if (ignored)
        *ignored = all[TL_IGNORED];
    for (size_t i = 0; i < dataset->names->class_count; i++)
        if (!counts[i])
            tl__log(context, TL_LOG_WARNING, "class %zu, \"%s\", is in none of the %zu masks (%s, ...)", i,
                    dataset->names->classes[i], dataset->count, dataset->count ? dataset->images[0].mask : "none");
    return TL_OK;
}

void tl_class_weights(const int64_t *counts, size_t classes, float *weights) {
    double all = 0, present = 0;
    for (size_t i = 0; i < classes; i++) {
        all += (double)counts[i];
        present += counts[i] > 0;
    }
    for (size_t i = 0; i < classes; i++)
        weights[i] = counts[i] > 0 ? (float)(all / (present * (double)counts[i])) : 1.0f;
}
