/* normalize.cl: bytes to floats by a table for each channel; a work-item takes `each` pixels. */
#ifdef HALF_OUT
#define STORE_THREE(v, i, p) vstore_half3_rte(v, i, HALVES(p))
#else
#define STORE_THREE(v, i, p) vstore3(v, i, p)
#endif

kernel void look_up(ARG(uchar, x), ARG(float, table), ARG(stored_out, y), long pixels, int channels, int each) {
    AT(x);
    AT(table);
    AT(y);
    long first = (long)get_global_id(0) * each, last = min(first + each, pixels);
    if (channels == 3) {
        for (long i = first; i < last; i++)
            STORE_THREE((float3)(table[x[3 * i]], table[256 + x[3 * i + 1]], table[512 + x[3 * i + 2]]), i, y);
        return;
    }
    for (long i = first; i < last; i++)
        for (int c = 0; c < channels; c++)
            store_one(table[256 * c + x[i * channels + c]], y + i * channels + c);
}
