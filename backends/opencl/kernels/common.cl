/* common.cl: what every program begins with. TL_VECTORS: a CPU's cores behind OpenCL (1) or a GPU (0); TL_LANES: floats
 * in a vector of the hardware (1 on GPUs). Products are added with fma() where one rounding is meant and never
 * contracted otherwise, so that results are the same on every device that follows the standard. */
#pragma OPENCL FP_CONTRACT OFF

/* A buffer's two parameters, and at the top of the body the step to where the operand begins. Absent: NULL. */
#define ARG(type, name) global type *name, ulong name##_at
#define AT(name) name += name##_at

/* What a work-item of loops over floats takes at a time: WIDE of them, at any address of a float. */
#if TL_VECTORS
#define WIDE 16
#define FLAT 1024
typedef float16 wide;
typedef int16 wide_int;
#define load_wide(p) vload16(0, p)
#define store_wide(v, p) vstore16(v, 0, p)
#define bits_of_wide as_int16
#define wide_of_bits as_float16
#define float_of_int convert_float16
#else
#define WIDE 4
#define FLAT 4
typedef float4 wide;
typedef int4 wide_int;
#define load_wide(p) vload4(0, p)
#define store_wide(v, p) vstore4(v, 0, p)
#define bits_of_wide as_int4
#define wide_of_bits as_float4
#define float_of_int convert_float4
#endif

/* The same where only the first `count` may be touched; the rest reads as 0. By halves, not through an array, which a
 * GPU would keep in memory; and with an int, because Mesa 22 on llvmpipe compares longs wrongly. */
#define DEFINE_SOME(type)                                            \
    type##4 load_some4_##type(const global type *p, int count) {     \
        type##4 v = 0;                                               \
        if (count & 2) {                                             \
            v.s0 = p[0];                                             \
            v.s1 = p[1];                                             \
            if (count & 1)                                           \
                v.s2 = p[2];                                         \
        } else if (count & 1) {                                      \
            v.s0 = p[0];                                             \
        }                                                            \
        return v;                                                    \
    }                                                                \
    void store_some4_##type(type##4 v, global type *p, int count) {  \
        if (count & 2) {                                             \
            vstore2(v.lo, 0, p);                                     \
            if (count & 1)                                           \
                p[2] = v.s2;                                         \
        } else if (count & 1) {                                      \
            p[0] = v.s0;                                             \
        }                                                            \
    }
DEFINE_SOME(float)
#if TL_VECTORS
#define DEFINE_MORE(type)                                                                             \
    type##16 load_some_##type(const global type *p, int count) {                                      \
        type##4 rest = load_some4_##type(p + (count & 12), count & 3), none = (type)0;                \
        type##8 half_done = (count & 4) ? (type##8)(vload4(0, p + (count & 8)), rest) : (type##8)(rest, none); \
        return (count & 8) ? (type##16)(vload8(0, p), half_done) : (type##16)(half_done, none, none); \
    }                                                                                                 \
    void store_some_##type(type##16 v, global type *p, int count) {                                   \
        type##8 high = (count & 8) ? v.hi : v.lo;                                                     \
        if (count & 8)                                                                                \
            vstore8(v.lo, 0, p);                                                                      \
        if (count & 4)                                                                                \
            vstore4(high.lo, 0, p + (count & 8));                                                     \
        store_some4_##type((count & 4) ? high.hi : high.lo, p + (count & 12), count & 3);             \
    }
DEFINE_MORE(float)
#else
#define load_some_float load_some4_float
#define store_some_float store_some4_float
#endif

wide load_some(const global float *p, int count) {
    return count >= WIDE ? load_wide(p) : load_some_float(p, max(count, 0));
}

void store_some(wide v, global float *p, int count) {
    if (count >= WIDE)
        store_wide(v, p);
    else
        store_some_float(v, p, max(count, 0));
}

/* A frozen part's activations may be stored as IEEE halves, what goes in (HALF_IN) and what comes out (HALF_OUT) apart.
 * Arithmetic is in floats all the same: that needs no extension. Behind pointers to ushort, because compilers differ in
 * what they allow with those to half. */
#define HALVES(p) ((global half *)(p))
#define CONST_HALVES(p) ((const global half *)(p))
#ifdef HALF_IN
typedef ushort stored_in;
#define load_one(p) vload_half(0, CONST_HALVES(p))
#define load_four(p) vload_half4(0, CONST_HALVES(p))
wide load_in(const global stored_in *p, int count) {
    if (count >= 4)
        return load_four(p);
    wide v = 0.0f;
    if (count > 0)
        v.s0 = load_one(p);
    if (count > 1)
        v.s1 = load_one(p + 1);
    if (count > 2)
        v.s2 = load_one(p + 2);
    return v;
}
#else
typedef float stored_in;
#define load_one(p) (*(p))
#define load_four(p) vload4(0, p)
#define load_in load_some
#endif
#ifdef HALF_OUT
typedef ushort stored_out;
#define store_one(v, p) vstore_half_rte(v, 0, HALVES(p))
#define store_four(v, p) vstore_half4_rte(v, 0, HALVES(p))
void store_out(wide v, global stored_out *p, int count) {
    if (count >= 4) {
        store_four(v, p);
        return;
    }
    if (count > 0)
        store_one(v.s0, p);
    if (count > 1)
        store_one(v.s1, p + 1);
    if (count > 2)
        store_one(v.s2, p + 2);
}
#else
typedef float stored_out;
#define store_one(v, p) (*(p) = (v))
#define store_four(v, p) vstore4(v, 0, p)
#define store_out store_some
#endif

/* For lanes one by one. */
typedef union lanes {
    wide all;
    float each[WIDE];
} lanes;
typedef union lanes_int {
    wide_int all;
    int each[WIDE];
} lanes_int;

/* max(x, 0), NaN stays NaN. */
float relu_of(float x) {
    return x < 0.0f ? 0.0f : x;
}
wide relu_of_wide(wide x) {
    return wide_of_bits(bits_of_wide(x) & ~(x < 0.0f));
}
/* x where the mask is -1, 0 where it is 0. */
wide keep(wide_int mask, wide x) {
    return wide_of_bits(bits_of_wide(x) & mask);
}

wide larger(wide a, wide b) { /* b where one is NaN */
    return select(b, a, a > b);
}

/* exp(x) for x <= 0 within 2 units in the last place, 0 below the smallest normal number: x = n ln 2 + r with
 * |r| <= ln 2 / 2, and the series of exp to r^7 / 7!. NaN stays. */
wide exp_negative(wide x) {
    wide_int tiny = x < -87.3f;
    wide bounded = select(x, (wide)-87.3f, tiny);
    wide shifted = fma(bounded, (wide)1.44269504f, (wide)12582912.0f); /* 1.5 * 2^23: n is in its low bits */
    wide n = shifted - 12582912.0f;
    wide r = fma(-n, (wide)0.693145752f, bounded); /* ln 2 to 16 bits: the product is exact */
    r = fma(-n, (wide)1.42860677e-6f, r);
    wide p = 1.0f / 5040;
    p = fma(p, r, (wide)(1.0f / 720));
    p = fma(p, r, (wide)(1.0f / 120));
    p = fma(p, r, (wide)(1.0f / 24));
    p = fma(p, r, (wide)(1.0f / 6));
    p = fma(p, r, (wide)0.5f);
    p = fma(p * r, r, r) + 1.0f;
    wide_int exponent = (bits_of_wide(shifted) - (0x4b400000 - 127)) << 23;
    return keep(~tiny, p * wide_of_bits(exponent));
}

/* ---- numbers of twice the precision: hi + lo, with hi the nearest float; results are within about 2^-46.
 * They stand in for double, which devices need not have, and give the same bits wherever floats round as they should.
 * ---- */

typedef struct twice {
    wide hi, lo;
} twice;

twice twice_of(wide hi, wide lo) { /* |lo| is not above |hi| */
    twice r;
    r.hi = hi + lo;
    r.lo = lo - (r.hi - hi);
    return r;
}
twice twice_from(float hi, float lo) {
    twice r;
    r.hi = hi;
    r.lo = lo;
    return r;
}
twice twice_sum(wide a, wide b) {
    twice r;
    r.hi = a + b;
    wide bb = r.hi - a;
    r.lo = (a - (r.hi - bb)) + (b - bb);
    return r;
}
twice twice_add(twice a, twice b) {
    twice s = twice_sum(a.hi, b.hi), t = twice_sum(a.lo, b.lo);
    s = twice_of(s.hi, s.lo + t.hi);
    return twice_of(s.hi, s.lo + t.lo);
}
twice twice_plus(twice a, wide b) {
    twice s = twice_sum(a.hi, b);
    return twice_of(s.hi, s.lo + a.lo);
}
twice twice_minus(twice a) {
    a.hi = -a.hi;
    a.lo = -a.lo;
    return a;
}
twice twice_product(wide a, wide b) {
    twice r;
    r.hi = a * b;
    r.lo = fma(a, b, -r.hi);
    return r;
}
twice twice_times(twice a, twice b) {
    twice p = twice_product(a.hi, b.hi);
    return twice_of(p.hi, p.lo + fma(a.hi, b.lo, a.lo * b.hi));
}
twice twice_scaled(twice a, wide b) {
    twice p = twice_product(a.hi, b);
    return twice_of(p.hi, fma(a.lo, b, p.lo));
}
twice twice_over(twice a, twice b) {
    wide q = a.hi / b.hi;
    twice rest = twice_add(a, twice_minus(twice_scaled(b, q)));
    wide second = rest.hi / b.hi;
    rest = twice_add(rest, twice_minus(twice_scaled(b, second)));
    twice r = twice_of(q, second);
    return twice_of(r.hi, r.lo + rest.hi / b.hi);
}
/* Of what is above 0. */
twice twice_root(twice a) {
    wide s = sqrt(a.hi);
    twice rest = twice_add(a, twice_minus(twice_product(s, s)));
    return twice_of(s, rest.hi / (2.0f * s));
}
