/* conv2d_winograd.cl: conv2d by Winograd's F(4x4, 3x3) on a CPU's cores; backends/cpu/winograd.h has the matrices. As in
 * conv2d_vectors.cl a work-group is one work-item with a tile of MR rows by NV vectors in registers. */
#include "conv2d_vectors_tile.cl"
#define PATCH 6
#define TILE 4
#define PLANES 36
#define P 0.70710678f
#define Q 1.41421356f

typedef struct job {
    const global float *x, *zeros, *weights, *bias, *residual;
    global float *y, *from, *to; /* `from`: transformed pixels, `to`: products, by planes */
    int from_plane, to_plane, from_pitch, to_pitch;
    int height, width, channels, out_height, out_width, outputs, pad_y, pad_x, tiles_y, tiles_x, panels, relu;
} job;

/* The first `valid` floats, then zeros. */
static vf load_valid(const global float *from, int valid) {
    if (valid >= TL_LANES)
        return v_load(0, from);
    vf x = 0.0f;
    for (int l = 0; l < valid; l++)
        ((float *)&x)[l] = from[l];
    return x;
}

/* t = B^T d, strided. */
static void transform_input(const vf *d, vf *t, int step) {
    vf even = fma(-2.0f, d[2 * step], d[4 * step]), odd = fma((vf)P, d[3 * step], -(vf)Q * d[step]);
    t[0] = fma(-2.5f, d[2 * step], d[0] + d[4 * step]);
    t[step] = even + odd;
    t[2 * step] = even - odd;
    even = fma(-0.5f, d[2 * step], d[4 * step]);
    odd = fma((vf)Q, d[3 * step], -(vf)P * d[step]);
    t[3 * step] = even + odd;
    t[4 * step] = even - odd;
    t[5 * step] = fma(-2.5f, d[3 * step], d[step] + d[5 * step]);
}

/* y = A^T m, strided. */
static void transform_output(const vf *m, vf *y, int step) {
    const vf sum1 = m[step] + m[2 * step], sum2 = m[3 * step] + m[4 * step];
    const vf odd1 = m[step] - m[2 * step], odd2 = m[3 * step] - m[4 * step];
    y[0] = m[0] + sum1 + sum2;
    y[step] = fma((vf)P, odd1, Q * odd2);
    y[2 * step] = fma((vf)0.5f, sum1, 2.0f * sum2);
    y[3 * step] = fma((vf)(P / 2), odd1, fma((vf)(2 * Q), odd2, m[5 * step]));
}

/* Patch `tile` of all into row `row` of the planes. */
static void transform_patch(const job *j, int tile, int row) {
    const int line = tile / j->tiles_x, n = line / j->tiles_y;
    const int x = (tile - line * j->tiles_x) * TILE - j->pad_x, y = (line - n * j->tiles_y) * TILE - j->pad_y;
    const global float *image = j->x + (long)n * j->height * j->width * j->channels, *pixels[PLANES];
    for (int a = 0; a < PATCH; a++)
        for (int b = 0; b < PATCH; b++) {
            const bool inside = (uint)(y + a) < (uint)j->height && (uint)(x + b) < (uint)j->width;
            pixels[a * PATCH + b] = inside ? image + ((long)(y + a) * j->width + x + b) * j->channels : j->zeros;
        }
    global float *to = j->from + (long)row * j->from_pitch;
    for (int c = 0; c < j->channels; c += TL_LANES, to += TL_LANES) {
        vf d[PLANES], once[PLANES];
        if (c + TL_LANES <= j->channels) {
            UNROLL for (int i = 0; i < PLANES; i++)
                d[i] = v_load(0, pixels[i] + c);
        } else {
            for (int i = 0; i < PLANES; i++)
                d[i] = load_valid(pixels[i] + c, j->channels - c);
        }
        UNROLL for (int i = 0; i < PATCH; i++)
            transform_input(d + i, once + i, PATCH);
        UNROLL for (int i = 0; i < PATCH; i++)
            transform_input(once + i * PATCH, d + i * PATCH, 1);
        UNROLL for (int i = 0; i < PLANES; i++)
            v_store(d[i], 0, to + (long)i * j->from_plane);
    }
}

/* Item (plane, panel) of the products of `count` rows. Sums are made in chains, as in conv2d_vectors.cl. */
static void multiply(const job *j, int item, int count) {
    const int plane = item / j->panels, panel = item - plane * j->panels;
    const global float *from = j->from + (long)plane * j->from_plane;
    const global float *packed = j->weights + (long)item * j->channels * WIDTH;
    global float *to = j->to + (long)plane * j->to_plane + panel * WIDTH;
    for (int row = 0; row < count; row += MR) {
        const global float *a[MR], *b = packed;
        vf sum[MR][NV], total[MR][NV];
        UNROLL for (int i = 0; i < MR; i++)
            a[i] = from + (long)min(row + i, count - 1) * j->from_pitch;
        EACH_SUM {
            sum[i][j] = 0.0f;
            total[i][j] = 0.0f;
        }
        for (int k = 0; k < j->channels;) {
            const int end = min(k + CHAIN, j->channels);
            for (; k < end; k++, b += WIDTH) {
                vf w[NV];
                UNROLL for (int v = 0; v < NV; v++)
                    w[v] = v_load(v, b);
                UNROLL for (int i = 0; i < MR; i++) {
                    const vf one = a[i][k];
                    UNROLL for (int v = 0; v < NV; v++)
                        sum[i][v] = fma(w[v], one, sum[i][v]);
                }
            }
            EACH_SUM {
                total[i][j] += sum[i][j];
                sum[i][j] = 0.0f;
            }
        }
        UNROLL for (int i = 0; i < MR; i++)
            if (row + i < count) {
                UNROLL for (int v = 0; v < NV; v++)
                    v_store(total[i][v], v, to + (long)(row + i) * j->to_pitch);
            }
    }
}

/* Row `row` of the products into tile `tile` of all. */
static void transform_tile(const job *j, int tile, int row) {
    const int line = tile / j->tiles_x, n = line / j->tiles_y;
    const int x = (tile - line * j->tiles_x) * TILE, y = (line - n * j->tiles_y) * TILE;
    const int height = min(TILE, j->out_height - y), width = min(TILE, j->out_width - x);
    const long first = (((long)n * j->out_height + y) * j->out_width + x) * j->outputs;
    const global float *from = j->to + (long)row * j->to_pitch;
    for (int c = 0; c < j->outputs; c += TL_LANES, from += TL_LANES) {
        vf m[PLANES], once[TILE * PATCH], y[PLANES];
        UNROLL for (int i = 0; i < PLANES; i++)
            m[i] = v_load(0, from + (long)i * j->to_plane);
        UNROLL for (int i = 0; i < PATCH; i++)
            transform_output(m + i, once + i, PATCH);
        UNROLL for (int i = 0; i < TILE; i++)
            transform_output(once + i * PATCH, y + i * PATCH, 1);
        const int valid = min(j->outputs - c, TL_LANES);
        const vf bias = j->bias ? load_valid(j->bias + c, valid) : (vf)0.0f;
        for (int a = 0; a < height; a++)
            for (int b = 0; b < width; b++) {
                const long at = first + ((long)a * j->out_width + b) * j->outputs + c;
                vf s = y[a * PATCH + b] + bias;
                if (j->residual)
                    s += load_valid(j->residual + at, valid);
                if (j->relu)
                    s = select(s, (vf)0.0f, s < 0.0f);
                if (valid == TL_LANES) {
                    v_store(s, 0, j->y + at);
                } else {
                    for (int l = 0; l < valid; l++)
                        j->y[at + l] = ((const float *)&s)[l];
                }
            }
    }
}

/* Tiles first .. first + count - 1, by steps: 1 patches, 2 products, 4 tiles. With all of them each work-item takes its
 * part of the tiles through them, `block` at a time, in planes of its own, so small that they stay in its cache; otherwise
 * it takes its part of one step, on planes of all. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_winograd(ARG(const float, x), ARG(const float, weights), ARG(const float, bias), ARG(const float, residual),
                     ARG(float, y), ARG(float, planes), long zeros_at, int first, int count, int block, int steps,
                     int from_pitch, int to_pitch, int from_plane, int to_plane,
                     int height, int width, int channels, int out_height, int out_width, int outputs,
                     int pad_y, int pad_x, int tiles_y, int tiles_x, int panels, int relu) {
    AT(x);
    AT(weights);
    AT(bias);
    AT(residual);
    AT(y);
    AT(planes);
    const long worker = get_global_id(0), workers = get_global_size(0);
    const bool all = steps == 7;
    const int items = PLANES * panels, work = steps == 2 ? items : count;
    const int begin = (int)(work * worker / workers), end = (int)(work * (worker + 1) / workers);
    if (all)
        planes += worker * PLANES * ((long)from_plane + to_plane);
    const job j = {x, weights + zeros_at, weights, bias, residual, y, planes, planes + (long)PLANES * from_plane,
                   from_plane, to_plane, from_pitch, to_pitch, height, width, channels, out_height, out_width, outputs,
                   pad_y, pad_x, tiles_y, tiles_x, panels, relu};
    int at = begin;
    for (int left = all ? (end - begin + block - 1) / block : 1; left > 0 && begin < end; left--) {
        const int rows = (end - at + left - 1) / left, row = all ? 0 : at;
        if (steps & 1)
            for (int t = 0; t < rows; t++)
                transform_patch(&j, first + at + t, row + t);
        if (steps & 2)
            for (int i = all ? 0 : begin; i < (all ? items : end); i++)
                multiply(&j, i, all ? rows : count);
        if (steps & 4)
            for (int t = 0; t < rows; t++)
                transform_tile(&j, first + at + t, row + t);
        at += rows;
    }
}

/* G of three weights. */
static void transform_weights(vf w0, vf w1, vf w2, vf *t, int step) {
    const vf outer1 = fma((vf)-(1.0f / 3), w2, (vf)-(2.0f / 3) * w0), inner1 = (vf)(P * 2 / 3) * w1;
    const vf outer2 = fma((vf)(1.0f / 3), w2, (vf)(1.0f / 6) * w0), inner2 = (vf)(Q / 6) * w1;
    t[0] = w0;
    t[step] = outer1 - inner1;
    t[2 * step] = outer1 + inner1;
    t[3 * step] = outer2 + inner2;
    t[4 * step] = outer2 - inner2;
    t[5 * step] = w2;
}

/* Weights [outputs, 3, 3, channels] that train into [plane][panel][channel][WIDTH]; a work-item takes LINE channels of a
 * panel, so that each line of the weights is used whole. The first one also writes the zeros. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_winograd_weights(ARG(const float, weights), ARG(float, packed), long zeros_at, int channels, int outputs) {
    AT(weights);
    AT(packed);
    const int begin = get_global_id(0) * LINE, end = min(begin + LINE, channels), panel = get_global_id(1);
    const long plane = (long)get_global_size(1) * channels * WIDTH;
    for (int z = 0; z < channels && begin + panel == 0; z++)
        packed[zeros_at + z] = 0.0f;
    for (int v = 0; v < NV; v++) {
        const int o = panel * WIDTH + v * TL_LANES;
        for (int k = begin; k < end; k++) {
            vf w[9], once[PATCH * 3], t[PLANES];
            for (int i = 0; i < 9; i++) {
                w[i] = 0.0f;
                for (int l = 0; l < min(outputs - o, TL_LANES); l++)
                    ((float *)&w[i])[l] = weights[((long)(o + l) * 9 + i) * channels + k];
            }
            UNROLL for (int i = 0; i < 3; i++)
                transform_weights(w[i], w[3 + i], w[6 + i], once + i, 3);
            UNROLL for (int i = 0; i < PATCH; i++)
                transform_weights(once[3 * i], once[3 * i + 1], once[3 * i + 2], t + i * PATCH, 1);
            global float *to = packed + ((long)panel * channels + k) * WIDTH + v * TL_LANES;
            UNROLL for (int i = 0; i < PLANES; i++)
                v_store(t[i], 0, to + i * plane);
        }
    }
}
