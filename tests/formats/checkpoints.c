/* checkpoints [DIR]: opens every weights file of a folder (default: tests/formats/data).
 *
 * expected.safetensors holds what the good files hold, and test.* besides. evil-* must be refused. missing-key*,
 * extra-key*, other-shape* and other-head* are good files that differ from it as they are called. All others must hold
 * exactly its tensors: bit for bit, or rounded to their own type. */
#include "support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MARKER "/tmp/libtl-was-here"
#define MAX_SECONDS 10.0

/* What opening may take: a fixed part, and a part for each byte of the file. */
#define FIXED_BYTES ((size_t)64 << 10)
#define BYTES_A_BYTE ((size_t)32)

static int number;
static bool all_good = true;

static void result(bool good, const char *name, const char *format, ...) TL__PRINTF(3, 4);
static void result(bool good, const char *name, const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("%s %d - %s: ", good ? "ok" : "not ok", ++number, name);
    vprintf(format, args);
    printf("\n");
    fflush(stdout);
    va_end(args);
    all_good &= good;
}

static bool starts(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *text, const char *suffix) {
    size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && strcmp(text + length - tail, suffix) == 0;
}

/* The value as the type can hold it. */
static float rounded(float value, int dtype) {
    if (dtype == TL_DTYPE_F16)
        return tl__f16_to_f32(tl__f32_to_f16(value));
    if (dtype == TL_DTYPE_BF16)
        return tl__bf16_to_f32(tl__f32_to_bf16(value));
    return value;
}

static bool same_shape(const tl__entry *a, const tl__entry *b) {
    return a->rank == b->rank && memcmp(a->shape, b->shape, sizeof a->shape[0] * (size_t)a->rank) == 0;
}

static bool same_values(const tl__entry *got, const tl__entry *wanted) {
    enum { CHUNK = 1000 }; /* not a divisor of the shapes, so that reading starts anywhere */
    float a[CHUNK], b[CHUNK];
    for (int64_t first = 0; first < wanted->count; first += CHUNK) {
        int64_t count = wanted->count - first < CHUNK ? wanted->count - first : CHUNK;
        tl__entry_read_f32(got, first, count, a);
        tl__entry_read_f32(wanted, first, count, b);
        for (int64_t i = 0; i < count; i++) {
            float value = rounded(b[i], got->dtype);
            if (memcmp(&a[i], &value, sizeof value) != 0 && !(isnan(a[i]) && isnan(value)))
                return false;
        }
    }
    return true;
}

struct difference {
    int missing, extra, shape, head_shape, value;
    char first[200];
};

static void note(struct difference *difference, int *kind, const char *name) {
    if (!difference->first[0])
        snprintf(difference->first, sizeof difference->first, "%s", name);
    ++*kind;
}

static struct difference compare(const tl__archive *archive, const tl__archive *expected) {
    struct difference found = {0};
    for (size_t i = 0; i < expected->entry_count; i++) {
        const tl__entry *wanted = &expected->entries[i], *got = tl__archive_find(archive, wanted->name);
        bool head = starts(wanted->name, "fc.") || starts(wanted->name, "classifier.");
        if (starts(wanted->name, "test."))
            continue;
        if (!got)
            note(&found, &found.missing, wanted->name);
        else if (!same_shape(got, wanted))
            note(&found, head ? &found.head_shape : &found.shape, wanted->name);
        else if (!same_values(got, wanted))
            note(&found, &found.value, wanted->name);
    }
    for (size_t i = 0; i < archive->entry_count; i++)
        if (!tl__archive_find(expected, archive->entries[i].name))
            note(&found, &found.extra, archive->entries[i].name);
    return found;
}

static void check_good(const char *name, const tl__archive *archive, const tl__archive *expected) {
    struct difference d = compare(archive, expected);
    int *allowed = starts(name, "missing-key")   ? &d.missing
                   : starts(name, "extra-key")   ? &d.extra
                   : starts(name, "other-shape") ? &d.shape
                   : starts(name, "other-head")  ? &d.head_shape
                                                 : NULL;
    bool differs = !allowed || *allowed > 0;
    if (allowed)
        *allowed = 0;
    bool good = differs && d.missing + d.extra + d.shape + d.head_shape + d.value == 0;
    if (good)
        result(true, name, "%s, %zu tensors%s%s", archive->format, archive->entry_count,
               allowed ? ", differs as it should: " : "", d.first);
    else
        result(false, name, "missing %d, extra %d, other shapes %d + %d, other values %d; first: %s", d.missing,
               d.extra, d.shape, d.head_shape, d.value, d.first);
}

static void check_file(const char *folder, const char *name, const tl__archive *expected) {
    char path[4096];
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    free(read_file(path, &size));

    struct memory memory = {0};
    tl_context *context = context_with(&memory);
    tl__archive *archive = NULL;
    struct timespec start, end;
    size_t before = memory.used, blocks = memory.blocks;
    clock_gettime(CLOCK_MONOTONIC, &start);
    tl_status status = tl__archive_open(context, path, &archive);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    size_t peak = memory.peak - before;
    const char *message = tl_context_message(context);

    if (access(MARKER, F_OK) == 0)
        result(false, name, "something in it was executed");
    else if (peak > FIXED_BYTES + BYTES_A_BYTE * size)
        result(false, name, "took %zu bytes for a file of %zu", peak, size);
    else if (seconds > MAX_SECONDS)
        result(false, name, "took %.1f s", seconds);
    else if (status != TL_OK && archive)
        result(false, name, "failed and yet gave an archive");
    else if (starts(name, "evil-"))
        result(status != TL_OK && strstr(message, name), name, "%s",
               status != TL_OK ? message : "was opened, but should have been refused");
    else if (status != TL_OK)
        result(false, name, "%s", message);
    else
        check_good(name, archive, expected);
    tl__archive_close(archive);
    if (memory.blocks != blocks)
        result(false, name, "leaks %zu blocks", memory.blocks - blocks);
    tl_context_destroy(context);
}

static int compare_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : data_folder();
    static char *names[10000];
    char path[4096];
    int count = 0;
    DIR *entries = opendir(folder);
    struct dirent *entry;
    while (entries && (entry = readdir(entries)) && count < 10000)
        if (ends(entry->d_name, ".pth") || ends(entry->d_name, ".pt") || ends(entry->d_name, ".safetensors") ||
            ends(entry->d_name, ".onnx"))
            names[count++] = strdup(entry->d_name);
    if (entries)
        closedir(entries);
    qsort(names, (size_t)count, sizeof *names, compare_text);

    struct memory memory = {0};
    tl_context *context = context_with(&memory);
    tl__archive *expected = NULL;
    unlink(MARKER);
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    tl_status status = tl__archive_open(context, path, &expected);
    result(status == TL_OK, "expected.safetensors", "%s", status == TL_OK ? "opened" : tl_context_message(context));
    for (int i = 0; i < count; i++) {
        if (expected && strcmp(names[i], "expected.safetensors") != 0)
            check_file(folder, names[i], expected);
        free(names[i]);
    }
    tl__archive_close(expected);
    tl_context_destroy(context);
    printf("1..%d\n", number);
    return all_good ? 0 : 1;
}
