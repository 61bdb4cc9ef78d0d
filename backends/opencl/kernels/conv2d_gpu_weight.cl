/* conv2d_gpu_weight.cl: conv2d_grad_weight on GPUs, a product of matrices of which one is gathered as it is read. Rows are
 * channels of dy, columns taps and channels of x, sums go over the pixels of one chunk. For options see
 * conv2d_gpu_tile.cl. */
#include "conv2d_gpu_tile.cl"

#if VA == 4
#define PART_A float4
#define READ_A(p) vload4(0, p)
#define PUT_A(to, v) vstore4(v, 0, to)
#else
#define PART_A float
#define READ_A(p) *(p)
#define PUT_A(to, v) *(to) = (v)
#endif
#if VB == 4
#define PART_B float4
#define READ_B(p) vload4(0, p)
#define PUT_B(to, v) vstore4(v, 0, to)
#else
#define PART_B float
#define READ_B(p) *(p)
#define PUT_B(to, v) *(to) = (v)
#endif

/* .x, .y: a pixel of dy; .z: the first element of its image in x. Vectors stand for structs, as above. */
typedef int4 pixel;

static pixel pixel_of(constant int *p, int q) {
    int pixels = p[ROWS_H] * p[ROWS_W], image = q / pixels, left = q - image * pixels, a = left / p[ROWS_W];
    return (int4)(a, left - a * p[ROWS_W], image * p[SRC_H] * p[SRC_W] * p[SRC_C], 0);
}

static pixel onward(constant int *p, pixel t, int by) {
    t.y += by;
    while (t.y >= p[ROWS_W]) {
        t.y -= p[ROWS_W];
        t.x++;
        if (t.x == p[ROWS_H]) {
            t.x = 0;
            t.z += p[SRC_H] * p[SRC_W] * p[SRC_C];
        }
    }
    return t;
}

/* A column. .x, .y: where its tap lies from a pixel's; .z: its channel. */
typedef int4 tap;

static tap tap_of(constant int *p, int n) {
    int which = n / p[DEPTH], i = which / p[TAPS_W], j = which - i * p[TAPS_W];
    return (int4)(i * p[STEP_H] + p[BASE_H], j * p[STEP_W] + p[BASE_W], n - which * p[DEPTH], 0);
}

static PART_B source(constant int *p, const global float *x, pixel q, tap t) {
    int h = q.x * p[MUL_H] + t.x, w = q.y * p[MUL_W] + t.y;
    if ((uint)h >= (uint)p[SRC_H] || (uint)w >= (uint)p[SRC_W])
        return 0.0f;
    return READ_B(x + (q.z + (h * p[SRC_W] + w) * p[SRC_C] + t.z));
}

/* Columns n.. of a row of the result, of which there are `columns`. */
static void put(float4 v, int n, int columns, global float *to) {
    if (n + 4 <= columns) {
        vstore4(v, 0, to + n);
        return;
    }
    if (n < columns)
        to[n] = v.x;
    if (n + 1 < columns)
        to[n + 1] = v.y;
    if (n + 2 < columns)
        to[n + 2] = v.z;
}

/* x and dy begin at an image, `first` is the first chunk's first pixel from there and `pixels` the number of pixels that
 * there are; rows row .. row_end of each group's. Each chunk's result is a whole dw of its own. */
#define WEIGHT_ARGUMENTS                                                                                          \
    constant int *p, ulong p_at, ARG(const float, x), ARG(const float, dy), ARG(float, dw), int first, int pixels, \
        int chunk, int groups, int row, int row_end
#define WEIGHT_POINTERS \
    p += p_at;          \
    AT(x);              \
    AT(dy);             \
    AT(dw);
/* Of chunk and group: the pixels from q0 to q1, and where group and result begin. */
#define WEIGHT_PART(z)                                                                                 \
    const int part = (z) / groups, group = (z) - part * groups, outputs = p[COLUMNS];                  \
    const int columns = p[TAPS_H] * p[TAPS_W] * p[DEPTH];                                              \
    const int q0 = first + part * chunk, q1 = min(q0 + chunk, pixels);                                 \
    x += group * p[DEPTH];                                                                             \
    dy += group * outputs;                                                                             \
    dw += (part * p[DST_C] + group * outputs) * columns;

#ifdef TILED

#define LANES_A (TM / VA)
#define READS_A (TK * LANES_A / ITEMS)
#define LANES_B (TN / VB)
#define READS_B (TK * LANES_B / ITEMS)

kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void conv2d_gpu_weight_tiled(WEIGHT_ARGUMENTS) {
    local float4 as[TK * PITCH_A / 4], bs[TK * PITCH_B / 4];
    WEIGHT_POINTERS
    const uint lid = (uint)get_local_id(0);
    const int line = (int)(lid / (TN / RN)), column = (int)(lid % (TN / RN));
    const int n0 = (int)get_group_id(0) * TN, m0 = row + (int)get_group_id(1) * TM;
    WEIGHT_PART((int)get_group_id(2))
    const int am = (int)(lid % LANES_A) * VA, ak = (int)(lid / LANES_A);
    const int bn = (int)(lid % LANES_B) * VB, bk = (int)(lid / LANES_B);
    const bool a_there = m0 + am < outputs, b_there = n0 + bn < columns;
    const tap b_tap = tap_of(p, min(n0 + bn, columns - 1));
    local float *const a_to = (local float *)as + ak * PITCH_A + am, *const b_to = (local float *)bs + bk * PITCH_B + bn;
    PART_A a_next[READS_A];
    PART_B b_next[READS_B];
    pixel b_at[READS_B];
#pragma unroll
    for (int r = 0; r < READS_B; r++)
        b_at[r] = pixel_of(p, q0 + bk + r * (ITEMS / LANES_B));
    float4 sums[RM][RN / 4];
#pragma unroll
    for (int r = 0; r < RM; r++)
#pragma unroll
        for (int j = 0; j < RN / 4; j++)
            sums[r][j] = (float4)(0.0f);
    for (int q = q0 - TK; q < q1; q += TK) {
        const int next = q + TK;
        if (next < q1) {
#pragma unroll
            for (int r = 0; r < READS_A; r++) {
                const int at = next + ak + r * (ITEMS / LANES_A);
                a_next[r] = 0.0f;
                if (a_there && at < q1)
                    a_next[r] = READ_A(dy + (at * p[DST_C] + m0 + am));
            }
#pragma unroll
            for (int r = 0; r < READS_B; r++) {
                b_next[r] = 0.0f;
                if (b_there && next + bk + r * (ITEMS / LANES_B) < q1)
                    b_next[r] = source(p, x, b_at[r], b_tap);
                b_at[r] = onward(p, b_at[r], TK);
            }
        }
        if (q >= q0) {
            MULTIPLY
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (next < q1) {
#pragma unroll
            for (int r = 0; r < READS_A; r++)
                PUT_A(a_to + r * (ITEMS / LANES_A) * PITCH_A, a_next[r]);
#pragma unroll
            for (int r = 0; r < READS_B; r++)
                PUT_B(b_to + r * (ITEMS / LANES_B) * PITCH_B, b_next[r]);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
#pragma unroll
    for (int r = 0; r < RM; r++) {
        const int m = m0 + SUM_ROW(r);
        if (m < row_end) {
#pragma unroll
            for (int j = 0; j < RN / 4; j++)
                put(sums[r][j], n0 + SUM_COLUMN(j), columns, dw + m * columns);
        }
    }
}

#else

kernel void conv2d_gpu_weight_direct(WEIGHT_ARGUMENTS) {
    WEIGHT_POINTERS
    const int n = (int)get_global_id(0) * 4, m = row + (int)get_global_id(1) * 4;
    WEIGHT_PART((int)get_global_id(2))
    if (n >= columns || m >= row_end)
        return;
#if VB == 4
    const tap t0 = tap_of(p, n);
#else
    const tap t0 = tap_of(p, n), t1 = tap_of(p, min(n + 1, columns - 1));
    const tap t2 = tap_of(p, min(n + 2, columns - 1)), t3 = tap_of(p, min(n + 3, columns - 1));
#endif
    pixel at = pixel_of(p, q0);
    float4 s0 = (float4)(0.0f), s1 = s0, s2 = s0, s3 = s0;
    for (int q = q0; q < q1; q++) {
        const global float *from = dy + (q * p[DST_C] + m);
#if VA == 4
        const float4 a = vload4(0, from);
#else
        const int last = outputs - 1 - m;
        const float4 a = (float4)(from[0], from[min(1, last)], from[min(2, last)], from[min(3, last)]);
#endif
#if VB == 4
        const float4 b = source(p, x, at, t0);
#else
        const float4 b = (float4)(source(p, x, at, t0), source(p, x, at, t1), source(p, x, at, t2), source(p, x, at, t3));
#endif
        s0 = MADD((float4)(a.x), b, s0);
        s1 = MADD((float4)(a.y), b, s1);
        s2 = MADD((float4)(a.z), b, s2);
        s3 = MADD((float4)(a.w), b, s3);
        at = onward(p, at, 1);
    }
    put(s0, n, columns, dw + m * columns);
    if (m + 1 < outputs)
        put(s1, n, columns, dw + (m + 1) * columns);
    if (m + 2 < outputs)
        put(s2, n, columns, dw + (m + 2) * columns);
    if (m + 3 < outputs)
        put(s3, n, columns, dw + (m + 3) * columns);
}

#endif
