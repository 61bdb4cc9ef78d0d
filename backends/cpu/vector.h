/* vector.h: the vectors of the instruction set that a file is being compiled for. */
#ifndef TL_CPU_VECTOR_H
#define TL_CPU_VECTOR_H

#include <stddef.h>
#include <stdint.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VL 16
#elif defined(__AVX2__)
#define VL 8
#else
#define VL 4
#endif

typedef float vf __attribute__((vector_size(4 * VL)));
typedef int32_t vi __attribute__((vector_size(4 * VL)));
typedef uint32_t vu __attribute__((vector_size(4 * VL)));
/* The same in memory that is aligned for floats only. */
typedef float vf_memory __attribute__((vector_size(4 * VL), aligned(4), may_alias));
typedef uint32_t vu_memory __attribute__((vector_size(4 * VL), aligned(4), may_alias));

static inline vf v_load(const float *p) {
    return *(const vf_memory *)p;
}
static inline void v_store(float *p, vf x) {
    *(vf_memory *)p = x;
}
/* Minus, since x + 0 is not x where that is -0: the addition would stay. */
static inline vf v_set(float x) {
    return x - (vf){0};
}
/* a where the mask is -1, 0 where it is 0. */
static inline vf v_keep(vi mask, vf a) {
    return (vf)((vi)a & mask);
}
/* What comparisons of floats give, and a choice by it: a where it holds, else b. */
#if defined(__AVX512F__)
typedef __mmask16 vm;
static inline vm v_greater_or_nan(vf a, vf b) { /* a > b, or a is NaN */
    __mmask16 nan = _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_UNORD_Q);
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ) | nan;
}
static inline vf v_choose(vm mask, vf a, vf b) {
    return (vf)_mm512_mask_blend_ps(mask, (__m512)b, (__m512)a);
}
static inline vi v_choose_int(vm mask, vi a, vi b) {
    return (vi)_mm512_mask_blend_epi32(mask, (__m512i)b, (__m512i)a);
}
#else
typedef vi vm;
static inline vm v_greater_or_nan(vf a, vf b) {
    return (vi)(a > b) | (vi)(a != a);
}
static inline vi v_choose_int(vm mask, vi a, vi b) {
#if defined(__AVX2__)
    return (vi)_mm256_blendv_epi8((__m256i)b, (__m256i)a, (__m256i)mask);
#else
    return (a & mask) | (b & ~mask);
#endif
}
static inline vf v_choose(vm mask, vf a, vf b) {
    return (vf)v_choose_int(mask, (vi)a, (vi)b);
}
#endif
/* x where the bytes at `bytes` are `value`, else 0. */
static inline vf v_keep_equal(const uint8_t *bytes, uint8_t value, vf x) {
#if defined(__AVX512BW__)
    __m128i b = _mm_loadu_si128((const __m128i *)bytes);
    return (vf)_mm512_maskz_mov_ps(_mm_cmpeq_epi8_mask(b, _mm_set1_epi8((char)value)), (__m512)x);
#elif defined(__AVX2__)
    __m256i b = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)bytes));
    return v_keep((vi)_mm256_cmpeq_epi32(b, _mm256_set1_epi32(value)), x);
#else
    vi b;
    for (int i = 0; i < VL; i++)
        b[i] = bytes[i];
    return v_keep(b == value, x);
#endif
}
/* bf16, the upper half of an f32: from it, and to it, rounded to the nearest, ties to even; NaN stays one. */
typedef uint16_t vh_memory __attribute__((vector_size(2 * VL), aligned(2), may_alias));
typedef uint16_t vh __attribute__((vector_size(2 * VL)));
static inline vf v_load_bf16(const uint16_t *p) {
#if defined(__AVX512F__)
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16);
#else
    vh x = *(const vh_memory *)p;
    return (vf)(__builtin_convertvector(x, vu) << 16);
#endif
}
static inline uint16_t bf16_from(float x) {
    union {
        float f;
        uint32_t u;
    } bits = {x};
    if (x != x)
        return (uint16_t)(bits.u >> 16 | 0x40);
    return (uint16_t)((bits.u + 0x7fff + (bits.u >> 16 & 1)) >> 16);
}
static inline float bf16_to(uint16_t x) {
    union {
        uint32_t u;
        float f;
    } bits = {(uint32_t)x << 16};
    return bits.f;
}
static inline void v_store_bf16(uint16_t *p, vf x) {
    vu bits = (vu)x, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
#if defined(__AVX512F__)
    __mmask16 nan = _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q);
    __m512i quiet = _mm512_or_si512(_mm512_srli_epi32((__m512i)bits, 16), _mm512_set1_epi32(0x40));
    rounded = (vu)_mm512_mask_mov_epi32((__m512i)rounded, nan, quiet);
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16((__m512i)rounded));
#else
    vu nan = (vu)(vi)(x != x);
    rounded = (rounded & ~nan) | ((bits >> 16 | 0x40) & nan);
    *(vh_memory *)p = __builtin_convertvector(rounded, vh);
#endif
}
/* Adds up the lanes, always in the same order; their maximum, NaN or not where there is a NaN. */
static inline float v_sum(vf x) {
    float lanes[VL];
    *(vf_memory *)lanes = x;
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return lanes[0];
}
static inline float v_most(vf x) {
    float lanes[VL];
    *(vf_memory *)lanes = x;
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
    return lanes[0];
}
/* The larger; b where one is NaN. */
static inline vf v_max(vf a, vf b) {
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return v_choose(a > b, a, b);
#endif
}
static inline vf v_sqrt(vf x) {
#if defined(__AVX512F__)
    return (vf)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
    return (vf)_mm256_sqrt_ps((__m256)x);
#elif defined(__SSE2__)
    return (vf)_mm_sqrt_ps((__m128)x);
#else
    for (int i = 0; i < VL; i++)
        x[i] = __builtin_sqrtf(x[i]);
    return x;
#endif
}
/* The full products of 32-bit lanes with one number: upper and lower halves. */
static inline void v_multiply_wide(vu x, uint32_t by, vu *high, vu *low) {
#if defined(__AVX512F__)
    __m512i b = _mm512_set1_epi32((int)by), even = _mm512_mul_epu32((__m512i)x, b);
    __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)x, 32), b);
    *high = (vu)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
    *low = (vu)_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
#elif defined(__AVX2__)
    __m256i b = _mm256_set1_epi32((int)by), even = _mm256_mul_epu32((__m256i)x, b);
    __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)x, 32), b);
    *high = (vu)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    *low = (vu)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
#elif defined(__SSE2__)
    __m128i b = _mm_set1_epi32((int)by), even = _mm_mul_epu32((__m128i)x, b), lower = _mm_set_epi32(0, -1, 0, -1);
    __m128i odd = _mm_mul_epu32(_mm_srli_epi64((__m128i)x, 32), b);
    *high = (vu)_mm_or_si128(_mm_srli_epi64(even, 32), _mm_andnot_si128(lower, odd));
    *low = (vu)_mm_or_si128(_mm_and_si128(even, lower), _mm_slli_epi64(odd, 32));
#else
    for (int i = 0; i < VL; i++) {
        uint64_t product = (uint64_t)x[i] * by;
        (*high)[i] = (uint32_t)(product >> 32);
        (*low)[i] = (uint32_t)product;
    }
#endif
}
/* Asks for what is 4 KB further: the hardware does not keep up with three streams at once (measured: 14 against 26
 * GB/s). Beyond the end of an array nothing happens. */
static inline void v_ahead(const float *p) {
    __builtin_prefetch((const char *)p + 4096);
}
/* max(x, 0), NaN stays NaN. */
static inline vf v_relu(vf x) {
    return (vf)((vi)x & ~(vi)(x < 0));
}
/* Past the caches; p is aligned to a vector. v_fence before another thread reads. */
static inline void v_stream(float *p, vf x) {
#if defined(__AVX512F__)
    _mm512_stream_ps(p, (__m512)x);
#elif defined(__AVX2__)
    _mm256_stream_ps(p, (__m256)x);
#elif defined(__SSE2__)
    _mm_stream_ps(p, (__m128)x);
#else
    v_store(p, x);
#endif
}
static inline void v_fence(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

#endif
