/* upsample2d.cl: bilinear upsampling and its gradient; a work-item takes WIDE channels of a pixel. The table of a dimension
 * is that of backends/axis.h: from and to of each input, low and high of each output and high's weight. */
#define MAPS int n, int channels, int height, int width, int out_height, int out_width

float weight_of(const global int *table, int size, int outputs, int o) {
    return as_float(table[2 * size + 2 * outputs + o]);
}

/* How much of input i is in output o. */
float share(const global int *table, int size, int outputs, int i, int o) {
    float high = weight_of(table, size, outputs, o);
    return (table[2 * size + o] == i ? 1.0f - high : 0.0f) + (table[2 * size + outputs + o] == i ? high : 0.0f);
}

kernel void upsample2d(ARG(stored_in, x), ARG(stored_out, y), ARG(int, table), MAPS) {
    AT(x);
    AT(y);
    AT(table);
    int c = get_global_id(0) * WIDE, q = get_global_id(1);
    long row = get_global_id(2), image = row / out_height;
    int p = (int)(row - image * out_height);
    if (c >= channels || q >= out_width || image >= n)
        return;
    const global int *columns = table + 2 * height + 3 * out_height;
    const global stored_in *from = x + image * height * width * channels + c;
    const global stored_in *top = from + (long)table[2 * height + p] * width * channels;
    const global stored_in *bottom = from + (long)table[2 * height + out_height + p] * width * channels;
    long left = (long)columns[2 * width + q] * channels, right = (long)columns[2 * width + out_width + q] * channels;
    float below = weight_of(table, height, out_height, p), above = 1.0f - below;
    float after = weight_of(columns, width, out_width, q), before = 1.0f - after;
    int count = channels - c;
    wide upper = before * load_in(top + left, count) + after * load_in(top + right, count);
    wide lower = before * load_in(bottom + left, count) + after * load_in(bottom + right, count);
    store_out(above * upper + below * lower, y + (row * out_width + q) * channels + c, count);
}

kernel void upsample2d_grad(ARG(float, dy), ARG(float, dx), ARG(int, table), MAPS) {
    AT(dy);
    AT(dx);
    AT(table);
    int c = get_global_id(0) * WIDE, w = get_global_id(1);
    long row = get_global_id(2), image = row / height;
    int h = (int)(row - image * height);
    if (c >= channels || w >= width || image >= n)
        return;
    const global int *columns = table + 2 * height + 3 * out_height;
    wide sum = 0.0f;
    for (int p = table[h]; p < table[height + h]; p++) {
        const global float *from = dy + (image * out_height + p) * out_width * channels + c;
        wide in_row = 0.0f;
        for (int q = columns[w]; q < columns[width + w]; q++)
            in_row += share(columns, width, out_width, w, q) * load_some(from + (long)q * channels, channels - c);
        sum += share(table, height, out_height, h, p) * in_row;
    }
    store_some(sum, dx + (row * width + w) * channels + c, channels - c);
}
