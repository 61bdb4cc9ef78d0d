/* Compiled with -ffp-contract=off: a fused multiplication and addition would round otherwise than two do. */
#include "models/init.h"

#include <math.h>
#include <string.h>

#define BLOCKS 64 /* of Philox that are made at once; four words each */

/* Words of the stream (seed, name) from block `block` on. */
static void words(const tl__source *source, uint64_t purpose, uint64_t block, int blocks, uint32_t *out) {
    const uint32_t key[2] = {(uint32_t)source->seed, (uint32_t)(source->seed >> 32)};
    for (int i = 0; i < blocks; i++, block++) {
        const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)purpose, (uint32_t)(purpose >> 32)};
        tl__philox(key, counter, out + 4 * i);
    }
}

/* ln((w + 1/2) / 2^32): 2 atanh((m - 1) / (m + 1)) of a mantissa m around 1, and its exponent. */
static double log_unit(uint32_t w) {
    double x = ((double)w + 0.5) * 0x1p-32;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t offset = bits - 0x3fe6a09e667f3bcdu; /* of sqrt(1/2) */
    int64_t exponent = (int64_t)offset >> 52;
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
    return (double)(int32_t)exponent * 0.693147180559945309417232 + 2 * t * series;
}

/* Cosine and sine of an angle that is uniform over the circle: the two high bits choose the quadrant. */
static void circle(uint32_t w, double *x, double *y) {
    double a = ((double)(w & 0x3fffffff) * 0x1p-30 - 0.5) * 1.57079632679489661923132, s = a * a;
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
    double sign = w >> 31 ? -1 : 1;
    bool swap = w >> 30 & 1;
    *x = sign * (swap ? -sine : cosine);
    *y = sign * (swap ? cosine : sine);
}

/* Box and Muller 1958: two words make two values. */
static void normal(const tl__source *source, const uint32_t *w, int count, float *out) {
    double deviation = source->a;
    for (int i = 0; i < count; i += 2) {
        double radius = deviation * sqrt(-2 * log_unit(w[i])), x, y;
        circle(w[i + 1], &x, &y);
        out[i] = (float)(radius * x);
        out[i + 1] = (float)(radius * y);
    }
}

static void uniform(const tl__source *source, const uint32_t *w, int count, float *out) {
    double low = source->a, span = source->b - source->a;
    for (int i = 0; i < count; i++)
        out[i] = (float)(low + span * ((double)(w[i] >> 8) * 0x1p-24));
}

static void generate(const tl__source *source, int64_t first, int64_t count, float *out,
                     void (*make)(const tl__source *, const uint32_t *, int, float *)) {
    uint64_t purpose = tl__fnv1a64(source->data);
    uint32_t w[4 * BLOCKS];
    float values[4 * BLOCKS];
    while (count > 0) {
        int skip = (int)(first % 4);
        int wanted = (int)(count < 4 * BLOCKS - skip ? count : 4 * BLOCKS - skip);
        int blocks = (skip + wanted + 3) / 4;
        words(source, purpose, (uint64_t)first / 4, blocks, w);
        make(source, w, 4 * blocks, values);
        memcpy(out, values + skip, (size_t)wanted * sizeof *out);
        out += wanted;
        first += wanted;
        count -= wanted;
    }
}

static tl_status read_normal(tl_context *context, const tl__source *source, int64_t first, int64_t count, float *out) {
    (void)context;
    generate(source, first, count, out, normal);
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
    parameter->source = (tl__source){.read = read_constant, .a = value};
}

void tl__init_normal(tl__parameter *parameter, double deviation, uint64_t seed) {
    parameter->source = (tl__source){.read = read_normal, .data = parameter->name, .a = deviation, .seed = seed};
}

void tl__init_uniform(tl__parameter *parameter, double low, double high, uint64_t seed) {
    parameter->source = (tl__source){.read = read_uniform, .data = parameter->name, .a = low, .b = high, .seed = seed};
}
