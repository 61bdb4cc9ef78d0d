/* quantised.c: loops over values that are stored in 8 bits; compiled for each instruction set. */
#include <stdbool.h>
#include <string.h>

#include "backends/cpu/kernels.h"
#include "backends/cpu/quantised.h"
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define WIDTH CPU_BLOCK_WIDTH
#define STEP CPU_BLOCK_STEP

/* ---- products: pairs of s16, whose sums of two fit s32 ---- */

#if defined(__AVX512BW__)
typedef __m512i lanes;
#define LANES 16
#define LOAD(p) _mm512_loadu_si512(p)
#define STORE(p, x) _mm512_storeu_si512(p, x)
#define PAIR(x) _mm512_set1_epi32(x)
#define MULTIPLY_ADD(sum, x, y) _mm512_add_epi32(sum, _mm512_madd_epi16(x, y))
#define KEEP(x) CPU_PEAK_KEEP("v", x)
#elif defined(__AVX2__)
typedef __m256i lanes;
#define LANES 8
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, x) _mm256_storeu_si256((__m256i *)(p), x)
#define PAIR(x) _mm256_set1_epi32(x)
#define MULTIPLY_ADD(sum, x, y) _mm256_add_epi32(sum, _mm256_madd_epi16(x, y))
#define KEEP(x) CPU_PEAK_KEEP("x", x)
#elif defined(__SSE2__)
typedef __m128i lanes;
#define LANES 4
#define LOAD(p) _mm_loadu_si128((const __m128i *)(p))
#define STORE(p, x) _mm_storeu_si128((__m128i *)(p), x)
#define PAIR(x) _mm_set1_epi32(x)
#define MULTIPLY_ADD(sum, x, y) _mm_add_epi32(sum, _mm_madd_epi16(x, y))
#define KEEP(x) CPU_PEAK_KEEP("x", x)
#endif

#ifdef LANES
#define VECTORS (WIDTH / LANES)
#define TOGETHER (VECTORS > 4 ? 1 : 8 / VECTORS) /* rows: eight sums hide the latency and leave registers */
#define SPAN 512 /* of k: rows of it, widened, stay in the first cache */

/* `height` rows from a part of k on, added to what is there unless it is the first; inlined with a constant. */
static inline __attribute__((always_inline)) void multiply_part(const int16_t a[][SPAN], const int16_t *b, int64_t k,
                                                                int32_t *to, const int height, int first) {
    lanes sum[TOGETHER][VECTORS];
    for (int i = 0; i < height; i++)
        for (int v = 0; v < VECTORS; v++)
            sum[i][v] = first ? PAIR(0) : LOAD(to + i * WIDTH + v * LANES);
    for (int64_t at = 0; at < k; at += 2, b += 2 * WIDTH) {
        lanes x[TOGETHER];
        for (int i = 0; i < height; i++) {
            int32_t pair;
            memcpy(&pair, a[i] + at, sizeof pair);
            x[i] = PAIR(pair);
        }
        for (int v = 0; v < VECTORS; v++) {
            const lanes y = LOAD(b + v * 2 * LANES);
            for (int i = 0; i < height; i++)
                sum[i][v] = MULTIPLY_ADD(sum[i][v], x[i], y);
        }
    }
    for (int i = 0; i < height; i++)
        for (int v = 0; v < VECTORS; v++)
            STORE(to + i * WIDTH + v * LANES, sum[i][v]);
}

static void multiply_rows(const cpu_block_product *p, int row, const int height) {
    int16_t wide[TOGETHER][SPAN];
    const int16_t *b = p->b;
    int32_t *sums = (int32_t *)p->sums + row * WIDTH;
    const uint8_t *a = p->a + row * p->a_row;
    for (int64_t t = 0; t < p->steps; t += SPAN / STEP, b += SPAN * WIDTH) {
        const int64_t count = p->steps - t < SPAN / STEP ? p->steps - t : SPAN / STEP;
        for (int i = 0; i < height; i++)
            for (int64_t s = 0; s < count; s++)
                for (int64_t k = 0; k < STEP; k++)
                    wide[i][s * STEP + k] = a[i * p->a_row + p->at[t + s] + k];
        const int first = t == 0 && !p->add;
        if (height == TOGETHER)
            multiply_part(wide, b, count * STEP, sums, TOGETHER, first);
        else
            multiply_part(wide, b, count * STEP, sums, 1, first);
    }
}

void CPU_NAME(quantised_multiply)(const cpu_block_product *p) {
    int row = 0;
    for (; row + TOGETHER <= p->rows; row += TOGETHER)
        multiply_rows(p, row, TOGETHER);
    for (; row < p->rows; row++)
        multiply_rows(p, row, 1);
}

double CPU_NAME(peak_pairs)(int64_t rounds) {
    lanes sum[CPU_PEAK_CHAINS];
    const lanes x = PAIR(0x00010001);
#pragma GCC unroll 16
    for (int i = 0; i < CPU_PEAK_CHAINS; i++)
        sum[i] = PAIR(i);
    for (int64_t round = 0; round < rounds; round++)
#pragma GCC unroll 16
        for (int i = 0; i < CPU_PEAK_CHAINS; i++) {
            sum[i] = MULTIPLY_ADD(sum[i], x, sum[i]); /* of what changes, or the product would be made once */
            KEEP(sum[i]);
        }
    return 4.0 * CPU_PEAK_CHAINS * LANES * (double)rounds;
}
#else
void CPU_NAME(quantised_multiply)(const cpu_block_product *p) {
    for (int row = 0; row < p->rows; row++) {
        const int16_t *b = p->b;
        int32_t *sums = (int32_t *)p->sums + row * WIDTH, sum[WIDTH] = {0};
        if (p->add)
            memcpy(sum, sums, sizeof sum);
        for (int64_t t = 0; t < p->steps; t++) {
            const uint8_t *a = p->a + row * p->a_row + p->at[t];
            for (int64_t k = 0; k < STEP; k += 2, b += 2 * WIDTH)
                for (int o = 0; o < WIDTH; o++)
                    sum[o] += a[k] * b[2 * o] + a[k + 1] * b[2 * o + 1];
        }
        memcpy(sums, sum, sizeof sum);
    }
}

double CPU_NAME(peak_pairs)(int64_t rounds) {
    (void)rounds;
    return 0;
}
#endif

/* ---- what ends rows ---- */

/* To nearest, ties to even, of what is limited to low .. 255: beside so large a number there is no fraction. NaN does
 * not come up: sums are integers and what they are multiplied with is finite. */
static inline uint8_t round_to_byte(float x, float low) {
    const float large = 12582912.0f; /* 1.5 * 2^23 */
    x = x > low ? x : low;
    x = x < 255.0f ? x : 255.0f;
    float shifted = x + large;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (uint8_t)bits; /* the low bits of the mantissa */
}

static inline __attribute__((always_inline)) void finish_row(const cpu_int8_rows *r, int row, const int columns,
                                                             const int residual, const int f32) {
    const int32_t *sums = r->sums + row * WIDTH;
    const uint8_t *more = residual ? r->residual + row * r->y_step : NULL;
    uint8_t *narrow = (uint8_t *)r->y + row * r->y_step;
    float *wide = (float *)r->y + row * r->y_step;
    float x[WIDTH];
    for (int c = 0; c < columns; c++)
        x[c] = __builtin_fmaf((float)sums[c], r->factor[c], r->offset[c]);
    for (int c = 0; residual && c < columns; c++)
        x[c] = __builtin_fmaf((float)more[c], r->residual_factor, x[c]);
    for (int c = 0; !f32 && c < columns; c++)
        narrow[c] = round_to_byte(x[c], r->low);
    for (int c = 0; f32 && c < columns; c++)
        wide[c] = r->relu && x[c] < 0 ? 0 : x[c];
}

void CPU_NAME(quantised_finish)(const cpu_int8_rows *r) {
    for (int row = 0; row < r->rows; row++)
        if (r->f32)
            finish_row(r, row, r->columns, r->residual != NULL, 1);
        else if (r->residual)
            finish_row(r, row, r->columns, 1, 0);
        else
            finish_row(r, row, r->columns, 0, 0);
}

/* ---- others ---- */

void CPU_NAME(quantised_look_up)(uint8_t *y, const uint8_t *x, const uint8_t *tables, size_t rows, size_t channels) {
    for (size_t r = 0; r < rows; r++, x += channels, y += channels)
        for (size_t c = 0; c < channels; c++)
            y[c] = tables[256 * c + x[c]];
}

/* The taps [*first, *last) of a window that fall inside 0 .. size - 1. */
static void inside(int64_t start, int64_t size, int64_t taps, int64_t dilation, int64_t *first, int64_t *last) {
    *first = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
    int64_t end = start >= size ? 0 : (size - 1 - start) / dilation + 1;
    *last = end < taps ? end : taps;
}

static inline void larger(uint8_t best[STEP], const uint8_t *x) {
    for (int k = 0; k < STEP; k++)
        best[k] = x[k] > best[k] ? x[k] : best[k];
}

void CPU_NAME(quantised_maxpool)(uint8_t *y, const uint8_t *x, const cpu_pool *p, int64_t oh) {
    int64_t i0, i1, j0, j1, top = oh * p->stride[0] - p->pad[0];
    const int64_t row = p->dilation[0] * p->w * p->c, column = p->dilation[1] * p->c;
    inside(top, p->h, p->kernel[0], p->dilation[0], &i0, &i1);
    for (int64_t ow = 0; ow < p->ow; ow++, y += p->c) {
        int64_t left = ow * p->stride[1] - p->pad[1];
        inside(left, p->w, p->kernel[1], p->dilation[1], &j0, &j1);
        const uint8_t *from = x + (top * p->w + left) * p->c;
        int64_t c = 0;
        for (; c + STEP <= p->c; c += STEP) {
            uint8_t best[STEP] = {0};
            for (int64_t i = i0; i < i1; i++)
                for (int64_t j = j0; j < j1; j++)
                    larger(best, from + i * row + j * column + c);
            memcpy(y + c, best, STEP);
        }
        for (; c < p->c; c++) {
            uint8_t best = 0;
            for (int64_t i = i0; i < i1; i++)
                for (int64_t j = j0; j < j1; j++) {
                    const uint8_t value = from[i * row + j * column + c];
                    best = value > best ? value : best;
                }
            y[c] = best;
        }
    }
}

void CPU_NAME(quantised_mean)(const cpu_int8_mean *m) {
    enum { PART = 64 };
    for (int64_t c = 0; c < m->channels; c += PART) {
        const int count = (int)(m->channels - c < PART ? m->channels - c : PART);
        int32_t sum[PART] = {0};
        for (int64_t i = 0; i < m->height; i++)
            for (int64_t j = 0; j < m->width; j++) {
                const uint8_t *from = m->x + i * m->pitch + j * m->step + c;
                for (int k = 0; k < count; k++)
                    sum[k] += from[k];
            }
        for (int k = 0; k < count; k++) {
            const float x = __builtin_fmaf((float)sum[k], m->factor, m->offset);
            if (m->f32)
                ((float *)m->y)[c + k] = x;
            else
                ((uint8_t *)m->y)[c + k] = round_to_byte(x, 0);
        }
    }
}
