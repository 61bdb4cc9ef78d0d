/* bf16.c: the inner loops of bf16.h, by AVX512_BF16 and by AMX. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "backends/cpu/bf16.h"

#ifdef TL_CPU_BF16

#include <string.h>

#include "backends/cpu/amx.h"

#define WITH_DOT __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define WITH_AMX __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,amx-tile,amx-bf16")))
#define STEP CPU_BF16_DEPTH

/* ---- what ends rows ---- */

static inline WITH_DOT __m512 widen(__m256i x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

/* max(x, 0), NaN stays NaN: the second operand wins where one is. */
static inline WITH_DOT __m512 rectify(__m512 x) {
    return _mm512_max_ps(_mm512_setzero_ps(), x);
}

static inline __attribute__((always_inline)) WITH_DOT void finish(const cpu_stored_rows *r, const bool residual) {
    const __m512 zero = _mm512_setzero_ps();
    const __m512 bias0 = r->bias ? _mm512_loadu_ps(r->bias) : zero, bias1 = r->bias ? _mm512_loadu_ps(r->bias + 16) : zero;
    const float *sums = r->sums;
    uint16_t *y = r->y;
    const uint16_t *more = r->residual;
    for (int i = 0; i < r->rows; i++, sums += r->step, y += r->y_step) {
        __m512 x0 = _mm512_add_ps(_mm512_loadu_ps(sums), bias0), x1 = _mm512_add_ps(_mm512_loadu_ps(sums + 16), bias1);
        if (residual) {
            const __m512i both = _mm512_loadu_si512(more);
            x0 = _mm512_add_ps(x0, widen(_mm512_castsi512_si256(both)));
            x1 = _mm512_add_ps(x1, widen(_mm512_extracti64x4_epi64(both, 1)));
            more += r->y_step;
        }
        if (r->relu) {
            x0 = rectify(x0);
            x1 = rectify(x1);
        }
        _mm512_storeu_si512(y, (__m512i)_mm512_cvtne2ps_pbh(x1, x0));
    }
}

WITH_DOT void tl__cpu_bf16_finish(const cpu_stored_rows *rows) {
    if (rows->residual)
        finish(rows, true);
    else
        finish(rows, false);
}

/* ---- products ---- */

/* Rows row .. row + height - 1; inlined with a constant. */
static inline __attribute__((always_inline)) WITH_DOT void dot_rows(const cpu_bf16_product *p, int row, const int height) {
    __m512 sum[8][2];
    UNROLL for (int i = 0; i < height; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    const uint16_t *a = p->a + row * p->a_row, *b = p->b;
    const char *soon = p->soon;
    for (int64_t k = 0; k < p->k;) {
        if (row == 0)
            fetch(&soon, p->soon_lines);
        for (const int64_t end = k + STEP; k < end; k += 2, b += 2 * CPU_BLOCK_WIDTH) {
            const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + 32);
            UNROLL for (int i = 0; i < height; i++) {
                int32_t pair;
                memcpy(&pair, a + i * p->a_row + k, sizeof(pair));
                const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
                sum[i][0] = _mm512_dpbf16_ps(sum[i][0], x, b0);
                sum[i][1] = _mm512_dpbf16_ps(sum[i][1], x, b1);
            }
        }
    }
    UNROLL for (int i = 0; i < height; i++) {
        _mm512_storeu_ps(p->sums + (row + i) * CPU_BLOCK_WIDTH, sum[i][0]);
        _mm512_storeu_ps(p->sums + (row + i) * CPU_BLOCK_WIDTH + 16, sum[i][1]);
    }
}

WITH_DOT void tl__cpu_bf16_multiply_dot(const cpu_bf16_product *p) {
    int row = 0;
    for (; row + 8 <= p->rows; row += 8)
        dot_rows(p, row, 8);
    for (; row + 2 <= p->rows; row += 2)
        dot_rows(p, row, 2);
    for (; row < p->rows; row++)
        dot_rows(p, row, 1);
}

/* Eight tiles of 16 rows of 64 bytes. */
WITH_AMX void tl__cpu_amx_begin(void) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    PASS(&config);
    _tile_loadconfig(&config);
}

WITH_AMX void tl__cpu_amx_end(void) {
    _tile_release();
}

WITH_AMX void tl__cpu_bf16_multiply_amx(const cpu_bf16_product *p) {
    const size_t a_bytes = (size_t)p->a_row * sizeof(*p->a), b_bytes = 2 * CPU_BLOCK_WIDTH * sizeof(*p->b);
    const size_t y_bytes = CPU_BLOCK_WIDTH * sizeof(float);
    const uint16_t *a = p->a, *b = p->b;
    const char *soon = p->soon;
    PASS(a);
    _tile_zero(0);
    _tile_zero(1);
    if (p->rows <= 16) {
        for (int64_t k = 0; k < p->k; k += STEP, a += STEP, b += STEP * CPU_BLOCK_WIDTH) {
            _tile_loadd(4, a, a_bytes);
            _tile_loadd(6, b, b_bytes);
            _tile_loadd(7, b + 32, b_bytes);
            fetch(&soon, p->soon_lines);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
        }
    } else {
        _tile_zero(2);
        _tile_zero(3);
        for (int64_t k = 0; k < p->k; k += STEP, a += STEP, b += STEP * CPU_BLOCK_WIDTH) {
            _tile_loadd(6, b, b_bytes);
            _tile_loadd(4, a, a_bytes);
            _tile_loadd(7, b + 32, b_bytes);
            _tile_loadd(5, a + 16 * p->a_row, a_bytes);
            fetch(&soon, p->soon_lines);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(2, p->sums + 16 * CPU_BLOCK_WIDTH, y_bytes);
        _tile_stored(3, p->sums + 16 * CPU_BLOCK_WIDTH + 16, y_bytes);
    }
    _tile_stored(0, p->sums, y_bytes);
    _tile_stored(1, p->sums + 16, y_bytes);
}

#endif
