/* bf16.c: the inner loops of bf16.h, by AVX512_BF16 and by AMX. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "backends/cpu/bf16.h"

#ifdef TL_CPU_BF16

#include <string.h>

#include "backends/cpu/amx.h"
#include "backends/cpu/peak.h"

#define WITH_DOT __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))

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
static inline __attribute__((always_inline)) WITH_DOT void dot_rows(const cpu_block_product *p, int row, const int height) {
    float *sums = (float *)p->sums + row * CPU_BLOCK_WIDTH;
    const uint8_t *a = p->a + row * p->a_row;
    const uint16_t *b = p->b;
    __m512 sum[8][2];
    UNROLL for (int i = 0; i < height; i++)
        UNROLL for (int v = 0; v < 2; v++)
            sum[i][v] = p->add ? _mm512_loadu_ps(sums + i * CPU_BLOCK_WIDTH + v * 16) : _mm512_setzero_ps();
    for (int64_t t = 0; t < p->steps; t++) {
        const uint8_t *step = a + p->at[t];
        if (row == 0)
            fetch(p, t);
        for (const uint8_t *end = step + CPU_BLOCK_STEP; step < end; step += 4, b += 2 * CPU_BLOCK_WIDTH) {
            const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + 32);
            UNROLL for (int i = 0; i < height; i++) {
                int32_t pair;
                memcpy(&pair, step + i * p->a_row, sizeof(pair));
                const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
                sum[i][0] = _mm512_dpbf16_ps(sum[i][0], x, b0);
                sum[i][1] = _mm512_dpbf16_ps(sum[i][1], x, b1);
            }
        }
    }
    UNROLL for (int i = 0; i < height; i++)
        UNROLL for (int v = 0; v < 2; v++)
            _mm512_storeu_ps(sums + i * CPU_BLOCK_WIDTH + v * 16, sum[i][v]);
}

WITH_DOT void tl__cpu_bf16_multiply_dot(const cpu_block_product *p) {
    int row = 0;
    for (; row + 8 <= p->rows; row += 8)
        dot_rows(p, row, 8);
    for (; row + 2 <= p->rows; row += 2)
        dot_rows(p, row, 2);
    for (; row < p->rows; row++)
        dot_rows(p, row, 1);
}

/* Eight tiles of 16 rows of 64 bytes. */
WITH_TILES void tl__cpu_amx_begin(void) {
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

WITH_TILES void tl__cpu_amx_end(void) {
    _tile_release();
}

WITH_TILES void tl__cpu_bf16_multiply_amx(const cpu_block_product *p) {
    multiply_tiles(p, 0);
}

/* ---- what the instructions can do at most ---- */

static WITH_DOT double peak_dot(int64_t rounds) {
    __m512 sum[CPU_PEAK_CHAINS];
    const __m512bh x = (__m512bh)_mm512_set1_epi32(0x3c003c00);
    UNROLL for (int i = 0; i < CPU_PEAK_CHAINS; i++)
        sum[i] = _mm512_setzero_ps();
    for (int64_t round = 0; round < rounds; round++)
        UNROLL for (int i = 0; i < CPU_PEAK_CHAINS; i++) {
            sum[i] = _mm512_dpbf16_ps(sum[i], x, x);
            CPU_PEAK_KEEP("v", sum[i]);
        }
    return 4.0 * 16 * CPU_PEAK_CHAINS * (double)rounds;
}

static WITH_TILES double peak_amx(int64_t rounds) {
    return peak_tiles(rounds, 0);
}

cpu_peak *tl__cpu_bf16_peak(const cpu_device *device) {
    return device->isa == CPU_ISA_AMX ? peak_amx : device->isa == CPU_ISA_AVX512BF16 ? peak_dot : NULL;
}

#else

cpu_peak *tl__cpu_bf16_peak(const cpu_device *device) {
    (void)device;
    return NULL;
}

#endif
