#include "data/resize.h"

#include <math.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define PRECISION TL__RESIZE_BITS
#define HALF      (1 << (PRECISION - 1))

void tl__resampler_free(tl__resampler *resampler) {
    tl__free(resampler->context, resampler->x.start);
    tl__free(resampler->context, resampler->y.start);
    tl__free(resampler->context, resampler->rows);
    resampler->x = resampler->y = (tl__axis){0};
    resampler->rows = NULL;
    resampler->capacity = 0;
}

/* ---- geometry ---- */

/* Through memory, so that no compiler fuses or widens: the coefficients are the same everywhere. */
static double rounded(double x) {
    volatile double y = x;
    return y;
}

static double triangle(double x) {
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Weights of output pixel `index` of a side resized by `scale`; returns how many inputs and the first of them. */
static int coefficients(double scale, int in, int64_t index, int32_t *weights, double *real, int64_t *first) {
    double support = scale < 1.0 ? 1.0 : scale, inverse = 1.0 / support;
    double centre = rounded(((double)index + 0.5) * scale);
    int64_t begin = (int64_t)(centre - support + 0.5), end = (int64_t)(centre + support + 0.5);
    if (begin < 0)
        begin = 0;
    if (end > in)
        end = in;
    int size = (int)(end - begin);
    double sum = 0.0;
    for (int i = 0; i < size; i++) {
        real[i] = triangle(rounded(((double)(i + begin) - centre + 0.5) * inverse));
        sum += real[i];
    }
    for (int i = 0; i < size; i++) {
        double weight = sum != 0.0 ? real[i] / sum : real[i];
        weights[i] = (int32_t)(0.5 + rounded(weight * (1 << PRECISION)));
    }
    *first = begin;
    return size;
}

static void cut(const int32_t *weights, int size, int16_t *halves, size_t count) {
    memset(halves, 0, count * sizeof *halves);
    for (int i = 0; i < size; i++) {
        int16_t *upper = halves + i / 4 * 8 + i % 4;
        upper[0] = (int16_t)(weights[i] >> PRECISION / 2);
        upper[4] = (int16_t)(weights[i] & ((1 << PRECISION / 2) - 1));
    }
}

static tl_status axis_room(tl__axis *axis, tl_context *context, size_t room) {
    if (room > axis->room) {
        int32_t *block = tl__alloc(context, room * sizeof *block);
        if (!block)
            return TL_ERROR_MEMORY;
        tl__free(context, axis->start);
        axis->start = block;
        axis->room = room;
    }
    return TL_OK;
}

/* A side of `extent` pixels becomes `size`, of which the middle `crop` are shown. */
static tl_status axis_plan(tl__axis *axis, tl_context *context, int origin, double extent, int64_t size, int crop) {
    int in = (int)ceil(extent);
    if (axis->in == in && axis->extent == extent && axis->size_out == size) {
        axis->first += origin - axis->origin; /* else the last image's, and the crop never changes */
        axis->origin = origin;
        return TL_OK;
    }
    axis->in = 0; /* until it is planned */
    axis->extent = extent;
    axis->origin = origin;
    int64_t spare = crop ? size - crop : 0, first = 0;
    axis->pad = 0;
    axis->out = crop ? crop : (int)size;
    if (spare < 0) {
        axis->pad = (int)(-spare / 2);
        axis->out = (int)size;
    } else {
        first = spare / 2;
        first += spare % 2 && first % 2; /* half to even */
    }
    axis->shown = first;
    if ((double)size == extent) {
        axis->first = origin + (int)first;
        axis->count = axis->out;
        axis->taps = 0;
        axis->in = in;
        axis->size_out = size;
        return TL_OK;
    }
    double scale = extent / (double)size;
    axis->taps = (int)ceil(scale < 1.0 ? 1.0 : scale) * 2 + 1;
    /* the last part holds one pixel's weights before they are rounded */
    size_t out = (size_t)axis->out, taps = (size_t)axis->taps, halves = TL__RESIZE_AVX2 ? tl__axis_halves(axis) : 0;
    size_t before = (out * (2 + taps + halves / 2) + 1) / 2 * 2;
    TL__TRY(axis_room(axis, context, before + taps * 2));
    axis->size = axis->start + out;
    axis->weights = axis->size + out;
    axis->halves = halves ? (int16_t *)(void *)(axis->weights + taps * out) : NULL;
    double *real = (double *)(void *)(axis->start + before);
    int64_t low = in, high = 0;
    for (int i = 0; i < axis->out; i++) {
        int64_t begin;
        int count = coefficients(scale, in, first + i, axis->weights + (size_t)i * taps, real, &begin);
        axis->start[i] = (int32_t)begin;
        axis->size[i] = count;
        low = begin < low ? begin : low;
        high = begin + count > high ? begin + count : high;
    }
    axis->first = origin + (int)low;
    axis->count = (int)(high - low);
    for (int i = 0; i < axis->out; i++) {
        axis->start[i] -= (int32_t)low;
        if (halves)
            cut(axis->weights + (size_t)i * taps, axis->size[i], axis->halves + (size_t)i * halves, halves);
    }
    axis->in = in;
    axis->size_out = size;
    return TL_OK;
}

int tl__resampler_eighths(const tl__resampler *resampler, int width, int height) {
    int64_t shorter = width < height ? width : height, eighths = 8;
    while (resampler->resize && eighths > 1 && shorter * eighths / 2 >= (int64_t)resampler->resize * 8)
        eighths /= 2;
    return (int)eighths;
}

tl_status tl__resampler_begin(tl__resampler *resampler, int width, int height, int eighths) {
    const int *box = resampler->box;
    int64_t columns = width, rows = height;
    int left = 0, top = 0;
    if (box[2]) {
        left = box[0];
        top = box[1];
        width = box[2];
        height = box[3];
        columns = rows = resampler->crop;
    } else if (resampler->resize) {
        int shorter = width < height ? width : height, longer = width < height ? height : width;
        int64_t length = (int64_t)((double)((int64_t)resampler->resize * longer) / (double)shorter);
        columns = width <= height ? resampler->resize : length;
        rows = width <= height ? length : resampler->resize;
    }
    if (!resampler->crop && columns * rows > (int64_t)1 << 28)
        return tl__fail(resampler->context, TL_ERROR_LIMIT, "%lld x %lld pixels after resizing are more than 2^28",
                        (long long)columns, (long long)rows);
    double part = eighths / 8.0;
    TL__TRY(axis_plan(&resampler->x, resampler->context, left, width * part, columns, resampler->crop));
    TL__TRY(axis_plan(&resampler->y, resampler->context, top, height * part, rows, resampler->crop));
    width = resampler->x.in;
    height = resampler->y.in;
    /* Pillow's rule since version 13; before, the horizontal pass was always the first. */
    int narrower = width > columns ? (int)(width - columns) : 0;
    resampler->columns_first = rows < height && height - rows > 2 * (int64_t)narrower;
    size_t stride = 3 * (size_t)(resampler->columns_first ? resampler->x.count : resampler->x.out);
    size_t bytes = stride * ((size_t)resampler->y.count + 1) + 3 * (size_t)resampler->x.out + 2 * TL__ROW_SLACK;
    if (bytes > resampler->capacity) {
        tl__free(resampler->context, resampler->rows);
        resampler->capacity = 0;
        resampler->rows = tl__alloc(resampler->context, bytes);
        if (!resampler->rows)
            return TL_ERROR_MEMORY;
        memset(resampler->rows, 0, bytes); /* bytes beside the pixels are read, with weight 0 */
        resampler->capacity = bytes;
    }
    return TL_OK;
}

/* ---- the two passes ----
 * The sum of an output's weights is 2^22 give or take half a unit for each, so only with thousands of inputs could the
 * result pass 255. */

#define INLINE static inline __attribute__((always_inline))

typedef int32_t ints4 __attribute__((vector_size(16)));

/* Four bytes to four integers and, where they would not fit, to the nearest byte back. Compilers do not find the
 * instructions for this by themselves. */
#if defined(__SSE2__)

INLINE ints4 load4(const uint8_t *p) {
    int bytes;
    memcpy(&bytes, p, 4);
    __m128i zero = _mm_setzero_si128();
    return (ints4)_mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), zero), zero);
}

INLINE void store4(uint8_t *p, ints4 v) {
    __m128i words = _mm_packs_epi32((__m128i)v, (__m128i)v);
    int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
    memcpy(p, &bytes, 4);
}

#elif defined(__ARM_NEON)

INLINE ints4 load4(const uint8_t *p) {
    uint32_t bytes;
    memcpy(&bytes, p, 4);
    return (ints4)vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes))));
}

INLINE void store4(uint8_t *p, ints4 v) {
    uint16x4_t words = vqmovun_s32((int32x4_t)v);
    uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(vqmovn_u16(vcombine_u16(words, words))), 0);
    memcpy(p, &bytes, 4);
}

#else

INLINE ints4 load4(const uint8_t *p) {
    return (ints4){p[0], p[1], p[2], p[3]};
}

INLINE void store4(uint8_t *p, ints4 v) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v[i] > 255 ? 255 : v[i]);
}

#endif

/* A pixel is read and written as four bytes, the fourth of no meaning: the next pixel overwrites it. */
static void resize_row_plain(const tl__axis *axis, const uint8_t *in, uint8_t *out) {
    const int32_t *weights = axis->weights, *start = axis->start, *sizes = axis->size;
    int outputs = axis->out, taps = axis->taps;
    for (int x = 0; x < outputs; x++, weights += taps, out += 3) {
        const uint8_t *p = in + 3 * (size_t)start[x];
        int size = sizes[x];
        ints4 sum = {HALF, HALF, HALF, HALF};
        for (int i = 0; i < size; i++, p += 3)
            sum += load4(p) * weights[i];
        store4(out, sum >> PRECISION);
    }
}

#define BLOCK 128

void tl__resize_column_plain(const tl__axis *axis, int index, const uint8_t *rows, size_t stride, int bytes,
                             uint8_t *out) {
    const int32_t *weights = axis->weights + (size_t)index * (size_t)axis->taps;
    int size = axis->size[index];
    int32_t sum[BLOCK];
    for (int begin = 0; begin < bytes; begin += BLOCK, rows += BLOCK, out += BLOCK) {
        int n = bytes - begin < BLOCK ? bytes - begin : BLOCK;
        for (int i = 0; i < n; i++)
            sum[i] = HALF;
        int k = 0;
        for (; k + 1 < size; k += 2) {
            const uint8_t *a = rows + (size_t)k * stride, *b = a + stride;
            int32_t u = weights[k], v = weights[k + 1];
            for (int i = 0; i < n; i++)
                sum[i] += a[i] * u + b[i] * v;
        }
        if (k < size) {
            const uint8_t *a = rows + (size_t)k * stride;
            for (int i = 0; i < n; i++)
                sum[i] += a[i] * weights[k];
        }
        for (int i = 0; i < n; i++) {
            int32_t value = sum[i] >> PRECISION;
            out[i] = (uint8_t)(value > 255 ? 255 : value);
        }
    }
}

#if TL__RESIZE_AVX2
static bool have_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2");
}
#endif

void tl__resampler_init(tl__resampler *resampler, tl_context *context, int resize, int crop) {
    *resampler = (tl__resampler){.context = context, .resize = resize, .crop = crop};
    resampler->row = resize_row_plain;
    resampler->column = tl__resize_column_plain;
#if TL__RESIZE_AVX2
    if (have_avx2()) {
        resampler->row = tl__resize_row_avx2;
        resampler->column = tl__resize_column_avx2;
    }
#endif
}

void tl__resampler_row(tl__resampler *resampler, int y, const uint8_t *rgb) {
    int index = y - resampler->y.first;
    if (index < 0 || index >= resampler->y.count)
        return;
    size_t stride = 3 * (size_t)(resampler->columns_first ? resampler->x.count : resampler->x.out);
    uint8_t *out = resampler->rows + (size_t)index * stride;
    if (resampler->x.taps && !resampler->columns_first)
        resampler->row(&resampler->x, rgb, out);
    else
        memcpy(out, rgb, stride);
}

/* Row `index` of the result, without the zeros beside it; `work` has room for a row before the horizontal pass and for
 * one after it. */
static void finish_row(const tl__resampler *resampler, int index, uint8_t *work, uint8_t *out) {
    const tl__axis *x = &resampler->x, *y = &resampler->y;
    size_t bytes = 3 * (size_t)x->out, stride = resampler->columns_first ? 3 * (size_t)x->count : bytes;
    bool rows_left = resampler->columns_first && x->taps;
    const uint8_t *rows = resampler->rows + (size_t)(y->taps ? y->start[index] : index) * stride;
    uint8_t *column_out = rows_left ? work : out;
    if (y->taps)
        resampler->column(y, index, rows, stride, (int)stride, column_out);
    else
        memcpy(column_out, rows, stride);
    if (rows_left) {
        uint8_t *wider = work + stride + TL__ROW_SLACK; /* row writes a few bytes too many */
        resampler->row(x, work, wider);
        memcpy(out, wider, bytes);
    }
}

void tl__resampler_finish(tl__resampler *resampler, uint8_t *out) {
    const tl__axis *x = &resampler->x, *y = &resampler->y;
    const int crop = resampler->crop;
    size_t line = 3 * (size_t)(crop ? crop : x->out), left = 3 * (size_t)x->pad, bytes = 3 * (size_t)x->out;
    uint8_t *work = resampler->rows + 3 * (size_t)(resampler->columns_first ? x->count : x->out) * (size_t)y->count;
    memset(out, 0, (size_t)y->pad * line);
    out += (size_t)y->pad * line;
    for (int i = 0; i < y->out; i++, out += line) {
        memset(out, 0, left);
        finish_row(resampler, i, work, out + left);
        memset(out + left + bytes, 0, line - left - bytes);
    }
    if (crop)
        memset(out, 0, (size_t)(crop - y->pad - y->out) * line);
}
