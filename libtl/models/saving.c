/* Writing a model's file while something else goes on: what is frozen is most of it, and known from the beginning. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "models/save.h"

#define PART ((int64_t)1 << 18) /* elements that are read at once where they do not lie in memory */
#define HANDED_OVER ((uint64_t)4 << 20) /* bytes, of the file */

/* A tensor of the file. */
typedef struct entry {
    tl__source source; /* as it was at the beginning; values of a source cannot change, and nobody frees it meanwhile */
    uint64_t id;       /* of what was written; 0: nothing */
    uint64_t offset;
    int64_t count;
} entry;

struct tl_saving {
    tl_context *context;
    tl__model_file file;
    char *header;
    size_t header_bytes;
    tl__writer writer;
    entry *entries;
    float *part;
    uint64_t handed_over; /* bytes that the disk has been told to write */
    pthread_t thread;
    bool running;
    int failed; /* errno */
    _Atomic bool stop;
};

/* The disk is given its work as it comes, so that little is left to wait for at the end; in large pieces, none of which
 * shares a page with what is still to come, which would be written twice. */
static void hand_over(tl_saving *s, uint64_t written) {
#ifdef SYNC_FILE_RANGE_WRITE
    if (written < s->handed_over + HANDED_OVER)
        return;
    const uint64_t end = written / HANDED_OVER * HANDED_OVER;
    sync_file_range(s->writer.fd, (off_t)s->handed_over, (off_t)(end - s->handed_over), SYNC_FILE_RANGE_WRITE);
    s->handed_over = end;
#else
    (void)s, (void)written;
#endif
}

static bool write_entry(tl_saving *s, const entry *e) {
    const tl__source *source = &e->source;
    const char *plain = source->plain ? source->plain(source) : NULL;
    bool written = true;
    for (int64_t first = 0, count; first < e->count && written; first += count) {
        count = e->count - first < PART ? e->count - first : PART;
        if (plain)
            source->pages(source, first, count, true);
        else if (source->read(s->context, source, first, count, s->part) != TL_OK)
            return errno = EIO, false; /* sources fail with nothing */
        written = tl__write_at(s->writer.fd, plain ? plain + (size_t)first * sizeof(float) : (const char *)s->part,
                               (size_t)count * sizeof(float), e->offset + (uint64_t)first * sizeof(float));
        if (plain)
            source->pages(source, first, count, false);
        hand_over(s, e->offset + (uint64_t)(first + count) * sizeof(float));
    }
    return written;
}

static void *work(void *argument) {
    tl_saving *s = argument;
    for (size_t i = 0; i < s->file.count && !s->failed && !s->stop; i++) {
        const entry *e = &s->entries[i];
        if (e->id && !write_entry(s, e))
            s->failed = errno ? errno : EIO;
    }
    return NULL;
}

static void lay_out(tl_saving *s, const bool *changing) {
    const tl_model *model = s->file.model;
    uint64_t offset = s->header_bytes;
    for (size_t i = 0; i < model->parameter_count; i++) {
        const tl__parameter *p = s->file.order[i];
        entry *e = &s->entries[i];
        size_t number = 0;
        while (model->parameters[number] != p)
            number++;
        *e = (entry){.source = p->source, .offset = offset, .count = tl__desc_count(&p->desc)};
        offset += p->kind == TL__PARAMETER_COUNTER ? 8 : (uint64_t)e->count * sizeof(float);
        if (!p->values && p->source.read && p->kind != TL__PARAMETER_COUNTER && !(changing && changing[number]))
            e->id = p->id;
    }
}

static tl_status make_header(const tl__model_file *file, const char *path, char **header, size_t *bytes) {
    return tl__safetensors_header(file->model->context, path, file->outputs, file->count, file->metadata,
                                  file->metadata_count, header, bytes);
}

static tl_status begin(tl_saving *s, const char *path, const bool *changing) {
    const tl_model *model = s->file.model;
    TL__TRY(tl__model_file_create(s->file.model, NULL, &s->file));
    TL__TRY(make_header(&s->file, path, &s->header, &s->header_bytes));
    s->entries = tl__calloc(s->context, model->parameter_count, sizeof *s->entries);
    s->part = s->entries ? tl__alloc(s->context, (size_t)PART * sizeof *s->part) : NULL;
    if (!s->part)
        return TL_ERROR_MEMORY;
    lay_out(s, changing);
    TL__TRY(tl__writer_open(s->context, path, &s->writer));
    s->running = tl__thread_start(&s->thread, work, s) == 0;
    if (s->running)
        return TL_OK;
    return tl__fail(s->context, TL_ERROR_MEMORY, "%s: a thread to write it cannot be started", path);
}

static void join(tl_saving *s) {
    if (s->running)
        pthread_join(s->thread, NULL);
    s->running = false;
}

static void release(tl_saving *s) {
    s->stop = true;
    join(s);
    if (s->writer.fd >= 0)
        tl__writer_abandon(&s->writer);
    s->file.model->saving--;
    tl__model_file_release(&s->file);
    tl__free(s->context, s->header);
    tl__free(s->context, s->entries);
    tl__free(s->context, s->part);
    tl__free(s->context, s);
}

tl_status tl_model_save_begin(tl_model *model, const char *path, const bool *changing, tl_saving **out) {
    tl_saving *s = tl__calloc(model->context, 1, sizeof *s);
    if (!s)
        return TL_ERROR_MEMORY;
    s->context = model->context;
    s->file.model = model;
    s->writer.fd = -1;
    model->saving++;
    tl_status status = begin(s, path, changing);
    if (status != TL_OK) {
        release(s);
        return status;
    }
    *out = s;
    return TL_OK;
}

/* What was left for now, which the thread does not touch; or what it wrote and has changed since. */
static tl_status write_rest(tl_saving *s, bool left) {
    for (size_t i = 0; i < s->file.count; i++) {
        const tl__parameter *p = s->file.order[i];
        const entry *e = &s->entries[i];
        const bool counter = p->kind == TL__PARAMETER_COUNTER;
        if (left ? e->id != 0 : !e->id || e->id == p->id)
            continue;
        size_t bytes = counter ? 8 : (size_t)e->count * sizeof(float);
        void *values = tl__alloc(s->context, bytes);
        if (!values)
            return TL_ERROR_MEMORY;
        tl_status status = tl__model_file_read(&s->file, i, values);
        if (status == TL_OK && !tl__write_at(s->writer.fd, values, bytes, e->offset))
            status = tl__fail(s->context, TL_ERROR_IO, "%s: cannot be written: %s", s->writer.path, strerror(errno));
        tl__free(s->context, values);
        TL__TRY(status);
    }
    return TL_OK;
}

/* *same: the header would be the one that the tensors were laid out for. */
static tl_status check_header(const tl_saving *s, bool *same) {
    tl__model_file now;
    char *header = NULL;
    size_t bytes = 0;
    tl_status status = tl__model_file_create(s->file.model, NULL, &now);
    if (status == TL_OK)
        status = make_header(&now, s->writer.path, &header, &bytes);
    *same = status == TL_OK && bytes == s->header_bytes && memcmp(header, s->header, bytes) == 0;
    tl__free(s->context, header);
    tl__model_file_release(&now);
    return status;
}

static tl_status end(tl_saving *s) {
    bool same;
    TL__TRY(check_header(s, &same));
    if (!same) { /* other class names, say */
        s->stop = true;
        join(s);
        char *path = tl__strdup(s->context, s->writer.path);
        tl__writer_abandon(&s->writer);
        tl_status status = path ? tl_model_save(s->file.model, path) : TL_ERROR_MEMORY;
        tl__free(s->context, path);
        return status;
    }
    if (!tl__write_at(s->writer.fd, s->header, s->header_bytes, 0))
        return tl__fail(s->context, TL_ERROR_IO, "%s: cannot be written: %s", s->writer.path, strerror(errno));
    TL__TRY(write_rest(s, true));
    join(s);
    if (s->failed)
        return tl__fail(s->context, TL_ERROR_IO, "%s: cannot be written: %s", s->writer.path, strerror(s->failed));
    TL__TRY(write_rest(s, false));
    return tl__writer_commit(&s->writer);
}

tl_status tl_model_save_end(tl_saving *saving) {
    tl_status status = end(saving);
    release(saving);
    return status;
}

void tl_model_save_abandon(tl_saving *saving) {
    if (saving)
        release(saving);
}
