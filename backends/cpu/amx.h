/* amx.h: what products by AVX-512 and AMX share, of bf16 and of bytes; for files that use these instructions. */
#ifndef TL_CPU_AMX_H
#define TL_CPU_AMX_H

#include <immintrin.h>
#include <stdint.h>

#include "backends/cpu/bf16.h"
#include "backends/cpu/blocks.h"
#include "backends/cpu/unroll.h"

/* What the tile instructions read has been written before them: not every compiler's headers say that they read. */
#define PASS(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

/* What step t of a product brings near. */
static inline void fetch(const cpu_block_product *p, int64_t t) {
    for (int s = 0; s < CPU_BLOCK_STREAMS; s++) {
        const char *from = p->soon[s] + t * p->lines[s] * 64;
        for (int i = 0; i < p->lines[s]; i++, from += 64)
            if (s < CPU_BLOCK_STREAMS - 1)
                _mm_prefetch(from, _MM_HINT_T1);
            else
                __builtin_prefetch(from, 1);
    }
}

#define WITH_TILES __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,amx-tile,amx-int8,amx-bf16")))
#define TIMES(sums, rows, columns)                                                                                   \
    do {                                                                                                             \
        if (bytes)                                                                                                   \
            _tile_dpbusd(sums, rows, columns);                                                                       \
        else                                                                                                         \
            _tile_dpbf16ps(sums, rows, columns);                                                                     \
    } while (0)

/* Rows times a panel, of bytes or of bf16; inlined with a constant. Tiles 0 to 3 are sums, 4 and 5 rows, 6 and 7 columns. */
static inline __attribute__((always_inline)) WITH_TILES void multiply_tiles(const cpu_block_product *p, const int bytes) {
    enum { LINE = 4 * CPU_BLOCK_WIDTH, RIGHT = LINE / 2, BELOW = 16 * LINE }; /* of sums, and of b for four bytes of k */
    const uint8_t *b = p->b;
    char *sums = p->sums;
    const size_t a_row = (size_t)p->a_row;
    const int below = p->rows > 16;
    PASS(p->a);
    if (p->add) {
        _tile_loadd(0, sums, LINE);
        _tile_loadd(1, sums + RIGHT, LINE);
    } else {
        _tile_zero(0);
        _tile_zero(1);
    }
    if (p->add && below) {
        _tile_loadd(2, sums + BELOW, LINE);
        _tile_loadd(3, sums + BELOW + RIGHT, LINE);
    } else {
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t t = 0; t < p->steps; t++, b += CPU_BLOCK_STEP / 4 * LINE) {
        const uint8_t *a = p->a + p->at[t];
        _tile_loadd(6, b, LINE);
        _tile_loadd(4, a, a_row);
        _tile_loadd(7, b + RIGHT, LINE);
        if (below)
            _tile_loadd(5, a + 16 * a_row, a_row);
        fetch(p, t);
        TIMES(0, 4, 6);
        TIMES(1, 4, 7);
        if (!below)
            continue;
        TIMES(2, 5, 6);
        TIMES(3, 5, 7);
    }
    _tile_stored(0, sums, LINE);
    _tile_stored(1, sums + RIGHT, LINE);
    if (below) {
        _tile_stored(2, sums + BELOW, LINE);
        _tile_stored(3, sums + BELOW + RIGHT, LINE);
    }
}

/* What the tiles can do at most, with as many sums as in a product of 32 rows; see peak.h. */
static inline __attribute__((always_inline)) WITH_TILES double peak_tiles(int64_t rounds, const int bytes) {
    tl__cpu_amx_begin();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    for (int64_t round = 0; round < rounds; round++) {
        TIMES(0, 4, 5);
        TIMES(1, 4, 5);
        TIMES(2, 4, 5);
        TIMES(3, 4, 5);
    }
    tl__cpu_amx_end();
    return 4.0 * (2 * 16 * 16 * CPU_BLOCK_STEP) / (bytes ? 1 : 2) * (double)rounds;
}

#endif
