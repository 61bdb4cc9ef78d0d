kernel void relu(ARG(float, x), ARG(float, y), long count) {
    AT(x);
    AT(y);
    long i = (long)get_global_id(0) * 16;
    if (i + 16 <= count) {
        float16 v = vload16(0, x + i);
        vstore16(select(v, (float16)0.0f, v < 0.0f), 0, y + i);
    } else {
        for (; i < count; i++)
            y[i] = x[i] < 0.0f ? 0.0f : x[i];
    }
}
