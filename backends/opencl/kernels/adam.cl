/* adam.cl: the optimiser's step over a flat buffer of parameters in segments; see tl/backend.h. A work-item takes EACH
 * elements, which may lie in several segments. */
#if TL_VECTORS
#define EACH 1024
#else
#define EACH WIDE
#endif
#define COLUMNS 8

void step(global float *param, const global float *grad, global float *moment1, global float *moment2, int count,
          const global float *table) {
    const float step_size = table[0], root = table[1], rest1 = table[2], rest2 = table[3], eps = table[4];
    const float b1 = 1 - rest1, b2 = 1 - rest2;
    const float decay = table[7] == 0 ? table[5] : 0;                       /* through the gradient */
    const float kept = table[7] == 0 ? 1.0f : fma(-table[6], table[5], 1.0f); /* decoupled */
    for (int i = 0; i < count; i += WIDE) {
        int left = count - i;
        wide p = load_some(param + i, left), m = load_some(moment1 + i, left), v = load_some(moment2 + i, left);
        wide g = fma((wide)decay, p, load_some(grad + i, left));
        m = fma((wide)b1, m, rest1 * g);
        v = fma((wide)b2, v, rest2 * (g * g));
        p = fma((wide)kept, p, -(step_size * m / (sqrt(v) / root + eps)));
        store_some(m, moment1 + i, left);
        store_some(v, moment2 + i, left);
        store_some(p, param + i, left);
    }
}

kernel void adam(ARG(float, param), ARG(float, grad), ARG(float, m), ARG(float, v), ARG(long, segments),
                 ARG(float, table), long elements, int count) {
    AT(param);
    AT(grad);
    AT(m);
    AT(v);
    AT(segments);
    AT(table);
    long first = (long)get_global_id(0) * EACH, last = min(first + EACH, elements);
    int low = 0, high = count; /* the last segment that begins at `first` or before, if any */
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (segments[middle] <= first)
            low = middle;
        else
            high = middle;
    }
    for (int s = low; s < count && segments[s] < last; s++) {
        long from = max(first, segments[s]), to = min(last, segments[s + 1]);
        if (from < to)
            step(param + from, grad + from, m + from, v + from, (int)(to - from), table + (long)s * COLUMNS);
    }
}
