/* tensor.c: descriptions of tensors, and the 16-bit floats against a reference in double precision. */
#include "tests/unit/unit.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ---- 16-bit floats ---- */

typedef struct format {
    int exponent_bits, fraction_bits;
    uint16_t (*narrow)(float x);
    float (*widen)(uint16_t x);
} format;

static const format f16 = {5, 10, tl__f32_to_f16, tl__f16_to_f32};
static const format bf16 = {8, 7, tl__f32_to_bf16, tl__bf16_to_f32};

/* The value of a 16-bit float, by the book. */
static double value(const format *f, uint16_t x) {
    int bias = (1 << (f->exponent_bits - 1)) - 1, exponent = x >> f->fraction_bits & ((1 << f->exponent_bits) - 1);
    int fraction = x & ((1 << f->fraction_bits) - 1);
    double magnitude;
    if (exponent == (1 << f->exponent_bits) - 1)
        magnitude = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        magnitude = ldexp(fraction, 1 - bias - f->fraction_bits);
    else
        magnitude = ldexp(fraction + (1 << f->fraction_bits), exponent - bias - f->fraction_bits);
    return x & 0x8000 ? -magnitude : magnitude;
}

/* The nearest of all magnitudes, by bisection; of two equally near ones the even one; beyond the largest by half a
 * step, infinity. */
static uint16_t nearest(const format *f, float x) {
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    uint16_t infinity = (uint16_t)(((1 << f->exponent_bits) - 1) << f->fraction_bits);
    double magnitude = fabs((double)x);
    uint16_t low = 0, high = infinity; /* value(low) <= magnitude */
    if (isinf(x))
        return sign | infinity;
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        if (value(f, middle) <= magnitude)
            low = middle;
        else
            high = middle;
    }
    double below = value(f, low), above = value(f, high);
    if (high == infinity)
        above = 2 * below - value(f, (uint16_t)(low - 1));
    double down = magnitude - below, up = above - magnitude;
    return sign | (down < up || (down == up && low % 2 == 0) ? low : high);
}

static void check_narrow(const format *f, uint32_t bits) {
    float x = from_bits(bits);
    uint16_t got = f->narrow(x);
    if (isnan(x)) {
        if (!isnan(value(f, got)))
            fail_msg("NaN %08x became %04x", bits, got);
    } else if (got != nearest(f, x)) {
        fail_msg("%08x (%a) became %04x, not %04x", bits, (double)x, got, nearest(f, x));
    }
}

static void check_format(const format *f) {
    for (uint32_t x = 0; x < 0x10000; x++) {
        double expected = value(f, (uint16_t)x);
        float got = f->widen((uint16_t)x);
        if (isnan(expected)) {
            assert_true(isnan(got));
            continue;
        }
        if ((double)got != expected || !signbit(got) != !signbit(expected))
            fail_msg("%04x became %a, not %a", x, (double)got, expected);
        assert_int_equal(f->narrow(got), x);
        /* around it, and around the middle between it and the next */
        float next = f->widen((uint16_t)(x + 1));
        uint32_t middle = bits_of(got);
        if (isfinite(next) && (x & 0x7fff) != 0x7fff)
            middle = bits_of((float)((expected + (double)next) / 2));
        for (uint32_t step = 0; step < 5; step++) {
            check_narrow(f, bits_of(got) + step - 2);
            check_narrow(f, middle + step - 2);
        }
    }
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 9973)
        check_narrow(f, (uint32_t)bits);
    static const uint32_t special[] = {0,          0x80000000, 1,          0x80000001, 0x007fffff, 0x00800000,
                                       0x7f7fffff, 0x7f800000, 0xff800000, 0x7f800001, 0xffc00000, 0x7fffffff,
                                       0x477fefff, 0x477ff000, 0x33000000, 0x33000001, 0x387fffff, 0x7f7f7fff,
                                       0x7f7f8000};
    for (size_t i = 0; i < TL__COUNT(special); i++)
        check_narrow(f, special[i]);
}

static void half(void **state) {
    (void)state;
    check_format(&f16);
}

static void brain(void **state) {
    (void)state;
    check_format(&bf16);
}

/* ---- descriptions ---- */

static void types(void **state) {
    (void)state;
    static const struct {
        int dtype;
        size_t size;
        const char *name;
    } all[] = {
        {TL_DTYPE_NONE, 0, "none"}, {TL_DTYPE_F32, 4, "f32"}, {TL_DTYPE_BF16, 2, "bf16"},
        {TL_DTYPE_F16, 2, "f16"},   {TL_DTYPE_F64, 8, "f64"}, {TL_DTYPE_U8, 1, "u8"},
        {TL_DTYPE_I8, 1, "i8"},     {TL_DTYPE_I32, 4, "i32"}, {TL_DTYPE_I64, 8, "i64"},
        {-1, 0, "unknown"},         {99, 0, "unknown"},
    };
    for (size_t i = 0; i < TL__COUNT(all); i++) {
        assert_int_equal(tl__dtype_size(all[i].dtype), all[i].size);
        assert_string_equal(tl__dtype_name(all[i].dtype), all[i].name);
    }
}

static void descriptions(void **state) {
    (void)state;
    tl_tensor_desc a = tl__desc4(TL_DTYPE_F32, 32, 56, 56, 64), b = tl__desc1(TL_DTYPE_U8, 5);
    tl_tensor_desc scalar = tl__desc(TL_DTYPE_I64, 0, NULL), empty = tl__desc1(TL_DTYPE_F32, 0);
    char text[64], small[8];
    assert_int_equal(tl__desc_count(&a), 32 * 56 * 56 * 64);
    assert_int_equal(tl__desc_bytes(&a), 4 * 32 * 56 * 56 * 64);
    assert_int_equal(tl__desc_count(&scalar), 1);
    assert_int_equal(tl__desc_bytes(&scalar), 8);
    assert_int_equal(tl__desc_bytes(&empty), 0);
    assert_string_equal(tl__desc_text(&a, text, sizeof text), "f32 [32,56,56,64]");
    assert_string_equal(tl__desc_text(&b, text, sizeof text), "u8 [5]");
    assert_string_equal(tl__desc_text(&scalar, text, sizeof text), "i64 []");
    assert_string_equal(tl__desc_text(&a, small, sizeof small), "f32 [32");
    tl_tensor_desc c = a;
    assert_true(tl__desc_equal(&a, &c));
    c.shape[5] = 9; /* beyond the rank */
    assert_true(tl__desc_equal(&a, &c));
    c.shape[3] = 65;
    assert_false(tl__desc_equal(&a, &c));
    c = a;
    c.dtype = TL_DTYPE_I32;
    assert_false(tl__desc_equal(&a, &c));
    assert_false(tl__desc_equal(&a, &b));
}

static void products(void **state) {
    (void)state;
    int64_t product = 5;
    assert_true(tl__multiply(1 << 20, 1 << 20, &product));
    assert_int_equal(product, (int64_t)1 << 40);
    assert_true(tl__multiply(0, INT64_MAX, &product));
    assert_int_equal(product, 0);
    assert_true(tl__multiply(INT64_MAX, 1, &product));
    assert_false(tl__multiply(INT64_MAX, 2, &product));
    assert_false(tl__multiply((int64_t)1 << 32, (int64_t)1 << 31, &product));
    assert_false(tl__multiply(-1, 2, &product));
    assert_false(tl__multiply(2, -1, &product));
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(half),
        cmocka_unit_test(brain),
        cmocka_unit_test(types),
        cmocka_unit_test(descriptions),
        cmocka_unit_test(products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
