/* common.cl: what every program begins with. TL_VECTORS: a CPU's cores behind OpenCL (1) or a GPU (0); TL_LANES: floats in
 * a vector of the hardware (1 on GPUs). Products are added with fma() where one rounding is meant and never contracted
 * otherwise, so that results are the same on every device that follows the standard. */
#pragma OPENCL FP_CONTRACT OFF

/* A buffer's two parameters, and at the top of the body the step to where the operand begins. Absent operands are NULL. */
#define ARG(type, name) global type *name, ulong name##_at
#define AT(name) name += name##_at

/* What a work-item of loops over floats takes at a time: WIDE of them, at any address of a float. */
#if TL_VECTORS
#define WIDE 16
typedef float16 wide;
typedef int16 wide_int;
#define load_wide(p) vload16(0, p)
#define store_wide(v, p) vstore16(v, 0, p)
#define bits_of_wide as_int16
#define wide_of_bits as_float16
#else
#define WIDE 4
typedef float4 wide;
typedef int4 wide_int;
#define load_wide(p) vload4(0, p)
#define store_wide(v, p) vstore4(v, 0, p)
#define bits_of_wide as_int4
#define wide_of_bits as_float4
#endif

/* The same where only the first `count` may be touched; the rest reads as 0. */
typedef union lanes {
    wide all;
    float each[WIDE];
} lanes;

wide load_some(const global float *p, long count) {
    if (count >= WIDE)
        return load_wide(p);
    lanes l;
    l.all = 0.0f;
    for (int i = 0; i < count; i++)
        l.each[i] = p[i];
    return l.all;
}

void store_some(wide v, global float *p, long count) {
    if (count >= WIDE) {
        store_wide(v, p);
        return;
    }
    lanes l;
    l.all = v;
    for (int i = 0; i < count; i++)
        p[i] = l.each[i];
}

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
