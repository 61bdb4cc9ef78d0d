/* int8.c: the inner loops of int8.h, by AVX512_VNNI and by AMX. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "backends/cpu/int8.h"
#include "backends/cpu/kernels.h"

#ifdef TL_CPU_INT8

#include <cpuid.h>
#include <string.h>

#include "backends/cpu/amx.h"

#define WITH_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma")))
#define WITH_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
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
static inline __attribute__((always_inline)) WITH_VNNI void dot_rows(const cpu_block_product *p, int row,
                                                                      const int height) {
    int32_t *sums = (int32_t *)p->sums + row * WIDTH;
    const uint8_t *a = p->a + row * p->a_row;
    const int8_t *b = p->b;
    __m512i sum[8][2];
    UNROLL for (int i = 0; i < height; i++)
        UNROLL for (int v = 0; v < 2; v++)
            sum[i][v] = p->add ? _mm512_loadu_si512(sums + i * WIDTH + v * 16) : _mm512_setzero_si512();
    for (int64_t t = 0; t < p->steps; t++) {
        const uint8_t *step = a + p->at[t];
        if (row == 0)
            fetch(p, t);
        for (const uint8_t *end = step + CPU_BLOCK_STEP; step < end; step += 4, b += 4 * WIDTH) {
            const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 64);
            UNROLL for (int i = 0; i < height; i++) {
                int32_t four;
                memcpy(&four, step + i * p->a_row, sizeof(four));
                const __m512i x = _mm512_set1_epi32(four);
                sum[i][0] = _mm512_dpbusd_epi32(sum[i][0], x, b0);
                sum[i][1] = _mm512_dpbusd_epi32(sum[i][1], x, b1);
            }
        }
    }
    UNROLL for (int i = 0; i < height; i++)
        UNROLL for (int v = 0; v < 2; v++)
            _mm512_storeu_si512(sums + i * WIDTH + v * 16, sum[i][v]);
}

WITH_VNNI void tl__cpu_int8_multiply_vnni(const cpu_block_product *p) {
    int row = 0;
    for (; row + 8 <= p->rows; row += 8)
        dot_rows(p, row, 8);
    for (; row + 2 <= p->rows; row += 2)
        dot_rows(p, row, 2);
    for (; row < p->rows; row++)
        dot_rows(p, row, 1);
}

WITH_TILES void tl__cpu_int8_multiply_amx(const cpu_block_product *p) {
    multiply_tiles(p, 1);
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

/* ---- what the instructions can do at most ---- */

static WITH_VNNI double peak_vnni(int64_t rounds) {
    __m512i sum[CPU_PEAK_CHAINS];
    const __m512i x = _mm512_set1_epi8(1);
    UNROLL for (int i = 0; i < CPU_PEAK_CHAINS; i++)
        sum[i] = _mm512_setzero_si512();
    for (int64_t round = 0; round < rounds; round++)
        UNROLL for (int i = 0; i < CPU_PEAK_CHAINS; i++) {
            sum[i] = _mm512_dpbusd_epi32(sum[i], x, x);
            CPU_PEAK_KEEP("v", sum[i]);
        }
    return 8.0 * 16 * CPU_PEAK_CHAINS * (double)rounds;
}

static WITH_TILES double peak_amx(int64_t rounds) {
    return peak_tiles(rounds, 1);
}

cpu_peak *tl__cpu_int8_peak(const cpu_device *device) {
    const cpu_int8_way way = tl__cpu_int8_way(device);
    return way == CPU_INT8_AMX ? peak_amx : way == CPU_INT8_VNNI ? peak_vnni : device->kernels->peak_pairs;
}

#else

cpu_int8_way tl__cpu_int8_way(const cpu_device *device) {
    (void)device;
    return CPU_INT8_PAIRS;
}

cpu_peak *tl__cpu_int8_peak(const cpu_device *device) {
    return device->kernels->peak_pairs;
}

#endif
