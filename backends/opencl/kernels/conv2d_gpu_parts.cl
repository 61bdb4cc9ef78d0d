/* conv2d_gpu_parts.cl: small kernels around the products of conv2d_gpu.cl. */

/* Adds up the chunks of a result, in their order. */
kernel void conv2d_gpu_sum(ARG(const float, from), ARG(float, to), long count, int chunks) {
    AT(from);
    AT(to);
    const long i = (long)get_global_id(0);
    if (i >= count)
        return;
    float sum = from[i];
    for (int c = 1; c < chunks; c++)
        sum += from[c * count + i];
    to[i] = sum;
}

/* The sums of dy's channels over the pixels of each chunk. */
kernel void conv2d_gpu_bias(ARG(const float, dy), ARG(float, to), int channels, long pixels, int chunk) {
    AT(dy);
    AT(to);
    const int c = (int)get_global_id(0), part = (int)get_global_id(1);
    const long begin = (long)part * chunk, end = min(begin + chunk, pixels);
    if (c >= channels || begin >= pixels)
        return;
    float sum = 0.0f;
    for (long q = begin; q < end; q++)
        sum += dy[q * channels + c];
    to[(long)part * channels + c] = sum;
}
