/* Compiled with -ffp-contract=off: a fused multiplication and addition would round otherwise than two do. */
#include "models/init.h"

#include <math.h>
#include <string.h>

#define BLOCKS 64 /* of Philox that are made at once; four words each */
#define WORDS  (4 * BLOCKS)

/* Everything below is loops over a block without branches, calls or conversions that an instruction set lacks, which
 * compilers turn into vectors. No operation rounds otherwise in a vector, so all instruction sets make the same bits. */
#if defined(__x86_64__) && defined(__GNUC__)
#define TL__INIT_X86 1
#else
#define TL__INIT_X86 0
#endif
#define INLINE static inline __attribute__((always_inline))

/* Of an integer below 2^32. */
INLINE double real(uint64_t word) {
    uint64_t bits = word | 0x4330000000000000u; /* 2^52 + word */
    double x;
    memcpy(&x, &bits, sizeof x);
    return x - 0x1p52;
}

INLINE double select(bool first, double a, double b) {
    return first ? a : b;
}

/* Words of the stream (seed, name) from block `block` on; tl__philox of so many counters. */
INLINE void words(uint64_t seed, uint64_t purpose, uint64_t block, uint32_t out[WORDS]) {
    uint32_t c0[BLOCKS], c1[BLOCKS], c2[BLOCKS], c3[BLOCKS], k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        c0[i] = (uint32_t)(block + i);
        c1[i] = (uint32_t)((block + i) >> 32);
        c2[i] = (uint32_t)purpose;
        c3[i] = (uint32_t)(purpose >> 32);
    }
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int i = 0; i < BLOCKS; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[i], p1 = (uint64_t)0xCD9E8D57u * c2[i];
            c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0;
            c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c1[i] = (uint32_t)p1;
            c3[i] = (uint32_t)p0;
        }
    for (int i = 0; i < BLOCKS; i++) {
        out[4 * i] = c0[i];
        out[4 * i + 1] = c1[i];
        out[4 * i + 2] = c2[i];
        out[4 * i + 3] = c3[i];
    }
}

/* ln((w + 1/2) / 2^32): 2 atanh((m - 1) / (m + 1)) of a mantissa m around 1, and its exponent. */
INLINE double log_unit(uint32_t w) {
    double x = (real(w) + 0.5) * 0x1p-32;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t offset = bits - 0x3fe6a09e667f3bcdu; /* of sqrt(1/2) */
    double exponent = real((offset + ((uint64_t)64 << 52)) >> 52) - 64;
    bits = (offset & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu;
    double m;
    memcpy(&m, &bits, sizeof m);
    double t = (m - 1) / (m + 1), s = t * t;
    double series = 1.0 / 13;
    series = series * s + 1.0 / 11;
    series = series * s + 1.0 / 9;
    series = series * s + 1.0 / 7;
    series = series * s + 1.0 / 5;
    series = series * s + 1.0 / 3;
    series = series * s + 1;
    return exponent * 0.693147180559945309417232 + 2 * t * series;
}

/* Cosine and sine of an angle that is uniform over the circle: the two high bits choose the quadrant. */
INLINE void circle(uint32_t w, double *x, double *y) {
    double a = (real(w & 0x3fffffff) * 0x1p-30 - 0.5) * 1.57079632679489661923132, s = a * a;
    double sine = -1.0 / 39916800;
    sine = sine * s + 1.0 / 362880;
    sine = sine * s - 1.0 / 5040;
    sine = sine * s + 1.0 / 120;
    sine = sine * s - 1.0 / 6;
    sine = (sine * s + 1) * a;
    double cosine = 1.0 / 479001600;
    cosine = cosine * s - 1.0 / 3628800;
    cosine = cosine * s + 1.0 / 40320;
    cosine = cosine * s - 1.0 / 720;
    cosine = cosine * s + 1.0 / 24;
    cosine = cosine * s - 1.0 / 2;
    cosine = cosine * s + 1;
    double sign = 1 - 2 * real(w >> 31);
    bool swap = w & 0x40000000;
    *x = sign * select(swap, -sine, cosine);
    *y = sign * select(swap, cosine, sine);
}

/* Box and Muller 1958: two words make two values. */
INLINE void make_normal(double deviation, const uint32_t w[WORDS], float out[WORDS]) {
    for (int i = 0; i < WORDS; i += 2) {
        double radius = deviation * sqrt(-2 * log_unit(w[i])), x, y;
        circle(w[i + 1], &x, &y);
        out[i] = (float)(radius * x);
        out[i + 1] = (float)(radius * y);
    }
}

INLINE void block_of_normal(const tl__source *source, uint64_t purpose, uint64_t block, float out[WORDS]) {
    uint32_t w[WORDS];
    words(source->seed, purpose, block, w);
    make_normal(source->a, w, out);
}

typedef void make_block(const tl__source *source, uint64_t purpose, uint64_t block, float out[WORDS]);

static void normal_anywhere(const tl__source *source, uint64_t purpose, uint64_t block, float out[WORDS]) {
    block_of_normal(source, purpose, block, out);
}

#if TL__INIT_X86
__attribute__((target("avx2"))) static void normal_avx2(const tl__source *source, uint64_t purpose, uint64_t block,
                                                        float out[WORDS]) {
    block_of_normal(source, purpose, block, out);
}

__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl"))) static void
normal_avx512(const tl__source *source, uint64_t purpose, uint64_t block, float out[WORDS]) {
    block_of_normal(source, purpose, block, out);
}

static make_block *normal(void) {
    if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
        return normal_avx512;
    return __builtin_cpu_supports("avx2") ? normal_avx2 : normal_anywhere;
}
#else
static make_block *normal(void) {
    return normal_anywhere;
}
#endif

static void uniform(const tl__source *source, uint64_t purpose, uint64_t block, float out[WORDS]) {
    uint32_t w[WORDS];
    double low = source->a, span = source->b - source->a;
    words(source->seed, purpose, block, w);
    for (int i = 0; i < WORDS; i++)
        out[i] = (float)(low + span * (real(w[i] >> 8) * 0x1p-24));
}

static void generate(const tl__source *source, int64_t first, int64_t count, float *out, make_block *make) {
    uint64_t purpose = tl__fnv1a64(source->data);
    float values[WORDS];
    while (count > 0) {
        int skip = (int)(first % 4);
        int wanted = (int)(count < WORDS - skip ? count : WORDS - skip);
        make(source, purpose, (uint64_t)first / 4, values);
        memcpy(out, values + skip, (size_t)wanted * sizeof *out);
        out += wanted;
        first += wanted;
        count -= wanted;
    }
}

static tl_status read_normal(tl_context *context, const tl__source *source, int64_t first, int64_t count, float *out) {
    (void)context;
    generate(source, first, count, out, normal());
    return TL_OK;
}

static tl_status read_uniform(tl_context *context, const tl__source *source, int64_t first, int64_t count, float *out) {
    (void)context;
    generate(source, first, count, out, uniform);
    return TL_OK;
}

static tl_status read_constant(tl_context *context, const tl__source *source, int64_t first, int64_t count, float *out) {
    (void)context, (void)first;
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)source->a;
    return TL_OK;
}

void tl__init_constant(tl__parameter *parameter, double value) {
    parameter->source = (tl__source){.read = read_constant, .generated = true, .a = value};
}

void tl__init_normal(tl__parameter *parameter, double deviation, uint64_t seed) {
    parameter->source = (tl__source){.read = read_normal, .generated = true, .data = parameter->name, .a = deviation, .seed = seed};
}

void tl__init_uniform(tl__parameter *parameter, double low, double high, uint64_t seed) {
    parameter->source = (tl__source){.read = read_uniform, .generated = true, .data = parameter->name, .a = low, .b = high, .seed = seed};
}
