/* conv2d_vectors.cl: conv2d and conv2d_grad_input on a CPU's cores, as one matrix product. A work-group is one
 * work-item and keeps a tile of MR rows by NV vectors in registers while k runs; neither local memory nor barriers.
 *
 * Every sum is made in the order of libtl's CPU backend, chains of CHAIN fused multiply-adds (and up to LINE - 1 more)
 * that are then added up, so that both give the same bits. */
#include "conv2d_vectors_tile.cl"

/* Rows of the product, see conv2d_tiles. */
typedef struct rows_source {
    const global float *from, *zeros;
    int rows, count_y, count_x, height, width, pixel, step_y, step_x, offset_y, offset_x, tap_y, tap_x, taps_x;
} rows_source;

/* Sums of the tile at `row` over taps t_begin .. t_end - 1 and floats k_begin .. k_end - 1 of each, or adds them. */
static void multiply(const rows_source *s, const global float *b, int row, int t_begin, int t_end, int k_begin,
                     int k_end, int add, vf *sums) {
    const global float *image[MR];
    int y[MR], x[MR];
    UNROLL for (int i = 0; i < MR; i++) {
        const int r = min(row + i, s->rows - 1), line = r / s->count_x, n = line / s->count_y;
        x[i] = (r - line * s->count_x) * s->step_x + s->offset_x;
        y[i] = (line - n * s->count_y) * s->step_y + s->offset_y;
        image[i] = s->from + (long)n * s->height * s->width * s->pixel;
    }
    vf sum[MR][NV], total[MR][NV];
    EACH_SUM {
        sum[i][j] = 0.0f;
        total[i][j] = 0.0f;
    }
    int chain = 0, ty = t_begin / s->taps_x, tx = t_begin - ty * s->taps_x;
    for (int t = t_begin; t < t_end; t++) {
        const global float *a[MR];
        UNROLL for (int i = 0; i < MR; i++) {
            const int from_y = y[i] + ty * s->tap_y, from_x = x[i] + tx * s->tap_x;
            const bool inside = (uint)from_y < (uint)s->height && (uint)from_x < (uint)s->width;
            a[i] = inside ? image[i] + ((long)from_y * s->width + from_x) * s->pixel : s->zeros;
        }
        if (++tx == s->taps_x) {
            tx = 0;
            ty++;
        }
        for (int k = k_begin; k < k_end;) {
            const int end = min(k + LINE, k_end);
            chain += end - k;
            for (; k < end; k++, b += WIDTH) {
                vf w[NV];
                UNROLL for (int j = 0; j < NV; j++)
                    w[j] = v_load(j, b);
                UNROLL for (int i = 0; i < MR; i++) {
                    const vf one = a[i][k];
                    UNROLL for (int j = 0; j < NV; j++)
                        sum[i][j] = fma(w[j], one, sum[i][j]);
                }
            }
            if (chain >= CHAIN) {
                EACH_SUM {
                    total[i][j] += sum[i][j];
                    sum[i][j] = 0.0f;
                }
                chain = 0;
            }
        }
    }
    EACH_SUM {
        const vf all = sum[i][j] + total[i][j];
        sums[i * NV + j] = add ? all + sums[i * NV + j] : all;
    }
}

/* What follows the sums of a row, of which `valid` are there. */
static void finish_row(const vf *sums, int valid, int relu, const global float *bias, const global float *residual,
                       const global float *mask, global float *to) {
    if (valid == WIDTH) {
        UNROLL for (int j = 0; j < NV; j++) {
            vf s = sums[j];
            if (bias)
                s += v_load(j, bias);
            if (residual)
                s += v_load(j, residual);
            if (relu)
                s = select(s, (vf)0.0f, s < 0.0f);
            if (mask)
                s = select((vf)0.0f, s, v_load(j, mask) > 0.0f);
            v_store(s, j, to);
        }
        return;
    }
    for (int c = 0; c < valid; c++) {
        float s = ((const float *)sums)[c];
        if (bias)
            s += bias[c];
        if (residual)
            s += residual[c];
        if (relu)
            s = s < 0.0f ? 0.0f : s;
        if (mask)
            s = mask[c] > 0.0f ? s : 0.0f;
        to[c] = s;
    }
}

/* Rows of the product are pixels of the destination, in `strips` of at most STRIP; each strip meets every panel of
 * columns, and panels follow one another fastest, so that its pixels stay in the cache. Tap (i, j) of pixel (y, x) is
 * `depth` floats of the source's pixel (y, x) * step + offset + (i, j) * tap, zeros where that is outside. Where all
 * of k is too much for the cache, it comes in parts, each of which all rows of the strip go through. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_tiles(ARG(const float, from), ARG(const float, packed), ARG(const float, bias),
                  ARG(const float, residual), ARG(const float, mask), ARG(float, to), long zeros_at,
                  long phase_at, int rows, int count_y, int count_x, int strips,
                  int from_height, int from_width, int from_pixel, int step_y, int step_x, int offset_y, int offset_x,
                  int tap_y, int tap_x, int taps, int taps_x, int depth, int group_from,
                  int columns, int parts, int part_taps, int part_depth,
                  int to_height, int to_width, int to_pixel, int to_step_y, int to_step_x, int to_y, int to_x,
                  int relu) {
    AT(from);
    AT(packed);
    AT(bias);
    AT(residual);
    AT(mask);
    AT(to);
    const int panel = get_global_id(0), group = get_global_id(1), strip = get_global_id(2), panels = get_global_size(0);
    const int column = panel * WIDTH, to_column = group * columns + column;
    const int valid = min(columns - column, WIDTH);
    const long tiles = (rows + MR - 1) / MR;
    const int row_begin = (int)(tiles * strip / strips) * MR;
    const int row_end = min((int)(tiles * (strip + 1) / strips) * MR, rows);
    vf sums[STRIP * NV]; /* as floats they would be out of line with the cache, and take twice as long to compile */
    const rows_source source = {from + group * group_from, packed + zeros_at, rows, count_y, count_x, from_height,
                                from_width, from_pixel, step_y, step_x, offset_y, offset_x, tap_y, tap_x, taps_x};
    const global float *b_part = packed + phase_at + ((long)group * panels + panel) * taps * depth * WIDTH;
    for (int part = 0; part < parts; part++) {
        const bool by_taps = part_taps < taps;
        const int t_begin = by_taps ? part * part_taps : 0, t_end = min(t_begin + part_taps, taps);
        const int k_begin = by_taps ? 0 : part * part_depth, k_end = min(k_begin + part_depth, depth);
        for (int row = row_begin; row < row_end; row += MR) {
            vf *mine = sums + (row - row_begin) * NV;
            multiply(&source, b_part, row, t_begin, t_end, k_begin, k_end, part > 0, mine);
            if (part + 1 < parts)
                continue;
            int line = row / count_x, to_c = row - line * count_x, n = line / count_y, to_r = line - n * count_y;
            for (int r = row; r < min(row + MR, row_end); r++, mine += NV) {
                const long at = (((long)n * to_height + to_r * to_step_y + to_y) * to_width + to_c * to_step_x + to_x) *
                                to_pixel + to_column;
                if (++to_c == count_x) {
                    to_c = 0;
                    if (++to_r == count_y) {
                        to_r = 0;
                        n++;
                    }
                }
                finish_row(mine, valid, relu, bias ? bias + to_column : bias, residual ? residual + at : residual,
                           mask ? mask + at : mask, to + at);
            }
        }
        b_part += (long)max(t_end - t_begin, 0) * (k_end - k_begin) * WIDTH;
    }
}

/* Weights [O, taps, C / groups] into panels [tap][k][WIDTH] of one phase, whose taps are first + (i, j) * step of the
 * kernel's; columns are outputs, or with `transposed` inputs. A work-item takes a line of taps of a panel; the first
 * one also writes the zeros. Blocks of k use each line of the weights whole. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_pack(ARG(const float, weights), ARG(float, packed), long zeros_at, long phase_at, int zeros, int transposed,
                 int taps_x, int first_y, int first_x, int step_y, int step_x, int kernel_height, int kernel_width,
                 int group_outputs, int group_inputs) {
    AT(weights);
    AT(packed);
    const int i = get_global_id(0), taps_y = get_global_size(0), group = get_global_id(2);
    const int panel = get_global_id(1), panels = get_global_size(1), column = panel * WIDTH;
    const int depth = transposed ? group_outputs : group_inputs, columns = transposed ? group_inputs : group_outputs;
    const int valid = min(columns - column, WIDTH);
    const long per_output = (long)kernel_height * kernel_width * group_inputs;
    const global float *from = weights + (long)group * group_outputs * per_output +
                               ((long)(first_y + i * step_y) * kernel_width + first_x) * group_inputs +
                               (transposed ? column : column * per_output);
    global float *to = packed + phase_at + (((long)group * panels + panel) * taps_y + i) * taps_x * depth * WIDTH;
    for (int z = 0; z < zeros && i + panel + group == 0; z++)
        packed[zeros_at + z] = 0.0f;
    for (int j = 0; j < taps_x; j++, from += step_x * group_inputs, to += depth * WIDTH)
        for (int begin = 0; begin < depth; begin += LINE) {
            const int end = min(begin + LINE, depth);
            if (transposed) {
                for (int k = begin; k < end; k++)
                    for (int c = 0; c < WIDTH; c++)
                        to[k * WIDTH + c] = c < valid ? from[k * per_output + c] : 0.0f;
                continue;
            }
            for (int c = 0; c < valid; c++)
                for (int k = begin; k < end; k++)
                    to[k * WIDTH + c] = from[c * per_output + k];
            for (int k = begin; k < end; k++)
                for (int c = valid; c < WIDTH; c++)
                    to[k * WIDTH + c] = 0.0f;
        }
}

/* Lines of `width` floats get `pad` zeros before and after them. A work-item takes a line. */
kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void conv2d_pad(ARG(const float, from), ARG(float, to), int width, int pad) {
    AT(from);
    AT(to);
    const long line = get_global_id(0);
    from += line * width;
    to += line * (width + 2 * pad);
    int i = 0;
    for (; i < pad; i++) {
        to[i] = 0.0f;
        to[pad + width + i] = 0.0f;
    }
    to += pad;
    for (i = 0; i + 16 <= width; i += 16)
        vstore16(vload16(0, from + i), 0, to + i);
    for (; i < width; i++)
        to[i] = from[i];
}
