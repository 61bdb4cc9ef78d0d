/* Any bytes as a weights file: an error, or an archive all of whose values can be read, within the memory that the
 * size explains. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "formats/formats.h"

const char fuzz_folder[] = "tests/formats/data";

struct memory {
    size_t used, limit;
};

static void *allocate(void *user, size_t bytes, size_t alignment) {
    struct memory *memory = user;
    void *block;
    if (posix_memalign(&block, alignment < 64 ? 64 : alignment, bytes + 64) != 0)
        return NULL;
    *(size_t *)block = bytes;
    memory->used += bytes;
    if (memory->used > memory->limit)
        abort();
    return (char *)block + 64;
}

static void release(void *user, void *data) {
    struct memory *memory = user;
    memory->used -= *(size_t *)((char *)data - 64);
    free((char *)data - 64);
}

static void read_all(const tl__archive *archive) {
    float values[1024];
    for (size_t i = 0; i < archive->entry_count; i++) {
        const tl__entry *entry = &archive->entries[i];
        if (tl__archive_find(archive, entry->name) != entry)
            abort();
        for (int64_t first = 0, count; first < entry->count; first += count) {
            count = entry->count - first < 1024 ? entry->count - first : 1024;
            tl__entry_read_f32(entry, first, count, values);
        }
    }
    for (size_t i = 0; i < archive->layer_count; i++)
        if (archive->layers[i].weight >= archive->entry_count ||
            (archive->layers[i].bias >= archive->entry_count && archive->layers[i].bias != SIZE_MAX))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char path[64];
    static int fd;
    if (!path[0]) {
        snprintf(path, sizeof path, "/tmp/libtl-fuzz-XXXXXX");
        fd = mkstemp(path);
        if (fd < 0)
            abort();
        unlink(path);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    struct memory memory = {.limit = ((size_t)64 << 10) + 32 * size};
    tl_context_options options = {.size = sizeof options, .user = &memory, .allocate = allocate, .release = release};
    tl_context *context;
    tl__archive *archive = NULL;
    if (tl_context_create(&options, &context) != TL_OK)
        abort();
    if (tl__archive_open(context, path, &archive) == TL_OK)
        read_all(archive);
    else if (archive || !tl_context_message(context)[0])
        abort();
    tl__archive_close(archive);
    tl_context_destroy(context);
    if (memory.used)
        abort();
    return 0;
}
