/* int8.c: the inner loops of int8.h, by AVX512_VNNI and by AMX. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "backends/cpu/int8.h"

#ifdef TL_CPU_INT8

#include <cpuid.h>
#include <string.h>

#include "backends/cpu/amx.h"

#define WITH_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma")))
#define WITH_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define WITH_AMX __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,amx-tile,amx-int8")))
#define STEP CPU_BLOCK_STEP
#define WIDTH CPU_BLOCK_WIDTH

/* The operating system's part is in the device's instruction set already. */
cpu_int8_way tl__cpu_int8_way(const cpu_device *device) {
    unsigned a, b, c, d;
    const bool wide = device->isa == CPU_ISA_AVX512 || device->isa == CPU_ISA_AVX512BF16 || device->isa == CPU_ISA_AMX;
    if (!wide || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return CPU_INT8_PAIRS;
    if (device->isa == CPU_ISA_AMX && (d & (1u << 25)))
        return CPU_INT8_AMX;
    return c & (1u << 11) ? CPU_INT8_VNNI : CPU_INT8_PAIRS;
}

/* ---- products ---- */

/* Rows row .. row + height - 1; inlined with a constant. */
static inline __attribute__((always_inline)) WITH_VNNI void dot_rows(const cpu_int8_product *p, int row,
                                                                      const int height) {
    __m512i sum[8][2];
    UNROLL for (int i = 0; i < height; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_si512();
    const uint8_t *a = p->a + row * p->a_row;
    const int8_t *b = p->b;
    const char *soon = p->soon;
    for (int64_t k = 0; k < p->k;) {
        if (row == 0)
            fetch(&soon, p->soon_lines);
        for (const int64_t end = k + STEP; k < end; k += 4, b += 4 * WIDTH) {
            const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 64);
            UNROLL for (int i = 0; i < height; i++) {
                int32_t four;
                memcpy(&four, a + i * p->a_row + k, sizeof(four));
                const __m512i x = _mm512_set1_epi32(four);
                sum[i][0] = _mm512_dpbusd_epi32(sum[i][0], x, b0);
                sum[i][1] = _mm512_dpbusd_epi32(sum[i][1], x, b1);
            }
        }
    }
    UNROLL for (int i = 0; i < height; i++) {
        _mm512_storeu_si512(p->sums + (row + i) * WIDTH, sum[i][0]);
        _mm512_storeu_si512(p->sums + (row + i) * WIDTH + 16, sum[i][1]);
    }
}

WITH_VNNI void tl__cpu_int8_multiply_vnni(const cpu_int8_product *p) {
    int row = 0;
    for (; row + 8 <= p->rows; row += 8)
        dot_rows(p, row, 8);
    for (; row + 2 <= p->rows; row += 2)
        dot_rows(p, row, 2);
    for (; row < p->rows; row++)
        dot_rows(p, row, 1);
}

WITH_AMX void tl__cpu_int8_multiply_amx(const cpu_int8_product *p) {
    const size_t a_bytes = (size_t)p->a_row, b_bytes = 4 * WIDTH, y_bytes = WIDTH * sizeof(int32_t);
    const uint8_t *a = p->a;
    const int8_t *b = p->b;
    const char *soon = p->soon;
    PASS(a);
    _tile_zero(0);
    _tile_zero(1);
    if (p->rows <= 16) {
        for (int64_t k = 0; k < p->k; k += STEP, a += STEP, b += STEP * WIDTH) {
            _tile_loadd(4, a, a_bytes);
            _tile_loadd(6, b, b_bytes);
            _tile_loadd(7, b + 64, b_bytes);
            fetch(&soon, p->soon_lines);
            _tile_dpbusd(0, 4, 6);
            _tile_dpbusd(1, 4, 7);
        }
    } else {
        _tile_zero(2);
        _tile_zero(3);
        for (int64_t k = 0; k < p->k; k += STEP, a += STEP, b += STEP * WIDTH) {
            _tile_loadd(6, b, b_bytes);
            _tile_loadd(4, a, a_bytes);
            _tile_loadd(7, b + 64, b_bytes);
            _tile_loadd(5, a + 16 * p->a_row, a_bytes);
            fetch(&soon, p->soon_lines);
            _tile_dpbusd(0, 4, 6);
            _tile_dpbusd(1, 4, 7);
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        }
        _tile_stored(2, p->sums + 16 * WIDTH, y_bytes);
        _tile_stored(3, p->sums + 16 * WIDTH + 16, y_bytes);
    }
    _tile_stored(0, p->sums, y_bytes);
    _tile_stored(1, p->sums + 16, y_bytes);
}

/* ---- what ends rows ---- */

/* Above what s32 holds the conversion gives the sign bit alone, which as u32 is above 255 too. */
static inline WITH_AVX512 __m128i to_bytes(__m512 x, __m512 low) {
    return _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(_mm512_max_ps(x, low)));
}

static inline __attribute__((always_inline)) WITH_AVX512 void finish(const cpu_int8_rows *r, const bool residual) {
    const __m512 factor0 = _mm512_loadu_ps(r->factor), factor1 = _mm512_loadu_ps(r->factor + 16);
    const __m512 offset0 = _mm512_loadu_ps(r->offset), offset1 = _mm512_loadu_ps(r->offset + 16);
    const __m512 low = _mm512_set1_ps(r->low), more_factor = _mm512_set1_ps(r->residual_factor);
    const int32_t *sums = r->sums;
    const uint8_t *more = r->residual;
    uint8_t *y = r->y;
    for (int i = 0; i < r->rows; i++, sums += WIDTH, y += r->y_step) {
        __m512 x0 = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(sums)), factor0, offset0);
        __m512 x1 = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(sums + 16)), factor1, offset1);
        if (residual) {
            const __m128i m0 = _mm_loadu_si128((const __m128i *)more);
            const __m128i m1 = _mm_loadu_si128((const __m128i *)(more + 16));
            x0 = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(m0)), more_factor, x0);
            x1 = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(m1)), more_factor, x1);
            more += r->y_step;
        }
        _mm_storeu_si128((__m128i *)y, to_bytes(x0, low));
        _mm_storeu_si128((__m128i *)(y + 16), to_bytes(x1, low));
    }
}

WITH_AVX512 void tl__cpu_int8_finish(const cpu_int8_rows *rows) {
    if (rows->residual)
        finish(rows, true);
    else
        finish(rows, false);
}

#else

cpu_int8_way tl__cpu_int8_way(const cpu_device *device) {
    (void)device;
    return CPU_INT8_PAIRS;
}

#endif
