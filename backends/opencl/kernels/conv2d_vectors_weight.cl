/* conv2d_vectors_weight.cl: conv2d_grad_weight on a CPU's cores: a matrix product over pixels. Sums are made in the
 * order of libtl's CPU backend: over the pixels of a block, blocks added up, chunks of blocks added up. */
#include "conv2d_vectors_tile.cl"

/* Where a panel begins in a pixel's row of taps and channels: in unit (i, j) of a kernel's rows, `begin` floats on. A
 * unit is what lies side by side in the image, a tap or `unit_taps` of a kernel row. */
typedef struct start {
    int i, j, begin;
} start;

/* `valid` floats of one pixel's row: of each unit what is inside of the image, zeros elsewhere. */
static void gather(const global float *image, int from_height, int from_width, int from_pixel, int from_y, int from_x,
                   int dilation_y, int dilation_x, int units_x, int unit_taps, int channels, start at, int valid,
                   float *to) {
    for (int done = 0; done < valid; at.begin = 0) {
        const int length = min(unit_taps * channels - at.begin, valid - done);
        const int y = from_y + at.i * dilation_y, x = from_x + at.j * dilation_x;
        const bool line = (uint)y < (uint)from_height;
        const int low = line ? max(-x, 0) * channels : INT_MAX;
        const int high = line ? min(from_width - x, unit_taps) * channels : 0;
        const global float *from = image + ((long)y * from_width + x) * from_pixel;
        int f = 0;
        if (low <= at.begin && high >= at.begin + length)
            for (; f + TL_LANES <= length; f += TL_LANES)
                v_store(v_load(0, from + at.begin + f), 0, to + done + f);
        else if (low >= at.begin + length || high <= at.begin)
            for (; f + TL_LANES <= length; f += TL_LANES)
                v_store((vf)0.0f, 0, to + done + f);
        for (; f < length; f++)
            to[done + f] = at.begin + f >= low && at.begin + f < high ? from[at.begin + f] : 0.0f;
        done += length;
        if (++at.j == units_x) {
            at.j = 0;
            at.i++;
        }
    }
}

/* `height` rows of dw: sums over a block's pixels of dy times what was brought together, or adds them. */
static void multiply(const global float *dy, int outputs, const vf *rows, int count, int height, int valid,
                     int row_length, int add, global float *dw) {
    int step[MR];
    vf sum[MR][NV];
    UNROLL for (int i = 0; i < MR; i++)
        step[i] = min(i, height - 1);
    EACH_SUM sum[i][j] = 0.0f;
    for (int p = 0; p < count; p++, dy += outputs) {
        vf w[NV];
        UNROLL for (int j = 0; j < NV; j++)
            w[j] = rows[p * NV + j];
        UNROLL for (int i = 0; i < MR; i++) {
            const vf s = dy[step[i]];
            UNROLL for (int j = 0; j < NV; j++)
                sum[i][j] = fma(w[j], s, sum[i][j]);
        }
    }
    vf last[MR * NV];
    EACH_SUM last[i * NV + j] = sum[i][j];
    const vf *mine = last;
    for (int i = 0; i < height; i++, dw += row_length, mine += NV) {
        if (valid == WIDTH) {
            UNROLL for (int j = 0; j < NV; j++) {
                const vf before = add ? v_load(j, dw) : (vf)0.0f;
                v_store(before + mine[j], j, dw);
            }
            continue;
        }
        for (int c = 0; c < valid; c++)
            dw[c] = (add ? dw[c] : 0.0f) + ((const float *)mine)[c];
    }
}

/* A work-item takes some rows (outputs of a group) of a panel of columns (taps and inputs) over a chunk of pixels. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_weight(ARG(const float, x), ARG(const float, dy), ARG(float, dw), long pixels, int out_height,
                   int out_width, int height, int width, int channels, int stride_y, int stride_x, int pad_y, int pad_x,
                   int dilation_y, int dilation_x, int taps_x, int unit_taps, int group_channels, int group_outputs,
                   int row_length, int row_parts, int chunks, int block) {
    AT(x);
    AT(dy);
    AT(dw);
    const int group = get_global_id(1), outputs = (int)get_global_size(1) * group_outputs;
    const int column = (int)get_global_id(0) * WIDTH, valid = min(row_length - column, WIDTH);
    const uint item = get_global_id(2), chunk = item / row_parts, part = item - chunk * row_parts;
    const uint tiles = (group_outputs + MR - 1) / MR;
    const int row_begin = (int)(tiles * part / row_parts) * MR;
    const int row_end = min((int)(tiles * (part + 1) / row_parts) * MR, group_outputs);
    const long first = pixels * chunk / chunks, end = pixels * (chunk + 1) / chunks;
    vf rows[BLOCK * NV]; /* as floats they would be out of line with the cache */
    x += group * group_channels;
    dy += group * group_outputs;
    dw += ((long)chunk * outputs + (long)group * group_outputs) * row_length + column;
    const int unit = unit_taps * group_channels, units_x = taps_x / unit_taps, first_unit = column / unit;
    start at_start = {.i = first_unit / units_x, .begin = column - first_unit * unit};
    at_start.j = first_unit - at_start.i * units_x;
    /* A panel in one unit of one tap: its rows are rows of x, or zeros. */
    const int tap = at_start.begin / group_channels, offset = at_start.begin - tap * group_channels;
    const int offset_y = at_start.i * dilation_y, offset_x = at_start.j * dilation_x + tap;
    const bool whole = valid == WIDTH && offset + WIDTH <= group_channels;
    for (int i = 0; i < block; i++)
        for (int c = valid; c < WIDTH; c++)
            ((float *)rows)[i * WIDTH + c] = 0.0f;
    for (long at = first; at < end; at += block) {
        const int count = (int)min((long)block, end - at);
        long line = at / out_width;
        int out_x = (int)(at - line * out_width), n = (int)(line / out_height);
        int out_y = (int)(line - (long)n * out_height);
        for (int i = 0; i < count; i++) {
            const global float *image = x + (long)n * height * width * channels;
            const int from_y = out_y * stride_y - pad_y, from_x = out_x * stride_x - pad_x;
            float *to = (float *)(rows + i * NV);
            if (whole) {
                const int y_in = from_y + offset_y, x_in = from_x + offset_x;
                const bool inside = (uint)y_in < (uint)height && (uint)x_in < (uint)width;
                image += ((long)y_in * width + x_in) * channels + offset;
                UNROLL for (int j = 0; j < NV; j++)
                    v_store(inside ? v_load(j, image) : (vf)0.0f, j, to);
            } else {
                gather(image, height, width, channels, from_y, from_x, dilation_y, dilation_x, units_x, unit_taps,
                       group_channels, at_start, valid, to);
            }
            if (++out_x == out_width) {
                out_x = 0;
                if (++out_y == out_height) {
                    out_y = 0;
                    n++;
                }
            }
        }
        for (int row = row_begin; row < row_end; row += MR) {
            multiply(dy + at * outputs + row, outputs, rows, count, min(MR, row_end - row), valid, row_length,
                     at > first, dw + (long)row * row_length);
        }
    }
}

/* Sums of dy over chunks of pixels. A work-item takes a vector of outputs in a chunk. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_bias(ARG(const float, dy), ARG(float, sums), long pixels, int outputs) {
    AT(dy);
    AT(sums);
    const int at = get_global_id(0) * TL_LANES, chunk = get_global_id(1), chunks = get_global_size(1);
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
