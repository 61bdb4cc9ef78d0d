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
