#include "core/core.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [TL_DTYPE_NONE] = {"none", 0}, [TL_DTYPE_F32] = {"f32", 4}, [TL_DTYPE_BF16] = {"bf16", 2},
    [TL_DTYPE_F16] = {"f16", 2},   [TL_DTYPE_F64] = {"f64", 8}, [TL_DTYPE_U8] = {"u8", 1},
    [TL_DTYPE_I8] = {"i8", 1},     [TL_DTYPE_I32] = {"i32", 4}, [TL_DTYPE_I64] = {"i64", 8},
};

size_t tl__dtype_size(int dtype) {
    return dtype >= 0 && (size_t)dtype < TL__COUNT(dtypes) ? dtypes[dtype].size : 0;
}

const char *tl__dtype_name(int dtype) {
    return dtype >= 0 && (size_t)dtype < TL__COUNT(dtypes) ? dtypes[dtype].name : "unknown";
}

tl_tensor_desc tl__desc(int dtype, int rank, const int64_t *shape) {
    tl_tensor_desc desc = {.dtype = dtype, .rank = rank};
    for (int i = 0; i < rank; i++)
        desc.shape[i] = shape[i];
    return desc;
}

tl_tensor_desc tl__desc4(int dtype, int64_t n, int64_t h, int64_t w, int64_t c) {
    return tl__desc(dtype, 4, (const int64_t[]){n, h, w, c});
}

tl_tensor_desc tl__desc1(int dtype, int64_t n) {
    return tl__desc(dtype, 1, &n);
}

int64_t tl__desc_count(const tl_tensor_desc *desc) {
    int64_t count = 1;
    for (int i = 0; i < desc->rank; i++)
        count *= desc->shape[i];
    return count;
}

uint64_t tl__desc_bytes(const tl_tensor_desc *desc) {
    return (uint64_t)tl__desc_count(desc) * tl__dtype_size(desc->dtype);
}

bool tl__desc_equal(const tl_tensor_desc *a, const tl_tensor_desc *b) {
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->shape, b->shape, sizeof a->shape[0] * (size_t)a->rank) == 0;
}

const char *tl__desc_text(const tl_tensor_desc *desc, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "%s [", tl__dtype_name(desc->dtype));
    for (int i = 0; i < desc->rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, i ? ",%lld" : "%lld", (long long)desc->shape[i]);
    if (used < size)
        snprintf(text + used, size - used, "]");
    return text;
}

bool tl__multiply(int64_t a, int64_t b, int64_t *product) {
    return a >= 0 && b >= 0 && !__builtin_mul_overflow(a, b, product);
}

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t to_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

float tl__bf16_to_f32(uint16_t x) {
    return from_bits((uint32_t)x << 16);
}

uint16_t tl__f32_to_bf16(float x) {
    uint32_t bits = to_bits(x);
    if (isnan(x))
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float tl__f16_to_f32(uint16_t x) {
    uint32_t sign = (uint32_t)(x & 0x8000) << 16, exponent = x >> 10 & 31, fraction = x & 0x3ff;
    if (exponent == 31)
        return from_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t tl__f32_to_f16(float x) {
    uint32_t bits = to_bits(x);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) /* rounds to 65536 or more */
        return sign | 0x7c00;
    if (magnitude < 0x38800000) { /* below 2^-14: the sum below rounds to multiples of 2^-24 */
        float sum = from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (to_bits(sum) - 0x3f000000));
    }
    magnitude += 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | (magnitude - 0x38000000) >> 13);
}
