#include "data/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "tlfeatur"
#define FORMAT 1u
#define ORDER 0x01020304u

/* All of the header but the text, which follows it as far as it fits: for people. */
typedef struct header {
    char magic[8];
    uint32_t format, order;
    uint64_t count, stride;
    tl__hash key, check; /* check: of the header's bytes with check 0 */
} header;

typedef struct slot_head {
    tl__hash key, check;
    uint8_t unused[TL__CACHE_SLOT - 2 * sizeof(tl__hash)];
} slot_head;

#define DAMAGED (UINT64_MAX - 1)

struct tl__cache_place {
    tl__hash key;
    uint64_t slot; /* TL__CACHE_NONE: the place is free; DAMAGED: it counts for nothing */
};

/* ---- the table: open addressing, a key as often as it has slots ---- */

static void put(struct tl__cache_place *table, size_t places, tl__hash key, uint64_t slot) {
    size_t at = (size_t)key.low & (places - 1);
    while (table[at].slot != TL__CACHE_NONE)
        at = (at + 1) & (places - 1);
    table[at] = (struct tl__cache_place){key, slot};
}

static tl_status insert(tl__cache *cache, tl__hash key, uint64_t slot) {
    if (2 * (cache->used + 1) > cache->places) {
        size_t places = cache->places ? 2 * cache->places : 256;
        struct tl__cache_place *table = tl__calloc(cache->context, places, sizeof *table);
        if (!table)
            return TL_ERROR_MEMORY;
        for (size_t i = 0; i < places; i++)
            table[i].slot = TL__CACHE_NONE;
        for (size_t i = 0; i < cache->places; i++)
            if (cache->table[i].slot < DAMAGED)
                put(table, places, cache->table[i].key, cache->table[i].slot);
        tl__free(cache->context, cache->table);
        cache->table = table;
        cache->places = places;
    }
    put(cache->table, cache->places, key, slot);
    cache->used++;
    return TL_OK;
}

static void forget_slots(tl__cache *cache) {
    for (size_t i = 0; i < cache->places; i++)
        cache->table[i].slot = TL__CACHE_NONE;
    cache->used = 0;
    cache->slots = cache->indexed = 0;
}

/* The next slot of this key at or behind place *at; TL__CACHE_NONE: no more. */
static uint64_t next_slot(const tl__cache *cache, tl__hash key, size_t *at) {
    for (; cache->places && cache->table[*at].slot != TL__CACHE_NONE; *at = (*at + 1) & (cache->places - 1)) {
        const struct tl__cache_place *p = &cache->table[*at];
        if (p->key.low == key.low && p->key.high == key.high && p->slot != DAMAGED) {
            *at = (*at + 1) & (cache->places - 1);
            return p->slot;
        }
    }
    return TL__CACHE_NONE;
}

static size_t first_place(const tl__cache *cache, tl__hash key) {
    return cache->places ? (size_t)key.low & (cache->places - 1) : 0;
}

bool tl__cache_has(const tl__cache *cache, tl__hash key) {
    size_t at = first_place(cache, key);
    return next_slot(cache, key, &at) != TL__CACHE_NONE;
}

static tl__hash check_of(const tl__cache *cache, tl__hash key, const float *row) {
    return tl__hash_mix(tl__hash_mix(cache->key, key), tl__hash_bytes(row, cache->count * sizeof *row, 0));
}

static const slot_head *head_of(const tl__cache *cache, uint64_t slot) {
    return (const slot_head *)(cache->map + TL__CACHE_HEADER + slot * cache->stride);
}

const float *tl__cache_row(const tl__cache *cache, uint64_t slot) {
    return (const float *)(head_of(cache, slot) + 1);
}

uint64_t tl__cache_find(tl__cache *cache, tl__hash key) {
    size_t at = first_place(cache, key);
    bool damaged = false;
    for (uint64_t slot; (slot = next_slot(cache, key, &at)) != TL__CACHE_NONE;) {
        if (slot >= cache->slots)
            continue;
        tl__hash check = check_of(cache, key, tl__cache_row(cache, slot)), stored = head_of(cache, slot)->check;
        if (stored.low == check.low && stored.high == check.high)
            return slot;
        damaged = true;
        if (cache->locked) /* otherwise another process may be in the middle of writing it */
            cache->table[(at - 1) & (cache->places - 1)].slot = DAMAGED;
    }
    cache->damaged += damaged;
    return TL__CACHE_NONE;
}

/* ---- the file ---- */

static tl_status io_failure(const tl__cache *cache, const char *what, int code) {
    return tl__fail(cache->context, TL_ERROR_IO, "%s: %s: %s", cache->path, what, strerror(code));
}

static void make_header(const tl__cache *cache, uint8_t *bytes) {
    header h = {.format = FORMAT, .order = ORDER, .count = cache->count, .stride = cache->stride, .key = cache->key};
    memcpy(h.magic, MAGIC, sizeof h.magic);
    memset(bytes, 0, TL__CACHE_HEADER);
    snprintf((char *)bytes + sizeof h, TL__CACHE_HEADER - sizeof h, "\n%s", cache->about);
    memcpy(bytes, &h, sizeof h);
    h.check = tl__hash_bytes(bytes, TL__CACHE_HEADER, 0);
    memcpy(bytes, &h, sizeof h);
}

static void unmap(tl__cache *cache) {
    if (cache->map)
        munmap(cache->map, cache->mapped);
    cache->map = NULL;
    cache->mapped = 0;
}

static void drop_file(tl__cache *cache) {
    if (cache->fd >= 0)
        close(cache->fd); /* and with it the lock */
    cache->fd = -1;
    cache->locked = false;
    cache->end = 0;
}

/* Nothing but the header as this cache would write it will do. */
static bool header_fits(const tl__cache *cache, const struct stat *st) {
    uint8_t expected[TL__CACHE_HEADER], found[TL__CACHE_HEADER];
    if (!S_ISREG(st->st_mode) || st->st_size < TL__CACHE_HEADER ||
        pread(cache->fd, found, sizeof found, 0) != TL__CACHE_HEADER)
        return false;
    make_header(cache, expected);
    return memcmp(expected, found, sizeof found) == 0;
}

/* Without a file: cache->fd stays -1. */
static tl_status open_file(tl__cache *cache) {
    struct stat st;
    cache->writable = true;
    cache->fd = open(cache->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (cache->fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM)) {
        cache->writable = false;
        cache->fd = open(cache->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    }
    if (cache->fd < 0)
        return errno == ENOENT ? TL_OK : io_failure(cache, "cannot be opened", errno);
    if (fstat(cache->fd, &st) == 0 && header_fits(cache, &st))
        return TL_OK;
    drop_file(cache);
    tl__log(cache->context, TL_LOG_WARNING, "%s: damaged, or no cache of features: it is made anew", cache->path);
    if (unlink(cache->path) != 0 && errno != ENOENT)
        return io_failure(cache, "cannot be replaced", errno);
    return TL_OK;
}

tl_status tl__cache_refresh(tl__cache *cache, bool *grown) {
    struct stat st;
    uint64_t before = cache->slots;
    *grown = false;
    if (cache->fd < 0)
        return TL_OK;
    if (fstat(cache->fd, &st) != 0)
        return io_failure(cache, "cannot be read", errno);
    uint64_t slots = st.st_size < TL__CACHE_HEADER ? 0 : ((uint64_t)st.st_size - TL__CACHE_HEADER) / cache->stride;
    if (slots == before)
        return TL_OK;
    if (slots < before)
        return tl__fail(cache->context, TL_ERROR_IO, "%s: something has cut it short", cache->path);
    size_t bytes = TL__CACHE_HEADER + (size_t)(slots * cache->stride);
    void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, cache->fd, 0);
    if (map == MAP_FAILED)
        return io_failure(cache, "cannot be mapped", errno);
    unmap(cache);
    cache->map = map;
    cache->mapped = bytes;
    cache->slots = slots;
    for (; cache->indexed < slots; cache->indexed++) {
        tl__hash key = head_of(cache, cache->indexed)->key;
        if (key.low | key.high) /* or it was never written, though the file became longer */
            TL__TRY(insert(cache, key, cache->indexed));
    }
    *grown = true;
    return TL_OK;
}

static tl_status begin(tl__cache *cache, const char *stem) {
    tl_context *context = cache->context;
    bool grown;
    TL__TRY(tl__cache_make_folder(context, cache->folder));
    cache->path =
        tl__printf(context, "%s/%s-%016llx" TL__CACHE_ENDING, cache->folder, stem, (unsigned long long)cache->key.low);
    cache->scratch = cache->path ? tl__calloc(context, 1, (size_t)cache->stride) : NULL;
    if (!cache->scratch)
        return TL_ERROR_MEMORY;
    TL__TRY(open_file(cache));
    TL__TRY(tl__cache_refresh(cache, &grown));
    if (cache->fd >= 0)
        futimens(cache->fd, NULL); /* used now: not the first to go */
    return TL_OK;
}

tl_status tl__cache_open(tl_context *context, const char *folder, const char *stem, const char *about, size_t count,
                         uint64_t limit, tl__cache **out) {
    tl__cache *cache = tl__calloc(context, 1, sizeof *cache);
    if (!cache)
        return TL_ERROR_MEMORY;
    cache->context = context;
    cache->fd = -1;
    cache->about = about;
    cache->key = tl__hash_bytes(about, strlen(about), 0);
    cache->count = count;
    cache->limit = limit;
    cache->stride = TL__CACHE_SLOT + (count * sizeof(float) + TL__CACHE_SLOT - 1) / TL__CACHE_SLOT * TL__CACHE_SLOT;
    cache->folder = tl__strdup(context, folder);
    tl_status status = cache->folder ? begin(cache, stem) : TL_ERROR_MEMORY;
    if (status != TL_OK) {
        tl__cache_close(cache);
        return status;
    }
    *out = cache;
    return TL_OK;
}

void tl__cache_close(tl__cache *cache) {
    if (!cache)
        return;
    unmap(cache);
    drop_file(cache);
    tl__free(cache->context, cache->table);
    tl__free(cache->context, cache->scratch);
    tl__free(cache->context, cache->path);
    tl__free(cache->context, cache->folder);
    tl__free(cache->context, cache);
}

/* ---- writing ---- */

/* A file of a header alone, locked, that takes the path's name only when it is whole. False: errno says why. EEXIST:
 * another process was faster. */
static bool make_file(tl__cache *cache, const char *temporary, bool replace) {
    uint8_t bytes[TL__CACHE_HEADER];
    unlink(temporary); /* of an earlier process with this number */
    int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    make_header(cache, bytes);
    bool made = flock(fd, LOCK_EX | LOCK_NB) == 0 && tl__write_at(fd, bytes, sizeof bytes, 0) &&
                (replace ? rename(temporary, cache->path) : link(temporary, cache->path)) == 0;
    if (!made && !replace && errno != EEXIST &&
        (errno == EPERM || errno == ENOTSUP || errno == ENOSYS || errno == EMLINK))
        made = rename(temporary, cache->path) == 0; /* a file system without links: the slower process' file is lost */
    int code = errno;
    unlink(temporary);
    if (!made) {
        close(fd);
        errno = code;
        return false;
    }
    cache->fd = fd;
    cache->locked = cache->writable = true;
    cache->end = 0;
    return true;
}

static tl_status create(tl__cache *cache, bool replace, bool *made) {
    char *temporary = tl__printf(cache->context, "%s.%ld-%p.tmp", cache->path, (long)getpid(), (void *)cache);
    if (!temporary)
        return TL_ERROR_MEMORY;
    *made = make_file(cache, temporary, replace);
    int code = errno;
    tl__free(cache->context, temporary);
    errno = code;
    return TL_OK;
}

/* Is what we have open still what the path names? */
static bool is_current(const tl__cache *cache) {
    struct stat ours, theirs;
    return fstat(cache->fd, &ours) == 0 && stat(cache->path, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
           ours.st_ino == theirs.st_ino;
}

static tl_status never(const tl__cache *cache, const char *what, int code, tl__cache_lock *lock) {
    io_failure(cache, what, code);
    *lock = TL__CACHE_NEVER;
    return TL_OK;
}

/* Takes the lock of the file that is open. *again: it is not the path's any more, and another was opened. */
static tl_status lock_file(tl__cache *cache, tl__cache_lock *lock, bool *again) {
    bool grown;
    *again = false;
    if (!cache->writable)
        return never(cache, "cannot be written", EACCES, lock);
    if (flock(cache->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return never(cache, "cannot be locked", errno, lock);
        *lock = TL__CACHE_TAKEN;
        return TL_OK;
    }
    if (!is_current(cache)) { /* taken away, or replaced, since it was opened */
        unmap(cache);
        drop_file(cache);
        forget_slots(cache);
        *again = true;
        TL__TRY(open_file(cache));
        return tl__cache_refresh(cache, &grown);
    }
    cache->locked = true;
    TL__TRY(tl__cache_refresh(cache, &grown));
    cache->end = cache->slots;
    *lock = TL__CACHE_MINE;
    return TL_OK;
}

tl_status tl__cache_try_lock(tl__cache *cache, tl__cache_lock *lock) {
    for (int attempt = 0; attempt < 100; attempt++) {
        bool made, again, grown;
        if (cache->fd >= 0) {
            TL__TRY(lock_file(cache, lock, &again));
            if (!again)
                return TL_OK;
            continue;
        }
        TL__TRY(create(cache, false, &made));
        if (made) {
            *lock = TL__CACHE_MINE;
            return TL_OK;
        }
        if (errno != EEXIST)
            return never(cache, "cannot be made", errno, lock);
        TL__TRY(open_file(cache));
        TL__TRY(tl__cache_refresh(cache, &grown));
    }
    return never(cache, "comes and goes", EAGAIN, lock);
}

void tl__cache_unlock(tl__cache *cache) {
    if (cache->locked)
        flock(cache->fd, LOCK_UN);
    cache->locked = false;
}

tl_status tl__cache_add(tl__cache *cache, tl__hash key, const float *row) {
    slot_head head = {.key = key, .check = check_of(cache, key, row)};
    memcpy(cache->scratch, &head, sizeof head);
    memcpy(cache->scratch + TL__CACHE_SLOT, row, cache->count * sizeof *row);
    if (!tl__write_at(cache->fd, cache->scratch, (size_t)cache->stride, TL__CACHE_HEADER + cache->end * cache->stride))
        return io_failure(cache, "cannot be written", errno);
    TL__TRY(insert(cache, key, cache->end));
    cache->indexed = ++cache->end;
    return TL_OK;
}

/* The rows to keep are read from the old file's mapping, which stays until the next refresh. */
static tl_status begin_anew(tl__cache *cache, const tl__hash *kept, size_t count) {
    bool made, grown;
    int old = cache->fd;
    TL__TRY(create(cache, true, &made));
    if (!made)
        return io_failure(cache, "cannot be made anew", errno);
    close(old);
    const float **rows = tl__calloc(cache->context, count, sizeof *rows);
    if (!rows)
        return TL_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        uint64_t slot = tl__cache_find(cache, kept[i]);
        rows[i] = slot == TL__CACHE_NONE ? NULL : tl__cache_row(cache, slot);
    }
    forget_slots(cache);
    tl_status status = TL_OK;
    for (size_t i = 0; i < count && status == TL_OK; i++)
        if (rows[i] && !tl__cache_has(cache, kept[i]))
            status = tl__cache_add(cache, kept[i], rows[i]);
    tl__free(cache->context, rows);
    TL__TRY(status);
    return tl__cache_refresh(cache, &grown);
}

tl_status tl__cache_reserve(tl__cache *cache, uint64_t rows, const tl__hash *kept, size_t kept_count, bool *anew) {
    *anew = false;
    uint64_t more = rows * cache->stride, own = TL__CACHE_HEADER + cache->end * cache->stride;
    tl_status status = tl__cache_evict(cache->context, cache->folder, cache->path, NULL, own, more, cache->limit);
    if (status != TL_ERROR_LIMIT || cache->end <= kept_count)
        return status;
    own = TL__CACHE_HEADER + kept_count * cache->stride;
    TL__TRY(tl__cache_evict(cache->context, cache->folder, cache->path, NULL, own, more, cache->limit));
    *anew = true;
    return begin_anew(cache, kept, kept_count);
}
