/* conv2d_vectors_spread.cl: convolutions whose groups have few channels, as many in as out, on a CPU's cores: groups
 * lie side by side in a vector, and each input channel is spread over the lanes of its group. Sums are in the order of
 * libtl's CPU backend. */
#include "conv2d_vectors_tile.cl"
#define ROWS 8 /* of a tile: as many independent sums hide the latency */
#define EACH_ROW UNROLL for (int i = 0; i < ROWS; i++)

/* SPREAD_g_k: lane k of each g lanes, in all of them. */
#if TL_LANES == 16
#define SPREAD_1_0 s0123456789abcdef
#define SPREAD_2_0 s0022446688aaccee
#define SPREAD_2_1 s1133557799bbddff
#define SPREAD_4_0 s000044448888cccc
#define SPREAD_4_1 s111155559999dddd
#define SPREAD_4_2 s22226666aaaaeeee
#define SPREAD_4_3 s33337777bbbbffff
#define SPREAD_8_0 s0000000088888888
#define SPREAD_8_1 s1111111199999999
#define SPREAD_8_2 s22222222aaaaaaaa
#define SPREAD_8_3 s33333333bbbbbbbb
#define SPREAD_8_4 s44444444cccccccc
#define SPREAD_8_5 s55555555dddddddd
#define SPREAD_8_6 s66666666eeeeeeee
#define SPREAD_8_7 s77777777ffffffff
#define SPREAD_16_0 s0000000000000000
#define SPREAD_16_1 s1111111111111111
#define SPREAD_16_2 s2222222222222222
#define SPREAD_16_3 s3333333333333333
#define SPREAD_16_4 s4444444444444444
#define SPREAD_16_5 s5555555555555555
#define SPREAD_16_6 s6666666666666666
#define SPREAD_16_7 s7777777777777777
#define SPREAD_16_8 s8888888888888888
#define SPREAD_16_9 s9999999999999999
#define SPREAD_16_10 saaaaaaaaaaaaaaaa
#define SPREAD_16_11 sbbbbbbbbbbbbbbbb
#define SPREAD_16_12 scccccccccccccccc
#define SPREAD_16_13 sdddddddddddddddd
#define SPREAD_16_14 seeeeeeeeeeeeeeee
#define SPREAD_16_15 sffffffffffffffff
#elif TL_LANES == 8
#define SPREAD_1_0 s01234567
#define SPREAD_2_0 s00224466
#define SPREAD_2_1 s11335577
#define SPREAD_4_0 s00004444
#define SPREAD_4_1 s11115555
#define SPREAD_4_2 s22226666
#define SPREAD_4_3 s33337777
#define SPREAD_8_0 s00000000
#define SPREAD_8_1 s11111111
#define SPREAD_8_2 s22222222
#define SPREAD_8_3 s33333333
#define SPREAD_8_4 s44444444
#define SPREAD_8_5 s55555555
#define SPREAD_8_6 s66666666
#define SPREAD_8_7 s77777777
#else
#define SPREAD_1_0 s0123
#define SPREAD_2_0 s0022
#define SPREAD_2_1 s1133
#define SPREAD_4_0 s0000
#define SPREAD_4_1 s1111
#define SPREAD_4_2 s2222
#define SPREAD_4_3 s3333
#endif

#define EACH_1(X, g) X(g, 0)
#define EACH_2(X, g) X(g, 0) X(g, 1)
#define EACH_4(X, g) EACH_2(X, g) X(g, 2) X(g, 3)
#define EACH_8(X, g) EACH_4(X, g) X(g, 4) X(g, 5) X(g, 6) X(g, 7)
#define EACH_16(X, g) EACH_8(X, g) X(g, 8) X(g, 9) X(g, 10) X(g, 11) X(g, 12) X(g, 13) X(g, 14) X(g, 15)

/* The first `valid` floats, then zeros. */
static vf load_valid(const global float *from, int valid) {
    if (valid == TL_LANES)
        return v_load(0, from);
    vf x = 0.0f;
    for (int l = 0; l < valid; l++)
        ((float *)&x)[l] = from[l];
    return x;
}

/* What follows the sums of a row, of which `valid` are there. */
static void finish_row(vf s, int valid, int relu, const global float *bias, const global float *residual,
                       const global float *mask, global float *to) {
    if (bias)
        s += load_valid(bias, valid);
    if (residual)
        s += load_valid(residual, valid);
    if (relu)
        s = select(s, (vf)0.0f, s < 0.0f);
    if (mask)
        s = select((vf)0.0f, s, load_valid(mask, valid) > 0.0f);
    if (valid == TL_LANES) {
        v_store(s, 0, to);
        return;
    }
    for (int l = 0; l < valid; l++)
        to[l] = ((const float *)&s)[l];
}

/* A tile of ROWS rows by one vector: rows are pixels of the destination as in conv2d_vectors.cl, a tap's piece is the
 * same vector of channels in the source. Packed weights are [vector][tap][channel of the group][lane]. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_spread(ARG(const float, from), ARG(const float, packed), ARG(const float, bias),
                   ARG(const float, residual), ARG(const float, mask), ARG(float, to), long phase_at,
                   int rows, int count_y, int count_x,
                   int from_height, int from_width, int step_y, int step_x, int offset_y, int offset_x,
                   int tap_y, int tap_x, int taps, int taps_x, int depth, int channels,
                   int to_height, int to_width, int to_step_y, int to_step_x, int to_y, int to_x, int relu) {
    AT(from);
    AT(packed);
    AT(bias);
    AT(residual);
    AT(mask);
    AT(to);
    const int column = get_global_id(0) * TL_LANES, strip = get_global_id(1), strips = get_global_size(1);
    const int valid = min(channels - column, TL_LANES);
    const long tiles = (rows + ROWS - 1) / ROWS;
    const int row_begin = (int)(tiles * strip / strips) * ROWS;
    const int row_end = min((int)(tiles * (strip + 1) / strips) * ROWS, rows);
    const global float *weights = packed + phase_at + (long)column * taps * depth;
    for (int row = row_begin; row < row_end; row += ROWS) {
        const global float *image[ROWS], *b = weights;
        int y[ROWS], x[ROWS];
        vf sum[ROWS];
        EACH_ROW {
            const int r = min(row + i, rows - 1), line = r / count_x, n = line / count_y;
            x[i] = (r - line * count_x) * step_x + offset_x;
            y[i] = (line - n * count_y) * step_y + offset_y;
            image[i] = from + (long)n * from_height * from_width * channels + column;
            sum[i] = 0.0f;
        }
        int ty = 0, tx = 0;
        for (int t = 0; t < taps; t++, b += depth * TL_LANES) {
            vf piece[ROWS];
            EACH_ROW {
                const int from_y = y[i] + ty * tap_y, from_x = x[i] + tx * tap_x;
                const bool inside = (uint)from_y < (uint)from_height && (uint)from_x < (uint)from_width;
                piece[i] = inside ? load_valid(image[i] + ((long)from_y * from_width + from_x) * channels, valid)
                                  : (vf)0.0f;
            }
            if (++tx == taps_x) {
                tx = 0;
                ty++;
            }
#define STEP(g, k)                                                \
    {                                                             \
        const vf w = v_load(k, b);                                \
        EACH_ROW sum[i] = fma(piece[i].SPREAD_##g##_##k, w, sum[i]); \
    }
            switch (depth) {
            case 1:
                EACH_1(STEP, 1)
                break;
            case 2:
                EACH_2(STEP, 2)
                break;
            case 4:
                EACH_4(STEP, 4)
                break;
#if TL_LANES >= 8
            case 8:
                EACH_8(STEP, 8)
                break;
#endif
#if TL_LANES >= 16
            case 16:
                EACH_16(STEP, 16)
                break;
#endif
            }
        }
        vf last[ROWS];
        EACH_ROW last[i] = sum[i];
        int line = row / count_x, to_c = row - line * count_x, n = line / count_y, to_r = line - n * count_y;
        for (int r = row; r < min(row + ROWS, row_end); r++) {
            const long at = (((long)n * to_height + to_r * to_step_y + to_y) * to_width + to_c * to_step_x + to_x) *
                            channels + column;
            if (++to_c == count_x) {
                to_c = 0;
                if (++to_r == count_y) {
                    to_r = 0;
                    n++;
                }
            }
            finish_row(last[r - row], valid, relu, bias ? bias + column : bias, residual ? residual + at : residual,
                       mask ? mask + at : mask, to + at);
        }
    }
}

/* Weights [channel, taps, depth] into [vector][tap][k][lane] of one phase, see conv2d_pack. A work-item takes a tap of
 * a vector. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_spread_pack(ARG(const float, weights), ARG(float, packed), long phase_at, int transposed, int first_y,
                        int first_x, int step_y, int step_x, int kernel_height, int kernel_width, int depth,
                        int channels) {
    AT(weights);
    AT(packed);
    const int j = get_global_id(0), i = get_global_id(1), column = get_global_id(2) * TL_LANES;
    const int taps_x = get_global_size(0), taps = taps_x * (int)get_global_size(1);
    const int at = (first_y + i * step_y) * kernel_width + first_x + j * step_x, all = kernel_height * kernel_width;
    global float *to = packed + phase_at + ((long)column * taps + (i * taps_x + j) * TL_LANES) * depth;
    for (int k = 0; k < depth; k++, to += TL_LANES)
        for (int l = 0; l < TL_LANES; l++) {
            const int channel = column + l, in_group = channel - channel / depth * depth;
            const int out = transposed ? channel - in_group + k : channel, in = transposed ? in_group : k;
            to[l] = channel < channels ? weights[((long)out * all + at) * depth + in] : 0.0f;
        }
}

/* Sums over a chunk's pixels, in blocks, for a vector of outputs: sums[chunk][vector][tap][k][lane]. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_spread_weight(ARG(const float, x), ARG(const float, dy), ARG(float, sums), long pixels, int out_height,
                          int out_width, int height, int width, int stride_y, int stride_x, int pad_y, int pad_x,
                          int dilation_y, int dilation_x, int taps_y, int taps_x, int depth, int channels, int block) {
    AT(x);
    AT(dy);
    AT(sums);
    const int vector = get_global_id(0), vectors = get_global_size(0), column = vector * TL_LANES;
    const int chunk = get_global_id(1), chunks = get_global_size(1);
    const int valid = min(channels - column, TL_LANES), taps = taps_y * taps_x;
    const long first = pixels * chunk / chunks, end = pixels * (chunk + 1) / chunks;
    x += column;
    dy += column;
    sums += ((long)chunk * vectors + vector) * taps * depth * TL_LANES;
    for (long at = first; at < end; at += block) {
        const int count = (int)min((long)block, end - at);
        const long line = at / out_width;
        const int begin_x = (int)(at - line * out_width), begin_n = (int)(line / out_height);
        const int begin_y = (int)(line - (long)begin_n * out_height);
        for (int t = 0, i = 0, j = 0; t < taps; t++) {
            const int offset_y = i * dilation_y - pad_y, offset_x = j * dilation_x - pad_x;
            int out_x = begin_x, out_y = begin_y;
            const global float *image = x + (long)begin_n * height * width * channels, *from = dy + at * channels;
            global float *to = sums + (long)t * depth * TL_LANES;
#define CLEAR(g, k) vf sum##k = 0.0f;
#define ADD(g, k) sum##k = fma(piece.SPREAD_##g##_##k, d, sum##k);
#define KEEP(g, k) v_store(at > first ? v_load(k, to) + sum##k : sum##k, k, to);
#define PASS(g)                                                                                                    \
    {                                                                                                              \
        EACH_##g(CLEAR, g)                                                                                         \
        for (int p = 0; p < count; p++, from += channels) {                                                        \
            const int from_y = out_y * stride_y + offset_y, from_x = out_x * stride_x + offset_x;                  \
            const bool inside = (uint)from_y < (uint)height && (uint)from_x < (uint)width;                         \
            const vf d = load_valid(from, valid);                                                                   \
            const global float *pixel = image + ((long)from_y * width + from_x) * channels;                        \
            const vf piece = inside ? load_valid(pixel, valid) : (vf)0.0f;                                         \
            EACH_##g(ADD, g)                                                                                       \
            if (++out_x == out_width) {                                                                            \
                out_x = 0;                                                                                         \
                if (++out_y == out_height) {                                                                       \
                    out_y = 0;                                                                                     \
                    image += (long)height * width * channels;                                                      \
                }                                                                                                  \
            }                                                                                                      \
        }                                                                                                          \
        EACH_##g(KEEP, g)                                                                                          \
    }
            switch (depth) {
            case 1:
                PASS(1)
                break;
            case 2:
                PASS(2)
                break;
            case 4:
                PASS(4)
                break;
#if TL_LANES >= 8
            case 8:
                PASS(8)
                break;
#endif
#if TL_LANES >= 16
            case 16:
                PASS(16)
                break;
#endif
            }
            if (++j == taps_x) {
                j = 0;
                i++;
            }
        }
    }
}

/* dw[channel][tap][k], the chunks' sums added up in order. A work-item takes a channel. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_spread_scatter(ARG(const float, sums), ARG(float, dw), int each, int vectors, int chunks) {
    AT(sums);
    AT(dw);
    const int channel = get_global_id(0), vector = channel / TL_LANES, lane = channel - vector * TL_LANES;
    for (int i = 0; i < each; i++) {
        float sum = sums[((long)vector * each + i) * TL_LANES + lane];
        for (int c = 1; c < chunks; c++)
            sum += sums[(((long)c * vectors + vector) * each + i) * TL_LANES + lane];
        dw[(long)channel * each + i] = sum;
    }
}
