/* Any bytes as an image: an error that names it and touches nothing, or pixels. The sizes it is brought to follow from
 * the bytes. With clang: configure CC=clang CFLAGS='-g -O1 -fsanitize=fuzzer-no-link,address,undefined', make check,
 * then link this file with -fsanitize=fuzzer in the place of driver.c. */
#include "fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "data/reader.h"

#define MAX_CROP 80

const char fuzz_folder[] = "tests/data/pictures";

/* Whether more pixels are declared than a run should spend time on: they are allowed, and slow. */
static bool slow(const uint8_t *data, size_t size) {
    uint64_t most = 1 << 21;
    if (size > 24 && data[0] == 0x89)
        return fuzz_png_slow(data, size);
    for (size_t i = 0; i + 8 < size; i++)
        if (data[i] == 0xff && (data[i + 1] & 0xf0) == 0xc0 &&
            (uint64_t)(data[i + 5] << 8 | data[i + 6]) * (uint64_t)(data[i + 7] << 8 | data[i + 8]) > most)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (slow(data, size))
        return 0;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * 16777619u;
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    if (size && data[0] == 0x89 && hash & 64)
        fuzz_png_repair(copy, size);
    tl_preprocess p;
    tl_preprocess_init(&p, sizeof p);
    p.resize = hash % 4 ? (int)(hash >> 8) % 100 : 0;
    p.crop = 1 + (int)(hash >> 16) % MAX_CROP;
    p.alpha = (tl_alpha)(hash >> 24) % 3;
    p.decode = (tl_decode)(hash >> 7 & 1);
    tl_context *context;
    tl__reader *reader;
    if (tl_context_create(NULL, &context) != TL_OK || tl__reader_create(context, &p, &reader) != TL_OK)
        abort();
    static uint8_t rgb[MAX_CROP * MAX_CROP * 3], untouched[sizeof rgb];
    memset(rgb, 0xa5, sizeof rgb);
    memset(untouched, 0xa5, sizeof untouched);
    size_t bytes = (size_t)p.crop * (size_t)p.crop * 3;
    bool good = tl__reader_decode(reader, "NAME", copy, size, rgb) == TL_OK;
    if (memcmp(rgb + (good ? bytes : 0), untouched, sizeof rgb - (good ? bytes : 0)) != 0)
        abort();
    if (!good && !strstr(tl_context_message(context), "NAME"))
        abort();
    tl__reader_destroy(reader);
    tl_context_destroy(context);
    free(copy);
    return 0;
}
