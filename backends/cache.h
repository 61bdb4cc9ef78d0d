/* cache.h: what our own backends keep on disk between runs, in a folder of their own under $XDG_CACHE_HOME/libtl (or
 * ~/.cache/libtl); see form.h.
 *
 * Every file carries a checksum of its contents and the whole key it was made for; one that does not fit is as good as
 * none. Files are written under another name and then renamed. Nothing here is ever an error: what cannot be read is
 * made again, what cannot be written is not kept. The option "cache" is another folder, or "none". */
#ifndef TL_BACKENDS_CACHE_H
#define TL_BACKENDS_CACHE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <tl/backend.h>

#define CACHE_MAGIC "tlbinary"
#define CACHE_MOST (256u << 20) /* bytes of a file that is believed */
#define CACHE_PATH 4096

/* Whose files. */
typedef struct cache {
    const tl_host *host;
    const char *backend; /* the folder's name */
} cache;

typedef struct cache_key {
    char name[64]; /* of the file: the stem and a hash */
    uint64_t hash[2];
} cache_key;

typedef struct cache_blob {
    unsigned char *data; /* from the host, and to be given back to it */
    size_t bytes;
} cache_blob;

typedef struct cache_header {
    char magic[8];
    uint64_t key[2];
    uint64_t bytes;
    uint64_t checksum; /* of what follows */
} cache_header;

static inline cache_key cache_key_of(const char *stem, const char *const *parts, size_t count) {
    XXH64_state_t a, b;
    cache_key key;
    XXH64_reset(&a, 0);
    XXH64_reset(&b, 1);
    for (size_t i = 0; i < count; i++) {
        const char *part = parts[i] ? parts[i] : "";
        XXH64_update(&a, part, strlen(part) + 1); /* with its end: "a", "bc" is not "ab", "c" */
        XXH64_update(&b, part, strlen(part) + 1);
    }
    key.hash[0] = XXH64_digest(&a);
    key.hash[1] = XXH64_digest(&b);
    snprintf(key.name, sizeof(key.name), "%.40s-%016llx", stem, (unsigned long long)key.hash[0]);
    return key;
}

/* ---- the folder ---- */

/* In a setuid program the environment is not believed, and the cache of the user is not ours to write. */
static inline const char *cache_environment(const char *name) {
    return getuid() == geteuid() && getgid() == getegid() ? getenv(name) : NULL;
}

static inline bool cache_enter(const char *path, bool make) {
    return !make || mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* The folder into path[size], made with `make` where it is not there: who only reads leaves none behind. False: there
 * is none to be had. */
static inline bool cache_folder(const cache *c, bool make, char *path, size_t size) {
    const char *asked = c->host->option(c->host->user, "cache");
    if (asked && strcmp(asked, "none") == 0)
        return false;
    if (asked)
        return snprintf(path, size, "%s", asked) < (int)size && cache_enter(path, make);
    const char *base = cache_environment("XDG_CACHE_HOME"), *home = cache_environment("HOME");
    const bool own = base && base[0] == '/';
    const char *const parts[] = {own ? "" : "/.cache", "/libtl", "/", c->backend};
    if (!own)
        base = home;
    if (!base || base[0] != '/')
        return false;
    int length = snprintf(path, size, "%s", base);
    for (int i = 0; i < 4; i++) {
        if (length < 0 || (size_t)length >= size)
            return false;
        length += snprintf(path + length, size - (size_t)length, "%s", parts[i]);
        if (length < 0 || (size_t)length >= size || (i != 2 && !cache_enter(path, make)))
            return false;
    }
    return true;
}

static inline bool cache_path(const cache *c, const char *name, bool make, char *path, size_t size) {
    char folder[CACHE_PATH - 256];
    return cache_folder(c, make, folder, sizeof(folder)) && snprintf(path, size, "%s/%s", folder, name) < (int)size;
}

/* ---- files ---- */

static inline bool cache_read_all(int file, void *data, size_t bytes) {
    char *to = data;
    while (bytes > 0) {
        ssize_t got = read(file, to, bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        to += got;
        bytes -= (size_t)got;
    }
    return true;
}

static inline bool cache_write_all(int file, const void *data, size_t bytes) {
    const char *from = data;
    while (bytes > 0) {
        ssize_t put = write(file, from, bytes);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        from += put;
        bytes -= (size_t)put;
    }
    return true;
}

/* `key` NULL: whatever it was made for. */
static inline bool cache_read_file(const cache *c, const char *path, const cache_key *key, cache_blob *blob) {
    cache_header h;
    struct stat about;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    unsigned char *data = NULL;
    bool good = fstat(file, &about) == 0 && S_ISREG(about.st_mode) && cache_read_all(file, &h, sizeof(h)) &&
                memcmp(h.magic, CACHE_MAGIC, sizeof(h.magic)) == 0 &&
                (!key || memcmp(h.key, key->hash, sizeof(h.key)) == 0) &&
                h.bytes > 0 && h.bytes <= CACHE_MOST && (uint64_t)about.st_size == sizeof(h) + h.bytes;
    if (good)
        data = c->host->allocate(c->host->user, (size_t)h.bytes, 16);
    good = data && cache_read_all(file, data, (size_t)h.bytes) && XXH64(data, (size_t)h.bytes, 0) == h.checksum;
    close(file);
    if (!good) {
        c->host->release(c->host->user, data);
        return false;
    }
    *blob = (cache_blob){data, (size_t)h.bytes};
    return true;
}

static inline void cache_release(const cache *c, cache_blob *blob) {
    c->host->release(c->host->user, blob->data);
    *blob = (cache_blob){NULL, 0};
}

/* True with blob->data, the caller's to cache_release. */
static inline bool cache_read(const cache *c, const cache_key *key, cache_blob *blob) {
    char path[CACHE_PATH];
    return cache_path(c, key->name, false, path, sizeof(path)) && cache_read_file(c, path, key, blob);
}

/* Whether there is a file, whole or not. */
static inline bool cache_has(const cache *c, const cache_key *key) {
    char path[CACHE_PATH];
    struct stat about;
    return cache_path(c, key->name, false, path, sizeof(path)) && stat(path, &about) == 0;
}

static inline void cache_write(const cache *c, const cache_key *key, const cache_blob *blob) {
    char path[CACHE_PATH], part[CACHE_PATH + 16];
    if (blob->bytes > CACHE_MOST || !cache_path(c, key->name, true, path, sizeof(path)))
        return;
    snprintf(part, sizeof(part), "%s.XXXXXX", path);
    int file = mkstemp(part);
    if (file < 0)
        return;
    cache_header h = {.key = {key->hash[0], key->hash[1]},
                      .bytes = blob->bytes,
                      .checksum = XXH64(blob->data, blob->bytes, 0)};
    memcpy(h.magic, CACHE_MAGIC, sizeof(h.magic));
    bool good = cache_write_all(file, &h, sizeof(h)) && cache_write_all(file, blob->data, blob->bytes);
    good = close(file) == 0 && good;
    if (!good || rename(part, path) != 0)
        unlink(part);
}

/* Calls `each` with every file whose name begins so and whose contents are whole; the blob is released afterwards. */
static inline void cache_each(const cache *c, const char *beginning,
                              void (*each)(void *user, const char *name, cache_blob *blob), void *user) {
    char folder[CACHE_PATH - 256], path[CACHE_PATH];
    DIR *files = cache_folder(c, false, folder, sizeof(folder)) ? opendir(folder) : NULL;
    for (const struct dirent *entry; files && (entry = readdir(files));) {
        cache_blob blob;
        if (strncmp(entry->d_name, beginning, strlen(beginning)) != 0 ||
            snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= (int)sizeof(path) ||
            !cache_read_file(c, path, NULL, &blob))
            continue;
        each(user, entry->d_name, &blob);
        cache_release(c, &blob);
    }
    if (files)
        closedir(files);
}

static inline void cache_remove(const cache *c, const char *name) {
    char path[CACHE_PATH];
    if (cache_path(c, name, false, path, sizeof(path)))
        unlink(path);
}

#endif
