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
typedef int32_t vi_memory __attribute__((vector_size(4 * VL), aligned(4), may_alias));

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
/* a where the mask is -1, b where it is 0. */
static inline vf v_select(vi mask, vf a, vf b) {
    return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}
static inline vf v_keep(vi mask, vf a) {
    return (vf)((vi)a & mask);
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
