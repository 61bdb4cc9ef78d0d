#include "core/core.h"

#include <stdio.h>

#include <xxhash.h>

tl__hash tl__hash_bytes(const void *data, size_t bytes, uint64_t seed) {
    XXH128_hash_t hash = XXH3_128bits_withSeed(data, bytes, seed);
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
