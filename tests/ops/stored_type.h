/* stored_type.h: the type in 16 bits that a test of stored values is built for: bf16, or with T_F16 IEEE's half. */
#ifndef TL_TEST_OPS_STORED_TYPE_H
#define TL_TEST_OPS_STORED_TYPE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef T_F16

#define STORED_TYPE TL_DTYPE_F16
#define STORED_NAME "f16"
#define STORED (1.0 / 2048)              /* unit roundoff */
#define STORED_TINY (1.0 / 1024 / 32768) /* 2^-25: half of what numbers below 2^-14 are apart */

static inline uint16_t narrow(float x) {
    const uint16_t sign = signbit(x) ? 0x8000 : 0;
    int exponent;
    if (isnan(x))
        return 0x7e00;
    frexp(fabs((double)x), &exponent);
    const double unit = ldexp(1, exponent > -13 ? exponent - 11 : -24), rounded = nearbyint(fabs((double)x) / unit) * unit;
    if (rounded > 65504)
        return sign | 0x7c00;
    if (rounded < ldexp(1, -14))
        return (uint16_t)(sign | (int)ldexp(rounded, 24));
    const double fraction = frexp(rounded, &exponent);
    return (uint16_t)(sign | (exponent + 14) << 10 | ((int)(fraction * 2048) - 1024));
}

static inline float widen(uint16_t x) {
    const int exponent = x >> 10 & 31, fraction = x & 1023;
    const double magnitude = exponent == 31  ? fraction ? NAN : INFINITY
                             : exponent == 0 ? ldexp(fraction, -24)
                                             : ldexp(fraction + 1024, exponent - 25);
    return (float)(x & 0x8000 ? -magnitude : magnitude);
}

#else

#define STORED_TYPE TL_DTYPE_BF16
#define STORED_NAME "bf16"
#define STORED (1.0 / 256)
#define STORED_TINY 0.0 /* it reaches as far as f32 */

static inline uint16_t narrow(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float widen(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

#endif

#endif
