/* data/cache.h: rows of floats kept in a file, found by a hash.
 *
 * One file is for one text, `about`, that says what the rows were computed from: other text, other file. It is a header
 * and then slots of one size, each with a row, its key and a checksum over both, so that every slot proves itself:
 * nothing has to be flushed in any order, and what a crash, a full disk or a failing one left of a slot is as good as
 * none. Slots are only ever added. One process at a time adds, holding a lock; others read, or compute for themselves.
 * A file that does not begin with its own header is replaced.
 *
 * Whoever uses it can do without: what fails with TL_ERROR_IO or TL_ERROR_LIMIT costs time, not results. Knows core
 * only. */
#ifndef TL__CACHE_H
#define TL__CACHE_H

#include "core/core.h"

#define TL__CACHE_HEADER 4096 /* bytes before the first slot */
#define TL__CACHE_SLOT 64     /* bytes of a slot before its row */
#define TL__CACHE_HASHES ".hashes" /* of train/proof.c, which may go like any other */
#define TL__CACHE_ENDING ".features"

typedef struct tl__cache {
    tl_context *context;
    char *folder, *path;
    const char *about;   /* the caller's */
    tl__hash key;        /* of `about` */
    size_t count;        /* floats of a row */
    uint64_t stride;     /* bytes of a slot */
    uint64_t limit;      /* bytes for all files in the folder; 0: chosen */
    int fd;              /* -1: there is no file yet */
    bool locked, writable;
    uint8_t *map;        /* of the file, read only */
    size_t mapped;
    uint64_t slots;      /* in the mapping */
    uint64_t indexed;    /* in the table */
    uint64_t end;        /* slots in the file, while locked */
    uint8_t *scratch;    /* one slot */
    struct tl__cache_place *table; /* key -> slots */
    size_t places, used;
    uint64_t damaged;    /* how often a key had slots and none of them matched its checksum */
} tl__cache;

/* Opens the file for `about` in `folder`, which is made where it is missing; a file that is not there yet is fine.
 * `stem` begins its name. `about` must live as long. TL_ERROR_IO: the folder or the file cannot be used;
 * TL_ERROR_MEMORY. */
tl_status tl__cache_open(tl_context *context, const char *folder, const char *stem, const char *about, size_t count,
                         uint64_t limit, tl__cache **out);
void tl__cache_close(tl__cache *cache); /* NULL is fine; the rows that were found go with it */

/* The slot of a key, its row checked; TL__CACHE_NONE: it is not there. It is that row's until reserve begins anew. */
#define TL__CACHE_NONE UINT64_MAX
uint64_t tl__cache_find(tl__cache *cache, tl__hash key);
/* The row of a slot that was found; where it lies holds until refresh or close. */
const float *tl__cache_row(const tl__cache *cache, uint64_t slot);
/* Whether the key has a slot, one that was added and not mapped yet included. Its contents are not looked at. */
bool tl__cache_has(const tl__cache *cache, tl__hash key);
/* Maps what was added since; *grown says whether anything was. TL_ERROR_IO, TL_ERROR_MEMORY. */
tl_status tl__cache_refresh(tl__cache *cache, bool *grown);

typedef enum tl__cache_lock {
    TL__CACHE_MINE,  /* until unlock: tl__cache_add may be called, and all slots there are were mapped */
    TL__CACHE_TAKEN, /* another process is adding */
    TL__CACHE_NEVER, /* the file cannot be written or locked; the context's message says why */
} tl__cache_lock;
/* Makes the file where there is none. TL_ERROR_MEMORY. */
tl_status tl__cache_try_lock(tl__cache *cache, tl__cache_lock *lock);
void tl__cache_unlock(tl__cache *cache);

/* Makes room for `rows` more: files of the same folder that were used longest ago go; where this one holds too much
 * else, it begins anew (*anew), its `kept` rows being copied. TL_ERROR_LIMIT: they would take more than the limit;
 * TL_ERROR_IO, TL_ERROR_MEMORY. */
tl_status tl__cache_reserve(tl__cache *cache, uint64_t rows, const tl__hash *kept, size_t kept_count, bool *anew);
/* Adds a row at the end of the file. TL_ERROR_IO: no room, say; TL_ERROR_MEMORY. */
tl_status tl__cache_add(tl__cache *cache, tl__hash key, const float *row);

/* ---- cache_folder.c ---- */

/* $XDG_CACHE_HOME/libtl/features, or that in ~/.cache, to be freed with tl__free; NULL where the environment says
 * neither, or in a setuid program. TL_ERROR_MEMORY. */
tl_status tl__cache_default_folder(tl_context *context, char **folder);
/* Makes a folder and those above it, for this user alone. TL_ERROR_IO, TL_ERROR_MEMORY. */
tl_status tl__cache_make_folder(tl_context *context, const char *path);
/* Takes files away, the one used longest ago first, until `bytes` more fit into the limit together with the rest;
 * `own` and, unless NULL, `beside`, which hold `own_bytes`, stay. TL_ERROR_LIMIT: they do not fit alone. */
tl_status tl__cache_evict(tl_context *context, const char *folder, const char *own, const char *beside,
                          uint64_t own_bytes, uint64_t bytes, uint64_t limit);

#endif
