#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Each block begins with its size, a whole alignment before what is handed out. */
#define FRONT 64

static void *allocate(void *user, size_t bytes, size_t alignment) {
    struct memory *memory = user;
    void *block = NULL;
    if (++memory->calls == memory->fail_at)
        return NULL;
    if (alignment > FRONT || posix_memalign(&block, FRONT, bytes + FRONT) != 0)
        return NULL;
    *(size_t *)block = bytes;
    memory->used += bytes;
    memory->blocks++;
    if (memory->used > memory->peak)
        memory->peak = memory->used;
    return (char *)block + FRONT;
}

static void release(void *user, void *data) {
    struct memory *memory = user;
    char *block = (char *)data - FRONT;
    memory->used -= *(size_t *)block;
    memory->blocks--;
    free(block);
}

tl_context *context_with(struct memory *memory) {
    tl_context_options options = {.size = sizeof options, .user = memory, .allocate = allocate, .release = release};
    tl_context *context = NULL;
    tl_context_create(&options, &context);
    return context;
}

const char *data_folder(void) {
    static char path[4096];
    const char *source = getenv("TL_TEST_SOURCE");
    snprintf(path, sizeof path, "%s/tests/formats/data", source ? source : ".");
    return path;
}

uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    uint8_t *data = malloc((size_t)length + 1);
    if (data && fread(data, 1, (size_t)length, file) == (size_t)length) {
        data[length] = 0;
        *size = (size_t)length;
    } else {
        free(data);
        data = NULL;
    }
    fclose(file);
    return data;
}

bool write_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    bool written = fwrite(data, 1, size, file) == size;
    return fclose(file) == 0 && written;
}

void put(struct bytes *bytes, const void *data, size_t size) {
    while (bytes->size + size > bytes->capacity) {
        bytes->capacity = bytes->capacity ? 2 * bytes->capacity : 256;
        bytes->data = realloc(bytes->data, bytes->capacity);
        if (!bytes->data)
            exit(99);
    }
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

void put_text(struct bytes *bytes, const char *text) {
    put(bytes, text, strlen(text));
}

void put_le(struct bytes *bytes, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++)
        put(bytes, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

bool write_bytes(struct bytes *bytes, const char *path) {
    bool written = write_file(path, bytes->data ? bytes->data : (const void *)"", bytes->size);
    free(bytes->data);
    *bytes = (struct bytes){0};
    return written;
}

tl__archive *open_bytes(tl_context *context, struct bytes *bytes, tl_status *status) {
    char path[512];
    tl__archive *archive = NULL;
    snprintf(path, sizeof path, "%s", temporary("bytes"));
    *status = write_bytes(bytes, path) ? tl__archive_open(context, path, &archive) : TL_ERROR_IO;
    unlink(path);
    return archive;
}

bool has_values(const tl__entry *entry, const float *values, int64_t count) {
    float *got = malloc((size_t)(count ? count : 1) * sizeof *got);
    if (!got)
        exit(99);
    bool same = entry && entry->count == count;
    if (same && count) {
        tl__entry_read_f32(entry, 0, count, got);
        same = memcmp(got, values, (size_t)count * sizeof *got) == 0;
    }
    free(got);
    return same;
}

void read_everything(const tl__archive *archive) {
    float values[4096];
    for (size_t i = 0; i < archive->entry_count; i++) {
        const tl__entry *entry = &archive->entries[i];
        for (int64_t first = 0, count; first < entry->count; first += count) {
            count = entry->count - first < 4096 ? entry->count - first : 4096;
            tl__entry_read_f32(entry, first, count, values);
        }
    }
}

static char folder[256];

const char *temporary(const char *name) {
    static char path[512];
    if (!folder[0]) {
        const char *where = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/libtl-formats-XXXXXX", where ? where : "/tmp");
        if (!mkdtemp(folder))
            exit(99);
        atexit(remove_temporary);
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

void remove_temporary(void) {
    DIR *entries = folder[0] ? opendir(folder) : NULL;
    struct dirent *entry;
    while (entries && (entry = readdir(entries)))
        if (entry->d_name[0] != '.')
            unlink(temporary(entry->d_name));
    if (entries)
        closedir(entries);
    if (folder[0])
        rmdir(folder);
    folder[0] = 0;
}
