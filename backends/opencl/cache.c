/* cache.c: see cache.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "backends/opencl/cache.h"

#define MAGIC "tlbinary"
#define MOST (256u << 20) /* bytes of a file that is believed */

typedef struct header {
    char magic[8];
    uint64_t key[2];
    uint64_t bytes;
    uint64_t checksum; /* of what follows */
} header;

void tl__opencl_cache_key(const char *stem, const char *const *parts, size_t count, opencl_key *key) {
    XXH64_state_t a, b;
    XXH64_reset(&a, 0);
    XXH64_reset(&b, 1);
    for (size_t i = 0; i < count; i++) {
        const char *part = parts[i] ? parts[i] : "";
        XXH64_update(&a, part, strlen(part) + 1); /* with its end: "a", "bc" is not "ab", "c" */
        XXH64_update(&b, part, strlen(part) + 1);
    }
    key->hash[0] = XXH64_digest(&a);
    key->hash[1] = XXH64_digest(&b);
    snprintf(key->name, sizeof(key->name), "%.40s-%016llx", stem, (unsigned long long)key->hash[0]);
}

/* In a setuid program the environment is not believed, and the cache of the user is not ours to write. */
static const char *environment(const char *name) {
    return getuid() == geteuid() && getgid() == getegid() ? getenv(name) : NULL;
}

static bool make_folder(const char *path) {
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

bool tl__opencl_cache_folder(const tl_host *host, char *path, size_t size) {
    const char *asked = host->option(host->user, "cache");
    if (asked && strcmp(asked, "none") == 0)
        return false;
    if (asked)
        return snprintf(path, size, "%s", asked) < (int)size && make_folder(path);
    const char *base = environment("XDG_CACHE_HOME"), *home = environment("HOME"), *sub = "";
    if (!base || base[0] != '/') {
        base = home;
        sub = "/.cache";
    }
    if (!base || base[0] != '/')
        return false;
    int length = snprintf(path, size, "%s%s", base, sub);
    if (length < 0 || (size_t)length + sizeof("/libtl/opencl") > size || !make_folder(path))
        return false;
    snprintf(path + length, size - (size_t)length, "/libtl");
    if (!make_folder(path))
        return false;
    snprintf(path + length, size - (size_t)length, "/libtl/opencl");
    return make_folder(path);
}

static bool path_of(opencl_device *device, const opencl_key *key, char *path, size_t size) {
    char folder[3072];
    return tl__opencl_cache_folder(device->host, folder, sizeof(folder)) &&
           snprintf(path, size, "%s/%s", folder, key->name) < (int)size;
}

static bool read_all(int file, void *data, size_t bytes) {
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

static bool write_all(int file, const void *data, size_t bytes) {
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
static bool read_file(opencl_device *device, const char *path, const opencl_key *key, opencl_blob *blob) {
    header h;
    struct stat about;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    unsigned char *data = NULL;
    bool good = fstat(file, &about) == 0 && S_ISREG(about.st_mode) && read_all(file, &h, sizeof(h)) &&
                memcmp(h.magic, MAGIC, sizeof(h.magic)) == 0 && (!key || memcmp(h.key, key->hash, sizeof(h.key)) == 0) &&
                h.bytes > 0 && h.bytes <= MOST && (uint64_t)about.st_size == sizeof(h) + h.bytes;
    if (good)
        data = tl__opencl_allocate(device, (size_t)h.bytes);
    good = data && read_all(file, data, (size_t)h.bytes) && XXH64(data, (size_t)h.bytes, 0) == h.checksum;
    close(file);
    if (!good) {
        tl__opencl_release(device, data);
        return false;
    }
    *blob = (opencl_blob){data, (size_t)h.bytes};
    return true;
}

bool tl__opencl_cache_read(opencl_device *device, const opencl_key *key, opencl_blob *blob) {
    char path[4096];
    return path_of(device, key, path, sizeof(path)) && read_file(device, path, key, blob);
}

void tl__opencl_cache_each(opencl_device *device, const char *beginning, void (*each)(void *user, const char *name, opencl_blob *blob),
                           void *user) {
    char folder[3072], path[4096];
    DIR *files = tl__opencl_cache_folder(device->host, folder, sizeof(folder)) ? opendir(folder) : NULL;
    for (const struct dirent *entry; files && (entry = readdir(files));) {
        opencl_blob blob;
        if (strncmp(entry->d_name, beginning, strlen(beginning)) != 0 ||
            snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= (int)sizeof(path) ||
            !read_file(device, path, NULL, &blob))
            continue;
        each(user, entry->d_name, &blob);
        tl__opencl_release(device, blob.data);
    }
    if (files)
        closedir(files);
}

void tl__opencl_cache_remove(opencl_device *device, const char *name) {
    char folder[3072], path[4096];
    if (tl__opencl_cache_folder(device->host, folder, sizeof(folder)) &&
        snprintf(path, sizeof(path), "%s/%s", folder, name) < (int)sizeof(path))
        unlink(path);
}

void tl__opencl_cache_write(opencl_device *device, const opencl_key *key, const opencl_blob *blob) {
    char path[4096], part[4096 + 16];
    if (blob->bytes > MOST || !path_of(device, key, path, sizeof(path)))
        return;
    snprintf(part, sizeof(part), "%s.XXXXXX", path);
    int file = mkstemp(part);
    if (file < 0)
        return;
    header h = {.key = {key->hash[0], key->hash[1]}, .bytes = blob->bytes, .checksum = XXH64(blob->data, blob->bytes, 0)};
    memcpy(h.magic, MAGIC, sizeof(h.magic));
    bool good = write_all(file, &h, sizeof(h)) && write_all(file, blob->data, blob->bytes);
    good = close(file) == 0 && good;
    if (!good || rename(part, path) != 0)
        unlink(part);
}
