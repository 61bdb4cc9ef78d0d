#include "core/core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define XXH_STATIC_LINKING_ONLY /* for a state on the stack */
#include <xxhash.h>

tl__hash tl__hash_bytes(const void *data, size_t bytes, uint64_t seed) {
    XXH128_hash_t hash = XXH3_128bits_withSeed(data, bytes, seed);
    return (tl__hash){hash.low64, hash.high64};
}

tl__hash tl__hash_parts(size_t bytes, size_t at_once, const void *(*part)(void *user, size_t first, size_t bytes),
                        void *user) {
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    for (size_t first = 0, now; first < bytes; first += now) {
        now = bytes - first < at_once ? bytes - first : at_once;
        XXH3_128bits_update(&state, part(user, first, now), now);
    }
    part(user, bytes, 0);
    XXH128_hash_t hash = XXH3_128bits_digest(&state);
    return (tl__hash){hash.low64, hash.high64};
}

tl__hash tl__hash_mix(tl__hash a, tl__hash b) {
    uint64_t both[4] = {a.low, a.high, b.low, b.high};
    return tl__hash_bytes(both, sizeof both, 0);
}

void tl__hash_text(tl__hash hash, char text[33]) {
    snprintf(text, 33, "%016llx%016llx", (unsigned long long)hash.high, (unsigned long long)hash.low);
}

uint64_t tl__fnv1a64(const char *text) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001B3u;
    return hash;
}

/* ---- files ---- */

#define SETTLED 2 /* seconds */

static uint64_t stamp_of(const struct stat *st) {
    uint64_t facts[] = {(uint64_t)st->st_dev, (uint64_t)st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec,
                        (uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ctim.tv_sec, (uint64_t)st->st_ctim.tv_nsec};
    return tl__hash_bytes(facts, sizeof facts, 0).low;
}

uint64_t tl__stamp_settled(const struct stat *st) {
    const time_t last = st->st_mtim.tv_sec > st->st_ctim.tv_sec ? st->st_mtim.tv_sec : st->st_ctim.tv_sec;
    return time(NULL) - last > SETTLED ? stamp_of(st) : 0;
}

bool tl__stamp_read(const char *path, uint64_t *stamp) {
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    *stamp = stamp_of(&st);
    return true;
}

static bool hash_all(int fd, void *buffer, tl__hash *hash) {
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    for (;;) {
        ssize_t got = read(fd, buffer, TL__HASH_BUFFER);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        XXH3_128bits_update(&state, buffer, (size_t)got);
    }
    XXH128_hash_t made = XXH3_128bits_digest(&state);
    *hash = (tl__hash){made.low64, made.high64};
    return true;
}

bool tl__hash_file(const char *path, void *buffer, tl__hash *hash, uint64_t *stamp) {
    struct stat st;
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    bool read = fd >= 0 && fstat(fd, &st) == 0 && hash_all(fd, buffer, hash);
    int code = errno;
    if (fd >= 0)
        close(fd);
    if (read)
        *stamp = stamp_of(&st);
    errno = code;
    return read;
}
