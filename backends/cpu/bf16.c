/* bf16.c: the inner loops of bf16.h, by AVX512_BF16 and by AMX. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "backends/cpu/bf16.h"

#ifdef TL_CPU_BF16

#include <immintrin.h>
#include <string.h>

#define WITH_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define WITH_DOT __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define WITH_AMX __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,amx-tile,amx-bf16")))
#define STEP CPU_BF16_DEPTH

/* ---- rows ---- */

/* Both write up to STEP - 1 elements too many, over what comes next or into the space between rows; the source is
 * readable as far (CPU_PADDING). */
static inline WITH_AVX512 uint16_t *copy(uint16_t *to, const uint16_t *from, int64_t count) {
    for (int64_t i = 0; i < count; i += STEP)
        _mm512_storeu_si512(to + i, _mm512_loadu_si512(from + i));
    return to + count;
}

static inline WITH_AVX512 uint16_t *clear(uint16_t *to, int64_t count) {
    for (int64_t i = 0; i < count; i += STEP)
        _mm512_storeu_si512(to + i, _mm512_setzero_si512());
    return to + count;
}

/* One row of the kernel: taps from x0 on in a line of the source. */
static inline WITH_AVX512 uint16_t *gather_line(const cpu_bf16_source *s, const uint16_t *line, int64_t x0, uint16_t *to) {
    const int64_t taps = s->kernel[1], c = s->channels;
    if (s->dilation[1] == 1) {
        int64_t begin = x0 < 0 ? -x0 : 0, end = s->width - x0 < taps ? s->width - x0 : taps;
        if (begin >= end)
            return clear(to, taps * c);
        to = clear(to, begin * c);
        to = copy(to, line + (x0 + begin) * c, (end - begin) * c);
        return clear(to, (taps - end) * c);
    }
    for (int64_t j = 0; j < taps; j++) {
        const int64_t x = x0 + j * s->dilation[1];
        to = (uint64_t)x < (uint64_t)s->width ? copy(to, line + x * c, c) : clear(to, c);
    }
    return to;
}

/* All taps are inside, and a line of them is short, as an image's own are. */
static inline WITH_AVX512 uint16_t *gather_short(const cpu_bf16_source *s, const uint16_t *from, uint16_t *to) {
    const int64_t line = s->dilation[0] * s->width * s->channels, run = s->kernel[1] * s->channels;
    for (int64_t a = 0; a < s->kernel[0]; a++, from += line, to += run)
        _mm512_storeu_si512(to, _mm512_loadu_si512(from));
    return to;
}

static inline bool is_inside(int64_t start, int64_t taps, int64_t dilation, int64_t size) {
    return start >= 0 && start + (taps - 1) * dilation < size;
}

WITH_AVX512 void tl__cpu_bf16_gather(const cpu_bf16_source *s, int64_t first, int64_t count, uint16_t *to) {
    int64_t x = first % s->out_width, y = first / s->out_width % s->out_height, n = first / s->out_width / s->out_height;
    const bool shorts = s->dilation[1] == 1 && s->kernel[1] * s->channels <= STEP;
    for (int64_t i = 0; i < count; i++, to += s->row) {
        const uint16_t *image = s->x + n * s->height * s->width * s->channels;
        const int64_t y0 = y * s->stride[0] - s->pad[0], x0 = x * s->stride[1] - s->pad[1];
        const bool all = shorts && is_inside(y0, s->kernel[0], s->dilation[0], s->height) &&
                         is_inside(x0, s->kernel[1], 1, s->width);
        uint16_t *at = all ? gather_short(s, image + (y0 * s->width + x0) * s->channels, to) : to;
        for (int64_t a = 0; !all && a < s->kernel[0]; a++) {
            const int64_t from_y = y0 + a * s->dilation[0];
            if ((uint64_t)from_y < (uint64_t)s->height)
                at = gather_line(s, image + from_y * s->width * s->channels, x0, at);
            else
                at = clear(at, s->kernel[1] * s->channels);
        }
        clear(at, 1); /* up to the end of the last step: zeros in b do not make up for NaN here */
        if (++x == s->out_width) {
            x = 0;
            if (++y == s->out_height) {
                y = 0;
                n++;
            }
        }
    }
}

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

static inline void fetch(const char **soon, int64_t lines) {
    for (int64_t i = 0; i < lines; i++, *soon += 64)
        _mm_prefetch(*soon, _MM_HINT_T1);
}

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

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
        for (const int64_t end = k + STEP; k < end; k += 2, b += 2 * CPU_BF16_WIDTH) {
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
        _mm512_storeu_ps(p->sums + (row + i) * CPU_BF16_WIDTH, sum[i][0]);
        _mm512_storeu_ps(p->sums + (row + i) * CPU_BF16_WIDTH + 16, sum[i][1]);
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

/* What the tile instructions read has been written before them: not every compiler's headers say that they read. */
#define PASS(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

/* Eight tiles of 16 rows of 64 bytes. */
WITH_AMX void tl__cpu_bf16_amx_begin(void) {
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

WITH_AMX void tl__cpu_bf16_amx_end(void) {
    _tile_release();
}

WITH_AMX void tl__cpu_bf16_multiply_amx(const cpu_bf16_product *p) {
    const size_t a_bytes = (size_t)p->a_row * sizeof(*p->a), b_bytes = 2 * CPU_BF16_WIDTH * sizeof(*p->b);
    const size_t y_bytes = CPU_BF16_WIDTH * sizeof(float);
    const uint16_t *a = p->a, *b = p->b;
    const char *soon = p->soon;
    PASS(a);
    _tile_zero(0);
    _tile_zero(1);
    if (p->rows <= 16) {
        for (int64_t k = 0; k < p->k; k += STEP, a += STEP, b += STEP * CPU_BF16_WIDTH) {
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
        for (int64_t k = 0; k < p->k; k += STEP, a += STEP, b += STEP * CPU_BF16_WIDTH) {
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
        _tile_stored(2, p->sums + 16 * CPU_BF16_WIDTH, y_bytes);
        _tile_stored(3, p->sums + 16 * CPU_BF16_WIDTH + 16, y_bytes);
    }
    _tile_stored(0, p->sums, y_bytes);
    _tile_stored(1, p->sums + 16, y_bytes);
}

#endif
