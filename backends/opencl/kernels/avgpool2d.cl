/* avgpool2d.cl: adaptive average pooling and its gradient; a work-item takes WIDE channels of a pixel. Window o of
 * `outputs` covers floor(o size / outputs) .. ceil((o + 1) size / outputs). */
int first_of(int o, int size, int outputs) {
    return (int)((long)o * size / outputs);
}
int end_of(int o, int size, int outputs) {
    return (int)(((long)(o + 1) * size + outputs - 1) / outputs);
}

#define MAPS int n, int channels, int height, int width, int out_height, int out_width

/* Rows of the window are summed on their own, so that large windows lose nothing. */
kernel void avgpool2d(ARG(float, x), ARG(float, y), MAPS) {
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
        const global float *from = x + ((image * height + h) * width + w0) * channels + c;
        wide in_row = 0.0f;
        for (int w = w0; w < w1; w++, from += channels)
            in_row += load_some(from, channels - c);
        sum += in_row;
    }
    store_some(sum / (float)((h1 - h0) * (w1 - w0)), y + (row * out_width + q) * channels + c, channels - c);
}

kernel void avgpool2d_grad(ARG(float, dy), ARG(float, dx), MAPS) {
    AT(dy);
    AT(dx);
    int c = get_global_id(0) * WIDE, w = get_global_id(1);
    long row = get_global_id(2), image = row / height;
    int h = (int)(row - image * height);
    if (c >= channels || w >= width || image >= n)
        return;
    /* the windows that this pixel is in are those of the transposed problem */
    int p0 = first_of(h, out_height, height), p1 = end_of(h, out_height, height);
    int q0 = first_of(w, out_width, width), q1 = end_of(w, out_width, width);
    wide sum = 0.0f;
    for (int p = p0; p < p1; p++)
        for (int q = q0; q < q1; q++) {
            int rows = end_of(p, height, out_height) - first_of(p, height, out_height);
            int columns = end_of(q, width, out_width) - first_of(q, width, out_width);
            long from = ((image * out_height + p) * out_width + q) * channels + c;
            wide part = load_some(dy + from, channels - c) / (float)(rows * columns);
            sum = p == p0 && q == q0 ? part : sum + part;
        }
    store_some(sum, dx + (row * width + w) * channels + c, channels - c);
}
