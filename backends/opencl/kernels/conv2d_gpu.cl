/* conv2d_gpu.cl: conv2d on GPUs, and conv2d_grad_input, which is the same walk with other numbers in its table: a product
 * of matrices of which one is gathered as it is read. Rows are pixels of the destination, columns its channels, sums go
 * over taps and source channels. Options besides those of conv2d_gpu_tile.cl:
 *   SPREAD  no product but what goes before and after one that is made elsewhere (conv2d_gpu_gemm.c).
 *   ALONG   1: weights that are next to each other belong to neighbouring columns; 0: to neighbouring terms of a sum.
 *   HALF_IN, HALF_OUT  see common.cl: x and addend, and y; HALF_W: the weights are halves, too. */
#include "conv2d_gpu_tile.cl"

/* Vectors stand for structs, which some compilers return through memory. A term of the sums: .x its channel, .y and .z
 * its tap. */
typedef int4 place;

static place place_of(constant int *p, int k) {
    int depth = max(p[DEPTH], 1), taps = max(p[TAPS_W], 1), tap = k / depth;
    return (int4)(k - tap * depth, tap / taps, tap - tap / taps * taps, 0);
}

static place further(constant int *p, place t, int by) {
    t.x += by;
    while (t.x >= p[DEPTH]) {
        t.x -= p[DEPTH];
        t.z++;
        if (t.z == p[TAPS_W]) {
            t.z = 0;
            t.y++;
        }
    }
    return t;
}

/* .x, .y: where the taps of a row begin in the source; .z: the image's first element. A row that is not there begins
 * where no tap gets back from. */
typedef int4 row;

static row row_of(constant int *p, int m, int count) {
    int pixels = p[ROWS_H] * p[ROWS_W], image = m / pixels, pixel = m - image * pixels, a = pixel / p[ROWS_W];
    int h = m < count ? a * p[MUL_H] + p[BASE_H] : -(1 << 30), w = (pixel - a * p[ROWS_W]) * p[MUL_W] + p[BASE_W];
    return (int4)(h, w, image * p[SRC_H] * p[SRC_W] * p[SRC_C], 0);
}

/* The destination's element of row m, column 0 of group 0. */
static int target_of(constant int *p, int m) {
    int pixels = p[ROWS_H] * p[ROWS_W], image = m / pixels, pixel = m - image * pixels, a = pixel / p[ROWS_W];
    int h = a * p[TO_H] + p[AT_H], w = (pixel - a * p[ROWS_W]) * p[TO_W] + p[AT_W];
    return ((image * p[DST_H] + h) * p[DST_W] + w) * p[DST_C];
}

#if VA == 4
#define PART float4
#define ZERO (float4)(0.0f)
#define READ(p) load_four(p)
#else
#define PART float
#define ZERO 0.0f
#define READ(p) load_one(p)
#endif
#ifdef HALF_W
typedef ushort stored_weight;
#define WEIGHT_ONE(p) vload_half(0, CONST_HALVES(p))
#define WEIGHT_FOUR(p) vload_half4(0, CONST_HALVES(p))
#else
typedef float stored_weight;
#define WEIGHT_ONE(p) (*(p))
#define WEIGHT_FOUR(p) vload4(0, p)
#endif

static PART source(constant int *p, const global stored_in *x, row r, place t) {
    int h = r.x + t.y * p[STEP_H], w = r.y + t.z * p[STEP_W];
    if ((uint)h >= (uint)p[SRC_H] || (uint)w >= (uint)p[SRC_W])
        return ZERO;
    return READ(x + (r.z + (h * p[SRC_W] + w) * p[SRC_C] + t.x));
}

static float finish_one(float v, int n, int at, const global float *bias, const global stored_in *addend,
                        const global float *mask, int relu) {
    v += bias ? bias[n] : 0.0f;
    v += addend ? load_one(addend + at + n) : 0.0f;
    v = relu && v < 0.0f ? 0.0f : v;
    return !mask || mask[at + n] > 0.0f ? v : 0.0f;
}

/* Columns n.. of a row, of which there are `columns`; bias, addend, mask and y begin at the group's first channel. */
static void finish(float4 v, int n, int columns, int at, const global float *bias, const global stored_in *addend,
                   const global float *mask, int relu, global stored_out *y) {
    if (n + 4 <= columns) {
        v += bias ? vload4(0, bias + n) : (float4)(0.0f);
        v += addend ? load_four(addend + at + n) : (float4)(0.0f);
        v = relu ? select(v, (float4)(0.0f), v < 0.0f) : v;
        v = mask ? select((float4)(0.0f), v, vload4(0, mask + at + n) > 0.0f) : v;
        store_four(v, y + at + n);
        return;
    }
    if (n < columns)
        store_one(finish_one(v.x, n, at, bias, addend, mask, relu), y + at + n);
    if (n + 1 < columns)
        store_one(finish_one(v.y, n + 1, at, bias, addend, mask, relu), y + at + n + 1);
    if (n + 2 < columns)
        store_one(finish_one(v.z, n + 2, at, bias, addend, mask, relu), y + at + n + 2);
}

/* A group's channels in all that has them. */
#define TO_GROUP(group)                                 \
    x += group * p[DEPTH];                              \
    w += group * p[W_GROUP] + p[W_FIRST];               \
    bias = bias ? bias + group * p[COLUMNS] : bias;     \
    addend = addend ? addend + group * p[COLUMNS] : addend; \
    mask = mask ? mask + group * p[COLUMNS] : mask;     \
    y += group * p[COLUMNS];

#define GATHER_ARGUMENTS                                                                                          \
    constant int *p, ulong p_at, int table, ARG(const stored_in, x), ARG(const stored_weight, w),                 \
        ARG(const float, bias), ARG(const stored_in, addend), ARG(const float, mask), ARG(stored_out, y), int first, \
        int count, int relu
#define GATHER_POINTERS \
    p += p_at + table;  \
    AT(x);              \
    AT(w);              \
    AT(bias);           \
    AT(addend);         \
    AT(mask);           \
    AT(y);

#if defined(TILED)

#define LANES_A (TK / VA) /* work-items side by side along the terms of a row */
#define READS_A (TM * LANES_A / ITEMS)
#if ALONG
#define LANES_B (TN / VB)
#define READS_B (TK * LANES_B / ITEMS)
#else
#define LANES_B (TK / VB)
#define READS_B (TN * LANES_B / ITEMS)
#endif
#if VB == 4
#define PART_B float4
#define READ_B(p) WEIGHT_FOUR(p)
#else
#define PART_B float
#define READ_B(p) WEIGHT_ONE(p)
#endif

/* Puts terms k.. of a row into its column of local memory. */
#if VA == 4
#define PUT_A(to, v) (to)[0] = (v).x, (to)[PITCH_A] = (v).y, (to)[2 * PITCH_A] = (v).z, (to)[3 * PITCH_A] = (v).w
#else
#define PUT_A(to, v) *(to) = (v)
#endif
#if VB == 4 && ALONG
#define PUT_B(to, v) vstore4(v, 0, to)
#elif VB == 4
#define PUT_B(to, v) (to)[0] = (v).x, (to)[PITCH_B] = (v).y, (to)[2 * PITCH_B] = (v).z, (to)[3 * PITCH_B] = (v).w
#else
#define PUT_B(to, v) *(to) = (v)
#endif

static PART_B weights_of(constant int *p, const global stored_weight *w, int n, place t) {
    if (n >= p[COLUMNS] || t.y >= p[TAPS_H])
        return 0.0f;
    return READ_B(w + (n * p[W_COLUMN] + t.x * p[W_DEPTH] + t.y * p[W_I] + t.z * p[W_J]));
}

kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void conv2d_gpu_tiled(GATHER_ARGUMENTS) {
    local float4 as[TK * PITCH_A / 4], bs[TK * PITCH_B / 4];
    GATHER_POINTERS
    const uint lid = (uint)get_local_id(0);
    const int line = (int)(lid / (TN / RN)), column = (int)(lid % (TN / RN));
    const int n0 = (int)get_group_id(0) * TN, m0 = first + (int)get_group_id(1) * TM, group = (int)get_group_id(2);
    const int terms = p[TAPS_H] * p[TAPS_W] * p[DEPTH];
    TO_GROUP(group)
    const int ak = (int)(lid % LANES_A) * VA, am = (int)(lid / LANES_A);
    local float *const a_to = (local float *)as + ak * PITCH_A + am;
    row rows[READS_A];
    PART a_next[READS_A];
    place a_at = place_of(p, ak);
#pragma unroll
    for (int r = 0; r < READS_A; r++)
        rows[r] = row_of(p, m0 + am + r * (ITEMS / LANES_A), count);
#if ALONG
    const int bn = (int)(lid % LANES_B) * VB, bk = (int)(lid / LANES_B);
    local float *const b_to = (local float *)bs + bk * PITCH_B + bn;
    place b_at[READS_B];
#pragma unroll
    for (int r = 0; r < READS_B; r++)
        b_at[r] = place_of(p, bk + r * (ITEMS / LANES_B));
#define B_PLACE(r) b_at[r]
#define B_COLUMN(r) (n0 + bn)
#define B_TO(r) (b_to + (r) * (ITEMS / LANES_B) * PITCH_B)
#else
    const int bk = (int)(lid % LANES_B) * VB, bn = (int)(lid / LANES_B);
    local float *const b_to = (local float *)bs + bk * PITCH_B + bn;
    place b_at[1] = {place_of(p, bk)};
#define B_PLACE(r) b_at[0]
#define B_COLUMN(r) (n0 + bn + (r) * (ITEMS / LANES_B))
#define B_TO(r) (b_to + (r) * (ITEMS / LANES_B))
#endif
    PART_B b_next[READS_B];
    float4 sums[RM][RN / 4];
#pragma unroll
    for (int r = 0; r < RM; r++)
#pragma unroll
        for (int j = 0; j < RN / 4; j++)
            sums[r][j] = (float4)(0.0f);
    for (int k = -TK; k < terms; k += TK) {
        /* What comes next is on its way while the product of what is there is made. */
        const bool more = k + TK < terms;
        if (more) {
#pragma unroll
            for (int r = 0; r < READS_A; r++)
                a_next[r] = a_at.y < p[TAPS_H] ? source(p, x, rows[r], a_at) : ZERO;
#pragma unroll
            for (int r = 0; r < READS_B; r++)
                b_next[r] = weights_of(p, w, B_COLUMN(r), B_PLACE(r));
            a_at = further(p, a_at, TK);
#pragma unroll
            for (int r = 0; r < (int)(sizeof(b_at) / sizeof(b_at[0])); r++)
                b_at[r] = further(p, b_at[r], TK);
        }
        if (k >= 0) {
            MULTIPLY
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (more) {
#pragma unroll
            for (int r = 0; r < READS_A; r++)
                PUT_A(a_to + r * (ITEMS / LANES_A), a_next[r]);
#pragma unroll
            for (int r = 0; r < READS_B; r++)
                PUT_B(B_TO(r), b_next[r]);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
#pragma unroll
    for (int r = 0; r < RM; r++) {
        int m = m0 + SUM_ROW(r), at = target_of(p, min(m, count - 1));
        if (m < count) {
#pragma unroll
            for (int j = 0; j < RN / 4; j++)
                finish(sums[r][j], n0 + SUM_COLUMN(j), p[COLUMNS], at, bias, addend, mask, relu, y);
        }
    }
}

#elif defined(SPREAD)

/* Rows first .. count of the gathered matrix, all groups side by side. */
kernel void conv2d_gpu_columns(constant int *p, ulong p_at, int table, ARG(const float, x), ARG(float, to), int first,
                               int count, int groups) {
    p += p_at + table;
    AT(x);
    AT(to);
    const int terms = p[TAPS_H] * p[TAPS_W] * p[DEPTH], all = groups * terms;
    const int at = (int)get_global_id(0) * VA, m = first + (int)get_global_id(1);
    if (at >= all || m >= count)
        return;
    const int group = at / terms;
    const PART v = source(p, x + group * p[DEPTH], row_of(p, m, count), place_of(p, at - group * terms));
    to += (m - first) * all + at;
#if VA == 4
    vstore4(v, 0, to);
#else
    *to = v;
#endif
}

/* The matrix of a group's weights: terms, columns. */
kernel void conv2d_gpu_weights(constant int *p, ulong p_at, int table, ARG(const float, w), ARG(float, to)) {
    p += p_at + table;
    AT(w);
    AT(to);
    const int terms = p[TAPS_H] * p[TAPS_W] * p[DEPTH];
    const int n = (int)get_global_id(0), k = (int)get_global_id(1), group = (int)get_global_id(2);
    if (n >= p[COLUMNS] || k >= terms)
        return;
    const place t = place_of(p, k);
    w += group * p[W_GROUP] + p[W_FIRST];
    to[(group * terms + k) * p[COLUMNS] + n] = w[n * p[W_COLUMN] + t.x * p[W_DEPTH] + t.y * p[W_I] + t.z * p[W_J]];
}

/* Rows first .. count of a product (NULL: it is 0) come to their pixels. */
kernel void conv2d_gpu_finish(constant int *p, ulong p_at, int table, ARG(const float, from), ARG(const float, bias),
                              ARG(const float, addend), ARG(const float, mask), ARG(float, y), int first, int count,
                              int relu) {
    p += p_at + table;
    AT(from);
    AT(bias);
    AT(addend);
    AT(mask);
    AT(y);
    const int n = (int)get_global_id(0) * 4, m = first + (int)get_global_id(1), columns = p[DST_C];
    if (n >= columns || m >= count)
        return;
    float4 v = (float4)(0.0f);
    if (from) {
        from += (m - first) * columns + n;
        if (n + 4 <= columns)
            v = vload4(0, from);
        else
            v = (float4)(from[0], from[min(1, columns - 1 - n)], from[min(2, columns - 1 - n)], 0.0f);
    }
    finish(v, n, columns, target_of(p, m), bias, addend, mask, relu, y);
}

#else

/* Four columns' weights of one term; columns that are not there read as those of the last one. */
static float4 weights_of(constant int *p, const global stored_weight *w, int n, int at) {
    int last = p[COLUMNS] - 1, step = p[W_COLUMN];
#if ALONG
    if (n + 3 <= last)
        return WEIGHT_FOUR(w + (at + n));
#endif
    return (float4)(WEIGHT_ONE(w + (at + n * step)), WEIGHT_ONE(w + (at + min(n + 1, last) * step)),
                    WEIGHT_ONE(w + (at + min(n + 2, last) * step)), WEIGHT_ONE(w + (at + min(n + 3, last) * step)));
}

#define ADD_TERM(r, value, b) sums[r] = MADD((float4)(value), b, sums[r])

kernel void conv2d_gpu_direct(GATHER_ARGUMENTS) {
    GATHER_POINTERS
    const int n = (int)get_global_id(0) * 4, m0 = first + (int)get_global_id(1) * RM, group = (int)get_global_id(2);
    if (n >= p[COLUMNS] || m0 >= count)
        return;
    TO_GROUP(group)
    row rows[RM];
    float4 sums[RM];
#pragma unroll
    for (int r = 0; r < RM; r++) {
        rows[r] = row_of(p, m0 + r, count);
        sums[r] = (float4)(0.0f);
    }
    for (int i = 0; i < p[TAPS_H]; i++)
        for (int j = 0; j < p[TAPS_W]; j++)
            for (int c = 0; c < p[DEPTH]; c += VA) {
                const place t = (int4)(c, i, j, 0);
                const int at = i * p[W_I] + j * p[W_J] + c * p[W_DEPTH];
                PART a[RM];
#pragma unroll
                for (int r = 0; r < RM; r++)
                    a[r] = source(p, x, rows[r], t);
#if VA == 1
                const float4 b = weights_of(p, w, n, at);
#pragma unroll
                for (int r = 0; r < RM; r++)
                    ADD_TERM(r, a[r], b);
#else
#if ALONG
                const int step = p[W_DEPTH];
                const float4 b0 = weights_of(p, w, n, at), b1 = weights_of(p, w, n, at + step);
                const float4 b2 = weights_of(p, w, n, at + 2 * step), b3 = weights_of(p, w, n, at + 3 * step);
#else
                const int last = p[COLUMNS] - 1, step = p[W_COLUMN];
                const float4 w0 = WEIGHT_FOUR(w + (at + n * step)), w1 = WEIGHT_FOUR(w + (at + min(n + 1, last) * step));
                const float4 w2 = WEIGHT_FOUR(w + (at + min(n + 2, last) * step));
                const float4 w3 = WEIGHT_FOUR(w + (at + min(n + 3, last) * step));
                const float4 b0 = (float4)(w0.x, w1.x, w2.x, w3.x), b1 = (float4)(w0.y, w1.y, w2.y, w3.y);
                const float4 b2 = (float4)(w0.z, w1.z, w2.z, w3.z), b3 = (float4)(w0.w, w1.w, w2.w, w3.w);
#endif
#pragma unroll
                for (int r = 0; r < RM; r++) {
                    ADD_TERM(r, a[r].x, b0);
                    ADD_TERM(r, a[r].y, b1);
                    ADD_TERM(r, a[r].z, b2);
                    ADD_TERM(r, a[r].w, b3);
                }
#endif
            }
#pragma unroll
    for (int r = 0; r < RM; r++)
        if (m0 + r < count)
            finish(sums[r], n, p[COLUMNS], target_of(p, m0 + r), bias, addend, mask, relu, y);
}

#endif
