/* pool.cl: maximum and adaptive average pooling and their gradients. On a CPU a work-item takes a row of pixels, on a
 * GPU WIDE channels of a pixel. A gradient looks from each pixel at the windows that it is in; on a CPU they are added
 * up in memory, one after the other over all channels, so that what they have in common is worked out once. */
#if TL_VECTORS
typedef uchar16 wide_uchar;
#define load_wide_uchar(p) vload16(0, p)
#define store_wide_uchar(v, p) vstore16(v, 0, p)
#define wide_uchar_of convert_uchar16
#define wide_int_of convert_int16
#define PIXELS(count) for (int column = 0; column < (count); column++)
#define CHANNELS(count) for (int c = 0; c < (count); c += WIDE)
#define ROW get_global_id(0)
#define SUM_BEGIN(to) int terms = 0
#define SUM_ADD(to, term)                                                                                     \
    do {                                                                                                      \
        CHANNELS(channels) store_some((term) + (terms ? load_some(to + c, channels - c) : (wide)0.0f), to + c, \
                                      channels - c);                                                          \
        terms++;                                                                                              \
    } while (0)
#define SUM_END(to)                \
    if (!terms)                    \
        CHANNELS(channels) store_some((wide)0.0f, to + c, channels - c)
#else
typedef uchar4 wide_uchar;
#define load_wide_uchar(p) vload4(0, p)
#define store_wide_uchar(v, p) vstore4(v, 0, p)
#define wide_uchar_of convert_uchar4
#define wide_int_of convert_int4
#define PIXELS(count) int column = get_global_id(1); if (column < (count))
#define CHANNELS(count) int c = get_global_id(0) * WIDE; if (c < (count))
#define ROW get_global_id(2)
#define SUM_BEGIN(to)           \
    int c = get_global_id(0) * WIDE; \
    if (c >= channels)               \
        return;                      \
    wide sum = 0.0f
#define SUM_ADD(to, term) sum += (term)
#define SUM_END(to) store_some(sum, to + c, channels - c)
#endif

DEFINE_SOME(uchar)
#if TL_VECTORS
DEFINE_MORE(uchar)
#else
#define load_some_uchar load_some4_uchar
#define store_some_uchar store_some4_uchar
#endif

void store_index(wide_int where, global uchar *p, int count) {
    if (count >= WIDE)
        store_wide_uchar(wide_uchar_of(where), p);
    else
        store_some_uchar(wide_uchar_of(where), p, count);
}

wide_int load_index(const global uchar *p, int count) {
    return wide_int_of(count >= WIDE ? load_wide_uchar(p) : load_some_uchar(p, count));
}

/* The first tap of a window that begins at `start` which is inside 0 .. size - 1, and the one after the last. */
int2 inside(int start, int size, int taps, int dilation) {
    int first = start >= 0 ? 0 : (dilation - 1 - start) / dilation;
    int end = start >= size ? 0 : (size - 1 - start) / dilation + 1;
    return (int2)(first, min(end, taps));
}

/* n images of `channels`; everything else has a height and a width. */
#define POOL                                                                                                      \
    int n, int channels, int size_h, int size_w, int outputs_h, int outputs_w, int taps_h, int taps_w, int stride_h, \
        int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w
#define POOL_PAIRS                                                                                       \
    int2 size = (int2)(size_h, size_w), outputs = (int2)(outputs_h, outputs_w);                           \
    int2 taps = (int2)(taps_h, taps_w), stride = (int2)(stride_h, stride_w), pad = (int2)(pad_h, pad_w); \
    int2 dilation = (int2)(dilation_h, dilation_w)

/* The first tap inside begins, whatever it holds; a later one takes over if it is larger or NaN. */
kernel void maxpool2d(ARG(stored_in, x), ARG(stored_out, y), ARG(uchar, index), POOL) {
    AT(x);
    AT(y);
    AT(index);
    POOL_PAIRS;
    long row = ROW;
    if (row >= (long)n * outputs.s0)
        return;
    long number = row / outputs.s0;
    int h = (int)(row - number * outputs.s0) * stride.s0 - pad.s0;
    int2 i01 = inside(h, size.s0, taps.s0, dilation.s0);
    const global stored_in *image = x + number * size.s0 * size.s1 * channels;
    PIXELS(outputs.s1) {
        int w = column * stride.s1 - pad.s1;
        int2 j01 = inside(w, size.s1, taps.s1, dilation.s1);
        long at = (row * outputs.s1 + column) * channels;
        CHANNELS(channels) {
            wide best = -INFINITY;
            wide_int where = i01.s0 * taps.s1 + j01.s0;
            for (int i = i01.s0; i < i01.s1; i++)
                for (int j = j01.s0; j < j01.s1; j++) {
                    long from = ((long)(h + i * dilation.s0) * size.s1 + w + j * dilation.s1) * channels + c;
                    wide value = load_in(image + from, channels - c);
                    wide_int better = (value > best) | (value != value);
                    best = select(best, value, better);
                    where = select(where, (wide_int)(i * taps.s1 + j), better);
                }
            store_out(best, y + at + c, channels - c);
            if (index)
                store_index(where, index + at + c, channels - c);
        }
    }
}

/* The first and the last window along an axis that may hold `position` (counted from the padding's edge). */
int2 windows(int position, int outputs, int taps, int stride, int dilation) {
    int reach = (taps - 1) * dilation;
    int first = position <= reach ? 0 : (position - reach - 1) / stride + 1;
    return (int2)(first, min(position / stride, outputs - 1));
}

/* Which of the window's taps is at `distance` from its first; -1: none. */
int tap_at(int distance, int dilation) {
    if (dilation == 1)
        return distance;
    return distance % dilation ? -1 : distance / dilation;
}

wide routed(const global float *dy, const global uchar *index, int tap, int left) {
    return keep(load_index(index, left) == tap, load_some(dy, left));
}

kernel void maxpool2d_grad(ARG(float, dy), ARG(uchar, index), ARG(float, dx), POOL) {
    AT(dy);
    AT(index);
    AT(dx);
    POOL_PAIRS;
    long row = ROW;
    if (row >= (long)n * size.s0)
        return;
    long number = row / size.s0, image = number * outputs.s0;
    int h = (int)(row - number * size.s0) + pad.s0;
    int2 p01 = windows(h, outputs.s0, taps.s0, stride.s0, dilation.s0);
    PIXELS(size.s1) {
        int w = column + pad.s1;
        int2 q01 = windows(w, outputs.s1, taps.s1, stride.s1, dilation.s1);
        global float *to = dx + (row * size.s1 + column) * channels;
        SUM_BEGIN(to);
        for (int p = p01.s0; p <= p01.s1; p++)
            for (int q = q01.s0; q <= q01.s1; q++) {
                int i = tap_at(h - p * stride.s0, dilation.s0), j = tap_at(w - q * stride.s1, dilation.s1);
                long at = ((image + p) * outputs.s1 + q) * channels;
                if (i >= 0 && j >= 0)
                    SUM_ADD(to, routed(dy + at + c, index + at + c, i * taps.s1 + j, channels - c));
            }
        SUM_END(to);
    }
}

/* ---- average: window o of `outputs` covers floor(o size / outputs) .. ceil((o + 1) size / outputs) ---- */

int first_of(int o, int size, int outputs) {
    return (int)((long)o * size / outputs);
}
int end_of(int o, int size, int outputs) {
    return (int)(((long)(o + 1) * size + outputs - 1) / outputs);
}

#define MAPS int n, int channels, int height, int width, int out_height, int out_width

/* A work-item takes WIDE channels of a pixel. Rows of the window are summed on their own, so that large windows lose
 * nothing. */
kernel void avgpool2d(ARG(stored_in, x), ARG(stored_out, y), MAPS) {
    AT(x);
    AT(y);
    int c = get_global_id(0) * WIDE, q = get_global_id(1);
    long row = get_global_id(2), image = row / out_height;
    int p = (int)(row - image * out_height);
    if (c >= channels || q >= out_width || image >= n)
        return;
    int h0 = first_of(p, height, out_height), h1 = end_of(p, height, out_height);
    int w0 = first_of(q, width, out_width), w1 = end_of(q, width, out_width);
    wide sum = 0.0f;
    for (int h = h0; h < h1; h++) {
        const global stored_in *from = x + ((image * height + h) * width + w0) * channels + c;
        wide in_row = 0.0f;
        for (int w = w0; w < w1; w++, from += channels)
            in_row += load_in(from, channels - c);
        sum += in_row;
    }
    store_out(sum / (float)((h1 - h0) * (w1 - w0)), y + (row * out_width + q) * channels + c, channels - c);
}

/* The windows that a pixel is in are those of the transposed problem. */
kernel void avgpool2d_grad(ARG(float, dy), ARG(float, dx), MAPS) {
    AT(dy);
    AT(dx);
    long row = ROW, image = row / height;
    int h = (int)(row - image * height);
    if (image >= n)
        return;
    int p0 = first_of(h, out_height, height), p1 = end_of(h, out_height, height);
    PIXELS(width) {
        int q0 = first_of(column, out_width, width), q1 = end_of(column, out_width, width);
        global float *to = dx + (row * width + column) * channels;
        SUM_BEGIN(to);
        for (int p = p0; p < p1; p++)
            for (int q = q0; q < q1; q++) {
                int rows = end_of(p, height, out_height) - first_of(p, height, out_height);
                int columns = end_of(q, width, out_width) - first_of(q, width, out_width);
                const global float *from = dy + ((image * out_height + p) * out_width + q) * channels;
                SUM_ADD(to, load_some(from + c, channels - c) / (float)(rows * columns));
            }
        SUM_END(to);
    }
}
