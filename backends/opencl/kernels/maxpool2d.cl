/* maxpool2d.cl: maximum pooling and its gradient. On a CPU a work-item takes a row of pixels, on a GPU WIDE channels of a
 * pixel. */
#if TL_VECTORS
typedef uchar16 wide_uchar;
#define load_wide_uchar(p) vload16(0, p)
#define store_wide_uchar(v, p) vstore16(v, 0, p)
#define wide_uchar_of convert_uchar16
#define wide_int_of convert_int16
#define PIXELS(count) for (int column = 0; column < (count); column++)
#define CHANNELS(count) for (int c = 0; c < (count); c += WIDE)
#define ROW get_global_id(0)
#else
typedef uchar4 wide_uchar;
#define load_wide_uchar(p) vload4(0, p)
#define store_wide_uchar(v, p) vstore4(v, 0, p)
#define wide_uchar_of convert_uchar4
#define wide_int_of convert_int4
#define PIXELS(count) int column = get_global_id(1); if (column < (count))
#define CHANNELS(count) int c = get_global_id(0) * WIDE; if (c < (count))
#define ROW get_global_id(2)
#endif

typedef union bytes {
    wide_uchar all;
    uchar each[WIDE];
} bytes;

void store_index(wide_int where, global uchar *p, int count) {
    bytes b;
    b.all = wide_uchar_of(where);
    if (count >= WIDE)
        store_wide_uchar(b.all, p);
    else
        for (int i = 0; i < count; i++)
            p[i] = b.each[i];
}

wide_int load_index(const global uchar *p, int count) {
    if (count >= WIDE)
        return wide_int_of(load_wide_uchar(p));
    bytes b;
    b.all = 0;
    for (int i = 0; i < count; i++)
        b.each[i] = p[i];
    return wide_int_of(b.all);
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
kernel void maxpool2d(ARG(float, x), ARG(float, y), ARG(uchar, index), POOL) {
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
    const global float *image = x + number * size.s0 * size.s1 * channels;
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
                    wide value = load_some(image + from, channels - c);
                    wide_int better = (value > best) | (value != value);
                    best = select(best, value, better);
                    where = select(where, (wide_int)(i * taps.s1 + j), better);
                }
            store_some(best, y + at + c, channels - c);
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
        CHANNELS(channels) {
            wide sum = 0.0f;
            for (int p = p01.s0; p <= p01.s1; p++)
                for (int q = q01.s0; q <= q01.s1; q++) {
                    int i = tap_at(h - p * stride.s0, dilation.s0), j = tap_at(w - q * stride.s1, dilation.s1);
                    if (i < 0 || j < 0)
                        continue;
                    long at = ((image + p) * outputs.s1 + q) * channels + c;
                    wide_int here = load_index(index + at, channels - c) == i * taps.s1 + j;
                    sum += keep(here, load_some(dy + at, channels - c));
                }
            store_some(sum, dx + (row * size.s1 + column) * channels + c, channels - c);
        }
    }
}
