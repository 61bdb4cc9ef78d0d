#include "core/core.h"

void tl__philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]) {
    uint32_t k0 = key[0], k1 = key[1], c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void tl__random_start(tl__random *random, uint64_t seed, uint64_t purpose) {
    *random = (tl__random){
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .counter = {0, 0, (uint32_t)purpose, (uint32_t)(purpose >> 32)},
        .used = 4,
    };
}

uint32_t tl__random_u32(tl__random *random) {
    if (random->used == 4) {
        tl__philox(random->key, random->counter, random->block);
        if (++random->counter[0] == 0)
            random->counter[1]++;
        random->used = 0;
    }
    return random->block[random->used++];
}

/* Lemire, "Fast Random Integer Generation in an Interval" (2019). */
uint32_t tl__random_below(tl__random *random, uint32_t bound) {
    uint64_t product = (uint64_t)tl__random_u32(random) * bound;
    if ((uint32_t)product < bound) {
        uint32_t threshold = -bound % bound;
        while ((uint32_t)product < threshold)
            product = (uint64_t)tl__random_u32(random) * bound;
    }
    return (uint32_t)(product >> 32);
}

double tl__random_unit(tl__random *random) {
    uint64_t high = tl__random_u32(random) >> 5, low = tl__random_u32(random) >> 6;
    return (double)(high << 26 | low) * 0x1p-53;
}

void tl__random_shuffle(tl__random *random, uint32_t *items, size_t count) {
    for (size_t i = count; i > 1; i--) {
        size_t j = tl__random_below(random, (uint32_t)i);
        uint32_t swap = items[i - 1];
        items[i - 1] = items[j];
        items[j] = swap;
    }
}
