/* half.h: IEEE half floats on the host, for our own backends; see form.h. Whole numbers do it, so that neither the rounding
 * mode nor a flag of the compiler matters. */
#ifndef TL_BACKENDS_HALF_H
#define TL_BACKENDS_HALF_H

#include <stdint.h>
#include <string.h>

/* The nearest half, ties to even; what is too large becomes an infinity, NaN stays one. */
static inline uint16_t half_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    const uint32_t sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (bits >= 0x477ff000) /* halfway from the largest half to the next there would be */
        return (uint16_t)(sign | 0x7c00);
    if (bits >= 0x38800000) { /* a normal half */
        bits += 0xfff + (bits >> 13 & 1);
        return (uint16_t)(sign | (bits - 0x38000000) >> 13);
    }
    const uint32_t shift = 126 - (bits >> 23); /* to units of the smallest half, 2^-24 */
    if (shift > 24)
        return (uint16_t)sign;
    const uint32_t whole = (bits & 0x7fffff) | 0x800000, rest = whole & ((1u << shift) - 1), middle = 1u << (shift - 1);
    uint32_t half = whole >> shift;
    half += rest > middle || (rest == middle && (half & 1));
    return (uint16_t)(sign | half);
}

static inline float half_value(uint16_t x) {
    const uint32_t sign = (uint32_t)(x & 0x8000) << 16, exponent = x >> 10 & 31, fraction = x & 1023;
    uint32_t bits = (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    if (exponent == 0) {
        const float small = (float)fraction * 0x1p-24f;
        memcpy(&bits, &small, sizeof(bits));
    }
    bits |= sign;
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

#endif
