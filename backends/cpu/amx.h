/* amx.h: what products by AVX-512 and AMX share, of bf16 and of bytes; for files that use these instructions. */
#ifndef TL_CPU_AMX_H
#define TL_CPU_AMX_H

#include <immintrin.h>
#include <stdint.h>

#include "backends/cpu/unroll.h"

/* What the tile instructions read has been written before them: not every compiler's headers say that they read. */
#define PASS(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

static inline void fetch(const char **soon, int64_t lines) {
    for (int64_t i = 0; i < lines; i++, *soon += 64)
        _mm_prefetch(*soon, _MM_HINT_T1);
}

#endif
