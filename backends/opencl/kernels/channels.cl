/* channels.cl: a range of channels of one tensor to a range of another's. */
kernel void copy_channels(ARG(stored_in, from), ARG(stored_out, to), long pixels, int count, int from_channels,
                          int from_first, int to_channels, int to_first) {
    AT(from);
    AT(to);
    int c = get_global_id(0) * WIDE;
    long pixel = get_global_id(1);
    if (c >= count || pixel >= pixels)
        return;
    store_out(load_in(from + pixel * from_channels + from_first + c, count - c),
              to + pixel * to_channels + to_first + c, count - c);
}
