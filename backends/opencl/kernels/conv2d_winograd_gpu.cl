/* conv2d_winograd_gpu.cl: what goes before and after the products of Winograd's F(4x4, 3x3) on GPUs;
 * backends/cpu/winograd.h has the matrices. A work-item has one channel of a patch, a tile or a 3x3 kernel, because 36
 * numbers are what most registers hold; neighbours have neighbouring channels. Planes are between tiles and channels:
 * [tile][plane][channel] is a matrix of 36 groups to conv2d_gpu.cl. */
#define PATCH 6
#define TILE 4
#define PLANES 36
#define P 0.70710678f
#define Q 1.41421356f

#ifdef FP_FAST_FMAF
#define MADD fma
#else
#define MADD mad
#endif

/* t = B^T d, numbers `step` apart. */
static void transform_input(const float *d, float *t, int step) {
    float even = MADD(-2.0f, d[2 * step], d[4 * step]), odd = MADD(P, d[3 * step], -Q * d[step]);
    t[0] = MADD(-2.5f, d[2 * step], d[0] + d[4 * step]);
    t[step] = even + odd;
    t[2 * step] = even - odd;
    even = MADD(-0.5f, d[2 * step], d[4 * step]);
    odd = MADD(Q, d[3 * step], -P * d[step]);
    t[3 * step] = even + odd;
    t[4 * step] = even - odd;
    t[5 * step] = MADD(-2.5f, d[3 * step], d[step] + d[5 * step]);
}

/* y = A^T m. */
static void transform_output(const float *m, float *y, int step) {
    const float sum1 = m[step] + m[2 * step], sum2 = m[3 * step] + m[4 * step];
    const float odd1 = m[step] - m[2 * step], odd2 = m[3 * step] - m[4 * step];
    y[0] = m[0] + sum1 + sum2;
    y[step] = MADD(P, odd1, Q * odd2);
    y[2 * step] = MADD(0.5f, sum1, 2.0f * sum2);
    y[3 * step] = MADD(P / 2, odd1, MADD(2 * Q, odd2, m[5 * step]));
}

/* t = G w. */
static void transform_weights(const float *w, float *t, int step) {
    const float outer1 = MADD(-1.0f / 3, w[2 * step], -2.0f / 3 * w[0]), inner1 = P * 2 / 3 * w[step];
    const float outer2 = MADD(1.0f / 3, w[2 * step], 1.0f / 6 * w[0]), inner2 = Q / 6 * w[step];
    t[0] = w[0];
    t[step] = outer1 - inner1;
    t[2 * step] = outer1 + inner1;
    t[3 * step] = outer2 + inner2;
    t[4 * step] = outer2 - inner2;
    t[5 * step] = w[2 * step];
}

/* Patches first .. first + count - 1 of all. */
kernel void conv2d_winograd_patches(ARG(const float, x), ARG(float, to), int first, int count, int height, int width,
                                    int channels, int pad_y, int pad_x, int tiles_y, int tiles_x) {
    AT(x);
    AT(to);
    const int c = (int)get_global_id(0), t = (int)get_global_id(1), tile = first + t;
    if (c >= channels || t >= count)
        return;
    const int line = tile / tiles_x, n = line / tiles_y;
    const int at_x = (tile - line * tiles_x) * TILE - pad_x, at_y = (line - n * tiles_y) * TILE - pad_y;
    float d[PLANES], once[PLANES];
    x += (long)n * height * width * channels + c;
#pragma unroll
    for (int a = 0; a < PATCH; a++)
#pragma unroll
        for (int b = 0; b < PATCH; b++) {
            const bool inside = (uint)(at_y + a) < (uint)height && (uint)(at_x + b) < (uint)width;
            d[a * PATCH + b] = inside ? x[((at_y + a) * width + at_x + b) * channels] : 0.0f;
        }
#pragma unroll
    for (int i = 0; i < PATCH; i++)
        transform_input(d + i, once + i, PATCH);
#pragma unroll
    for (int i = 0; i < PATCH; i++)
        transform_input(once + i * PATCH, d + i * PATCH, 1);
    to += (long)t * PLANES * channels + c;
#pragma unroll
    for (int i = 0; i < PLANES; i++)
        to[i * channels] = d[i];
}

/* Products of tiles first .. first + count - 1 of all come to their pixels. */
kernel void conv2d_winograd_tiles(ARG(const float, from), ARG(const float, bias), ARG(const float, residual),
                                  ARG(float, y), int first, int count, int height, int width, int channels,
                                  int tiles_y, int tiles_x, int relu) {
    AT(from);
    AT(bias);
    AT(residual);
    AT(y);
    const int c = (int)get_global_id(0), t = (int)get_global_id(1), tile = first + t;
    if (c >= channels || t >= count)
        return;
    const int line = tile / tiles_x, n = line / tiles_y;
    const int at_x = (tile - line * tiles_x) * TILE, at_y = (line - n * tiles_y) * TILE;
    float m[PLANES], once[TILE * PATCH], out[TILE * TILE];
    from += (long)t * PLANES * channels + c;
#pragma unroll
    for (int i = 0; i < PLANES; i++)
        m[i] = from[i * channels];
#pragma unroll
    for (int i = 0; i < PATCH; i++)
        transform_output(m + i, once + i, PATCH);
#pragma unroll
    for (int i = 0; i < TILE; i++)
        transform_output(once + i * PATCH, out + i * TILE, 1);
    const long image = (long)n * height * width * channels + c;
    const float more = bias ? bias[c] : 0.0f;
#pragma unroll
    for (int a = 0; a < TILE; a++)
#pragma unroll
        for (int b = 0; b < TILE; b++)
            if (at_y + a < height && at_x + b < width) {
                const long at = image + ((at_y + a) * width + at_x + b) * channels;
                float v = out[a * TILE + b] + more;
                v += residual ? residual[at] : 0.0f;
                y[at] = relu && v < 0.0f ? 0.0f : v;
            }
}

/* Weights [outputs, 3, 3, channels] into [plane][output][channel]. */
kernel void conv2d_winograd_kernels(ARG(const float, weights), ARG(float, to), int outputs, int channels) {
    AT(weights);
    AT(to);
    const int c = (int)get_global_id(0), o = (int)get_global_id(1);
    if (c >= channels || o >= outputs)
        return;
    float w[9], once[PATCH * 3], t[PLANES];
    weights += o * 9 * channels + c;
#pragma unroll
    for (int i = 0; i < 9; i++)
        w[i] = weights[i * channels];
#pragma unroll
    for (int i = 0; i < 3; i++)
        transform_weights(w + i, once + i, 3);
#pragma unroll
    for (int i = 0; i < PATCH; i++)
        transform_weights(once + i * 3, t + i * PATCH, 1);
    to += o * channels + c;
#pragma unroll
    for (int i = 0; i < PLANES; i++)
        to[i * outputs * channels] = t[i];
}
