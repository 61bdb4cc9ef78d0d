/* conv2d_vectors_weight.cl: conv2d_grad_weight on a CPU's cores: a matrix product over pixels. Sums are made in the order
 * of libtl's CPU backend: over the pixels of a block, blocks added up, chunks of blocks added up. */
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define vf CAT(float, TL_LANES)
#define v_load CAT(vload, TL_LANES)
#define v_store CAT(vstore, TL_LANES)
#define WIDTH (NV * TL_LANES)
#define UNROLL __attribute__((opencl_unroll_hint))
#define EACH_SUM UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NV; j++)

/* One pixel's floats of a panel, [column, column + valid) of its row of `taps * channels`: of each unit that lies side by
 * side in the image (a tap, or unit_taps of a kernel row) what is inside, zeros elsewhere. */
static void gather(const global float *image, int from_height, int from_width, int from_pixel, int from_y, int from_x,
                   int dilation_y, int dilation_x, int taps_x, int unit_taps, int channels, int column, int valid,
                   float *to) {
    const int unit = unit_taps * channels, units_x = taps_x / unit_taps;
    int u = column / unit, begin = column - u * unit;
    for (int done = 0; done < valid; u++, begin = 0) {
        const int length = min(unit - begin, valid - done);
        const int y = from_y + u / units_x * dilation_y, x = from_x + u % units_x * dilation_x;
        const bool line = (uint)y < (uint)from_height;
        const int low = line ? max(-x, 0) * channels : unit;
        const int high = line ? min(from_width - x, unit_taps) * channels : 0;
        const global float *from = image + ((long)y * from_width + x) * from_pixel;
        int i = 0;
        if (low <= begin && high >= begin + length)
            for (; i + TL_LANES <= length; i += TL_LANES)
                v_store(v_load(0, from + begin + i), 0, to + done + i);
        else if (low >= begin + length || high <= begin)
            for (; i + TL_LANES <= length; i += TL_LANES)
                v_store((vf)0.0f, 0, to + done + i);
        for (; i < length; i++)
            to[done + i] = begin + i >= low && begin + i < high ? from[begin + i] : 0.0f;
        done += length;
    }
}

/* A work-item takes some rows (outputs of a group) of a panel of columns (taps and inputs) over a chunk of pixels. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_weight(ARG(const float, x), ARG(const float, dy), ARG(float, dw), long pixels, int out_height, int out_width,
                   int height, int width, int channels, int stride_y, int stride_x, int pad_y, int pad_x,
                   int dilation_y, int dilation_x, int taps_x, int unit_taps, int group_channels, int groups,
                   int group_outputs, int row_length, int panels, int row_parts, int chunks, int block) {
    AT(x);
    AT(dy);
    AT(dw);
    const int all = groups * panels, item = get_global_id(0), panel = item % all;
    const int part = item / all % row_parts, chunk = item / all / row_parts;
    const int group = panel / panels, column = (panel - group * panels) * WIDTH;
    const int valid = min(row_length - column, WIDTH), outputs = groups * group_outputs;
    const int tiles = (group_outputs + MR - 1) / MR;
    const int row_begin = tiles * part / row_parts * MR;
    const int row_end = min(tiles * (part + 1) / row_parts * MR, group_outputs);
    const long first = pixels * chunk / chunks, end = pixels * (chunk + 1) / chunks;
    float rows[BLOCK * WIDTH];
    x += group * group_channels;
    dy += group * group_outputs;
    dw += ((long)chunk * outputs + (long)group * group_outputs) * row_length + column;
    for (int i = 0; i < block; i++)
        for (int c = valid; c < WIDTH; c++)
            rows[i * WIDTH + c] = 0.0f;
    for (long at = first; at < end; at += block) {
        const int count = (int)min((long)block, end - at);
        long line = at / out_width;
        int out_x = (int)(at - line * out_width), n = (int)(line / out_height), out_y = (int)(line - (long)n * out_height);
        for (int i = 0; i < count; i++) {
            gather(x + (long)n * height * width * channels, height, width, channels, out_y * stride_y - pad_y,
                   out_x * stride_x - pad_x, dilation_y, dilation_x, taps_x, unit_taps, group_channels, column, valid,
                   rows + i * WIDTH);
            if (++out_x == out_width) {
                out_x = 0;
                if (++out_y == out_height) {
                    out_y = 0;
                    n++;
                }
            }
        }
        for (int row = row_begin; row < row_end; row += MR) {
            const global float *a = dy + at * outputs + row;
            int step[MR];
            vf sum[MR][NV];
            UNROLL for (int i = 0; i < MR; i++)
                step[i] = min(row + i, row_end - 1) - row;
            EACH_SUM sum[i][j] = 0.0f;
            for (int p = 0; p < count; p++, a += outputs) {
                vf w[NV];
                UNROLL for (int j = 0; j < NV; j++)
                    w[j] = v_load(j, rows + p * WIDTH);
                UNROLL for (int i = 0; i < MR; i++) {
                    const vf s = a[step[i]];
                    UNROLL for (int j = 0; j < NV; j++)
                        sum[i][j] = fma(w[j], s, sum[i][j]);
                }
            }
            float last[MR * WIDTH];
            EACH_SUM v_store(sum[i][j], i * NV + j, last);
            for (int i = 0; i < min(MR, row_end - row); i++) {
                global float *to = dw + (long)(row + i) * row_length;
                const float *mine = last + i * WIDTH;
                int c = 0;
                for (; c + TL_LANES <= valid; c += TL_LANES)
                    v_store(at > first ? v_load(0, to + c) + v_load(0, mine + c) : v_load(0, mine + c), 0, to + c);
                for (; c < valid; c++)
                    to[c] = at > first ? to[c] + mine[c] : mine[c];
            }
        }
    }
}

/* Sums of dy over chunks of pixels. A work-item takes a vector of outputs in a chunk. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_bias(ARG(const float, dy), ARG(float, sums), long pixels, int outputs, int vectors, int chunks) {
    AT(dy);
    AT(sums);
    const int item = get_global_id(0), chunk = item / vectors, at = (item - chunk * vectors) * TL_LANES;
    const long first = pixels * chunk / chunks, end = pixels * (chunk + 1) / chunks;
    dy += first * outputs + at;
    sums += (long)chunk * outputs + at;
    if (at + TL_LANES <= outputs) {
        vf sum = v_load(0, dy);
        for (long p = first + 1; p < end; p++) {
            dy += outputs;
            sum += v_load(0, dy);
        }
        v_store(sum, 0, sums);
        return;
    }
    for (int c = 0; at + c < outputs; c++) {
        float sum = dy[c];
        for (long p = 1; p < end - first; p++)
            sum += dy[p * outputs + c];
        sums[c] = sum;
    }
}

/* to = the chunks' sums added up in order. A work-item takes 16 elements. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_chunks(ARG(const float, sums), ARG(float, to), long count, int chunks) {
    AT(sums);
    AT(to);
    long i = (long)get_global_id(0) * 16;
    if (i + 16 <= count) {
        float16 sum = vload16(0, sums + i);
        for (int c = 1; c < chunks; c++)
            sum += vload16(0, sums + c * count + i);
        vstore16(sum, 0, to + i);
        return;
    }
    for (; i < count; i++) {
        float sum = sums[i];
        for (int c = 1; c < chunks; c++)
            sum += sums[c * count + i];
        to[i] = sum;
    }
}
