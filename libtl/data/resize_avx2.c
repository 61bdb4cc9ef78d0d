/* The two passes of resize.c for AVX2.
 *
 * A weight has 22 bits, a product of vpmaddwd has factors of 16: each weight is cut into its upper and its lower eleven
 * bits, and the two sums are put together at the end, which gives the same 32-bit integer as the plain sum. One
 * instruction then does the work of two taps, where a 32-bit product takes two. */
#include "data/resize.h"

#if TL__RESIZE_AVX2

#include <immintrin.h>
#include <string.h>

#define AVX2   __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline, target("avx2")))

#define HALF (1 << (TL__RESIZE_BITS - 1))

typedef struct sums {
    __m256i upper, lower;
} sums;

INLINE __m256i weights_of(const int16_t *four) {
    long long bits;
    memcpy(&bits, four, sizeof bits);
    return _mm256_set1_epi64x(bits);
}

INLINE __m256i together(sums s) {
    return _mm256_add_epi32(_mm256_slli_epi32(s.upper, TL__RESIZE_BITS / 2), s.lower);
}

/* Of one output: taps 0+1 and 2+3 of red, then of green; of blue and nothing in the upper half. */
INLINE __m256i output(const tl__axis *axis, int x, const uint8_t *row) {
    const int16_t *weights = axis->halves + (size_t)x * tl__axis_halves(axis);
    const uint8_t *in = row + 3 * (size_t)axis->start[x], *end = in + 3 * (size_t)axis->size[x];
    const __m256i order = _mm256_setr_epi8(0, -1, 3, -1, 6, -1, 9, -1, 1, -1, 4, -1, 7, -1, 10, -1, /* */
                                           2, -1, 5, -1, 8, -1, 11, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    sums s = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (; in < end; in += 12, weights += 8) {
        __m128i pixels = _mm_loadu_si128((const __m128i *)(const void *)in);
        __m256i taps = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(pixels), order);
        s.upper = _mm256_add_epi32(s.upper, _mm256_madd_epi16(taps, weights_of(weights)));
        s.lower = _mm256_add_epi32(s.lower, _mm256_madd_epi16(taps, weights_of(weights + 4)));
    }
    return together(s);
}

INLINE __m256i to_pixels(__m256i sum) {
    return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(HALF)), TL__RESIZE_BITS);
}

/* Four outputs, 12 bytes and 4 more of no meaning. */
INLINE __m128i four_outputs(const tl__axis *axis, int x, const uint8_t *in) {
    const __m128i order = _mm_setr_epi8(0, 1, 8, 2, 3, 10, 4, 5, 12, 6, 7, 14, -1, -1, -1, -1);
    __m256i first = _mm256_hadd_epi32(output(axis, x, in), output(axis, x + 1, in));
    __m256i last = _mm256_hadd_epi32(output(axis, x + 2, in), output(axis, x + 3, in));
    __m256i words = _mm256_packs_epi32(to_pixels(first), to_pixels(last));
    __m256i bytes = _mm256_packus_epi16(words, words);
    return _mm_shuffle_epi8(
        _mm_unpacklo_epi64(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)), order);
}

AVX2 void tl__resize_row_avx2(const tl__axis *axis, const uint8_t *in, uint8_t *out) {
    int outputs = axis->out, x = 0;
    for (; x + 4 <= outputs; x += 4, out += 12)
        _mm_storeu_si128((__m128i *)(void *)out, four_outputs(axis, x, in));
    for (; x < outputs; x++, out += 3) {
        __m256i v = output(axis, x, in);
        int32_t lanes[8];
        _mm256_storeu_si256((__m256i *)(void *)lanes, to_pixels(_mm256_hadd_epi32(v, v)));
        static const int at[3] = {0, 1, 4};
        for (int c = 0; c < 3; c++)
            out[c] = (uint8_t)(lanes[at[c]] > 255 ? 255 : lanes[at[c]]);
    }
}

/* 32 bytes of an output row. */
INLINE void column_block(const uint8_t *rows, size_t stride, const int16_t *weights, int size, uint8_t *out) {
    const __m256i zero = _mm256_setzero_si256();
    sums s[4] = {{zero, zero}, {zero, zero}, {zero, zero}, {zero, zero}};
    for (int k = 0; k < size; k += 2) {
        const uint8_t *a = rows + (size_t)k * stride, *b = k + 1 < size ? a + stride : a; /* then of weight 0 */
        __m256i u = _mm256_loadu_si256((const __m256i *)(const void *)a);
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)b);
        __m256i low = _mm256_unpacklo_epi8(u, v), high = _mm256_unpackhi_epi8(u, v);
        const int16_t *pair = weights + k / 4 * 8 + k % 4;
        int upper, lower;
        memcpy(&upper, pair, sizeof upper);
        memcpy(&lower, pair + 4, sizeof lower);
        __m256i weight[2] = {_mm256_set1_epi32(upper), _mm256_set1_epi32(lower)};
        __m256i pairs[4] = {_mm256_unpacklo_epi8(low, zero), _mm256_unpackhi_epi8(low, zero),
                            _mm256_unpacklo_epi8(high, zero), _mm256_unpackhi_epi8(high, zero)};
        for (int i = 0; i < 4; i++) {
            s[i].upper = _mm256_add_epi32(s[i].upper, _mm256_madd_epi16(pairs[i], weight[0]));
            s[i].lower = _mm256_add_epi32(s[i].lower, _mm256_madd_epi16(pairs[i], weight[1]));
        }
    }
    __m256i low = _mm256_packs_epi32(to_pixels(together(s[0])), to_pixels(together(s[1])));
    __m256i high = _mm256_packs_epi32(to_pixels(together(s[2])), to_pixels(together(s[3])));
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_packus_epi16(low, high));
}

AVX2 void tl__resize_column_avx2(const tl__axis *axis, int index, const uint8_t *rows, size_t stride, int bytes,
                                 uint8_t *out) {
    if (bytes < 32) {
        tl__resize_column_plain(axis, index, rows, stride, bytes, out);
        return;
    }
    const int16_t *weights = axis->halves + (size_t)index * tl__axis_halves(axis);
    int at = 0;
    for (; at + 32 <= bytes; at += 32)
        column_block(rows + at, stride, weights, axis->size[index], out + at);
    if (at < bytes) /* the last block goes over some of the one before again */
        column_block(rows + bytes - 32, stride, weights, axis->size[index], out + bytes - 32);
}

#endif
