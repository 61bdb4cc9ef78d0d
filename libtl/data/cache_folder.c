#include "data/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define MOST_CHOSEN ((uint64_t)32 << 30) /* of a limit that nobody set */
#define ABANDONED 3600                   /* seconds after which a temporary file is nobody's */

/* In a setuid program the environment is not believed, and the cache of the user is not ours to write. */
static const char *environment(const char *name) {
    const char *value = getuid() == geteuid() && getgid() == getegid() ? getenv(name) : NULL;
    return value && value[0] == '/' ? value : NULL;
}

tl_status tl__cache_default_folder(tl_context *context, char **folder) {
    const char *base = environment("XDG_CACHE_HOME"), *home = environment("HOME");
    *folder = NULL;
    if (base)
        *folder = tl__printf(context, "%s/libtl/features", base);
    else if (home)
        *folder = tl__printf(context, "%s/.cache/libtl/features", home);
    return *folder || !(base || home) ? TL_OK : TL_ERROR_MEMORY;
}

tl_status tl__cache_make_folder(tl_context *context, const char *path) {
    char *part = tl__strdup(context, path);
    struct stat st;
    if (!part)
        return TL_ERROR_MEMORY;
    int code = 0;
    for (char *slash = part; slash;) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = 0;
        code = mkdir(part, 0700) == 0 || errno == EEXIST ? 0 : errno; /* one above may be there and closed to us */
        if (slash)
            *slash = '/';
    }
    tl__free(context, part);
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? TL_OK : tl__fail(context, TL_ERROR_IO, "%s: %s", path, strerror(ENOTDIR));
    return tl__fail(context, TL_ERROR_IO, "%s: %s", path, strerror(code ? code : errno));
}

/* ---- the limit ---- */

/* "1.5 GB" */
static const char *size_text(uint64_t bytes, char text[24]) {
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1000 && unit + 1 < TL__COUNT(units); unit++)
        value /= 1000;
    snprintf(text, 24, "%.3g %s", value, units[unit]);
    return text;
}

typedef struct entry {
    char *path;
    uint64_t bytes;
    struct timespec used;
} entry;

typedef struct listing {
    entry *entries;
    size_t count, room;
    uint64_t bytes;
} listing;

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length > tail && strcmp(text + length - tail, end) == 0;
}

/* What a process that died between making a file and giving it its name left. */
static void sweep(const char *path, const struct stat *st) {
    if (time(NULL) - st->st_mtim.tv_sec > ABANDONED)
        unlink(path);
}

static tl_status list_one(tl_context *context, const char *folder, const char *name, const char *own,
                          const char *beside, listing *l) {
    struct stat st;
    bool whole = ends_with(name, TL__CACHE_ENDING) || ends_with(name, TL__CACHE_HASHES);
    bool ours = whole || strstr(name, TL__CACHE_ENDING ".") || strstr(name, TL__CACHE_HASHES ".");
    if (!ours || (!whole && !ends_with(name, ".tmp")))
        return TL_OK;
    char *path = tl__printf(context, "%s/%s", folder, name);
    if (!path)
        return TL_ERROR_MEMORY;
    bool there = lstat(path, &st) == 0 && S_ISREG(st.st_mode);
    if (there && !whole)
        sweep(path, &st);
    if (!there || !whole || strcmp(path, own) == 0 || (beside && strcmp(path, beside) == 0)) {
        tl__free(context, path);
        return TL_OK;
    }
    if (tl__grow(context, (void **)&l->entries, &l->room, l->count, sizeof *l->entries) != TL_OK) {
        tl__free(context, path);
        return TL_ERROR_MEMORY;
    }
    l->entries[l->count++] = (entry){path, (uint64_t)st.st_size, st.st_mtim};
    l->bytes += (uint64_t)st.st_size;
    return TL_OK;
}

static tl_status list(tl_context *context, const char *folder, const char *own, const char *beside, listing *l) {
    DIR *stream = opendir(folder);
    const struct dirent *found;
    tl_status status = TL_OK;
    if (!stream)
        return tl__fail(context, TL_ERROR_IO, "%s: %s", folder, strerror(errno));
    while (status == TL_OK && (found = readdir(stream)))
        status = list_one(context, folder, found->d_name, own, beside, l);
    closedir(stream);
    return status;
}

static int by_use(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    return x->used.tv_nsec < y->used.tv_nsec ? -1 : x->used.tv_nsec > y->used.tv_nsec;
}

/* Not while another process adds to it. Those that only read it keep what they have mapped. */
static bool take_away(const entry *e) {
    int fd = open(e->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool idle = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
    bool gone = (idle || (fd < 0 && errno == EACCES)) && unlink(e->path) == 0;
    if (fd >= 0)
        close(fd);
    return gone;
}

static tl_status evict(tl_context *context, const char *folder, listing *l, uint64_t own, uint64_t more,
                       uint64_t limit) {
    struct statvfs fs;
    char a[24], b[24];
    uint64_t space = UINT64_MAX; /* a file system that does not say */
    if (statvfs(folder, &fs) == 0 && fs.f_blocks)
        space = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (!limit) {
        uint64_t all = space == UINT64_MAX ? space : space + l->bytes + own;
        limit = all / 4 < MOST_CHOSEN ? all / 4 : MOST_CHOSEN;
    }
    if (own + more > limit)
        return tl__fail(context, TL_ERROR_LIMIT, "%s of features where the limit for %s is %s",
                        size_text(own + more, a), folder, size_text(limit, b));
    if (l->count)
        qsort(l->entries, l->count, sizeof *l->entries, by_use);
    for (size_t i = 0; i < l->count && (l->bytes + own + more > limit || more > space); i++)
        if (take_away(&l->entries[i])) {
            l->bytes -= l->entries[i].bytes;
            space = space == UINT64_MAX ? space : space + l->entries[i].bytes;
            tl__log(context, TL_LOG_INFO, "%s: taken away to make room for other features", l->entries[i].path);
        }
    if (more > space)
        return tl__fail(context, TL_ERROR_IO, "%s: %s of features, and %s are free", folder, size_text(more, a),
                        size_text(space, b));
    return TL_OK;
}

tl_status tl__cache_evict(tl_context *context, const char *folder, const char *own, const char *beside,
                          uint64_t own_bytes, uint64_t bytes, uint64_t limit) {
    listing l = {0};
    tl_status status = list(context, folder, own, beside, &l);
    if (status == TL_OK)
        status = evict(context, folder, &l, own_bytes, bytes, limit);
    for (size_t i = 0; i < l.count; i++)
        tl__free(context, l.entries[i].path);
    tl__free(context, l.entries);
    return status;
}
