/* batchnorm.cl: batch-norm forward and backward.
 *
 * Sums per channel are in an order that depends on the shape alone: 64 rows (a run) in float, then runs in blocks and
 * blocks in order with twice the precision. On a CPU a work-item takes a block, row by row, with the run's sums in the
 * first-level cache; on a GPU it takes WIDE channels of a run, and `join` makes blocks of them. Whatever is kept per
 * channel has room for `padded` of them, whole vectors:
 *   partial [blocks on a CPU, runs on a GPU][two sums][padded],
 *   totals [blocks][first sum, what its rounding left, second sum, what its rounding left][padded]. */
#define RUN 64

twice load_total(const global float *totals, int padded) {
    twice r;
    r.hi = load_wide(totals);
    r.lo = load_wide(totals + padded);
    return r;
}

void store_total(twice total, global float *totals, int padded) {
    store_wide(total.hi, totals);
    store_wide(total.lo, totals + padded);
}

#if TL_VECTORS
void empty(global float *sums, int count) {
    for (int c = 0; c < count; c += WIDE)
        store_wide((wide)0.0f, sums + c);
}

void add_run(global float *totals, const global float *partial, int padded) {
    for (int sum = 0; sum < 2; sum++, partial += padded, totals += 2 * padded)
        for (int c = 0; c < padded; c += WIDE)
            store_total(twice_plus(load_total(totals + c, padded), load_wide(partial + c)), totals + c, padded);
}
#else
kernel void join(ARG(float, partial), ARG(float, totals), long rows, int padded, long block_rows) {
    AT(partial);
    AT(totals);
    int c = get_global_id(0) * WIDE;
    long block = get_global_id(1), row = block * block_rows, end = min(row + block_rows, rows);
    if (c >= padded || row >= rows)
        return;
    twice first = twice_from(0.0f, 0.0f), second = first;
    for (; row < end; row += RUN) {
        const global float *from = partial + row / RUN * 2 * padded + c;
        first = twice_plus(first, load_wide(from));
        second = twice_plus(second, load_wide(from + padded));
    }
    totals += block * 4 * padded + c;
    store_total(first, totals, padded);
    store_total(second, totals + 2 * padded, padded);
}
#endif

twice sum_of_blocks(const global float *totals, int blocks, int padded) {
    twice sum = load_total(totals, padded);
    for (int block = 1; block < blocks; block++)
        sum = twice_add(sum, load_total(totals + (long)block * 4 * padded, padded));
    return sum;
}

/* ---- forward ---- */

/* The mean of some rows, evenly spaced: a variance from sums of squares is only sound near the mean. */
kernel void pivot(ARG(float, x), ARG(float, centre), long rows, int channels, int padded) {
    AT(x);
    AT(centre);
    int c = get_global_id(0) * WIDE;
    if (c >= padded)
        return;
    int samples = (int)min(rows, 32L);
    wide sum = 0.0f;
    for (int i = 0; i < samples; i++)
        sum += load_some(x + i * rows / samples * channels + c, channels - c) / (float)samples;
    store_wide(sum, centre + c);
}

/* Sums of x - centre and its square. */
kernel void moments(ARG(float, x), ARG(float, centre), ARG(float, partial), ARG(float, totals), long rows, int channels,
                    int padded, long block_rows) {
    AT(x);
    AT(centre);
    AT(partial);
    AT(totals);
#if TL_VECTORS
    long block = get_global_id(0), row = block * block_rows, end = min(row + block_rows, rows);
    partial += block * 2 * padded;
    totals += block * 4 * padded;
    empty(totals, 4 * padded);
    while (row < end) {
        long last = min(row + RUN, end);
        empty(partial, 2 * padded);
        for (; row < last; row++)
            for (int c = 0; c < channels; c += WIDE) {
                wide d = load_some(x + row * channels + c, channels - c) - load_wide(centre + c);
                store_wide(load_wide(partial + c) + d, partial + c);
                store_wide(fma(d, d, load_wide(partial + padded + c)), partial + padded + c);
            }
        add_run(totals, partial, padded);
    }
#else
    int c = get_global_id(0) * WIDE;
    long run = get_global_id(1), row = run * RUN, end = min(row + RUN, rows);
    if (c >= padded || row >= rows)
        return;
    wide sum = 0.0f, square = 0.0f, middle = load_wide(centre + c);
    for (; row < end; row++) {
        wide d = load_some(x + row * channels + c, channels - c) - middle;
        sum += d;
        square = fma(d, d, square);
    }
    partial += run * 2 * padded + c;
    store_wide(sum, partial);
    store_wide(square, partial + padded);
#endif
}

/* From statistics to parameters [centre, factor, offset][padded] of the channels, and what else is known then. `centre`
 * holds the pivot. blocks is 0 where the statistics are stored ones. */
kernel void finish(ARG(float, totals), ARG(float, scale), ARG(float, shift), ARG(float, mean), ARG(float, var),
                   ARG(float, saved_mean), ARG(float, saved_invstd), ARG(float, centre), int channels, int padded,
                   int blocks, float rows_hi, float rows_lo, float keep_hi, float keep_lo, float momentum,
                   float unbiased_hi, float unbiased_lo, float eps) {
    AT(totals);
    AT(scale);
    AT(shift);
    AT(mean);
    AT(var);
    AT(saved_mean);
    AT(saved_invstd);
    AT(centre);
    int c = get_global_id(0) * WIDE, left = channels - c;
    if (c >= padded)
        return;
    wide s = load_some(scale + c, left), offset = load_some(shift + c, left);
    wide m = load_some(mean + c, left), v = load_some(var + c, left), factor;
    twice one = twice_from(1.0f, 0.0f), invstd;
    if (blocks == 0) {
        twice root = twice_root(twice_sum(v, (wide)eps)), whole = one;
        whole.hi = s;
        factor = twice_over(whole, root).hi;
        invstd = twice_over(one, root);
    } else {
        twice count = twice_from(rows_hi, rows_lo), old = twice_from(keep_hi, keep_lo);
        twice d = twice_over(sum_of_blocks(totals + c, blocks, padded), count);
        twice square = twice_over(sum_of_blocks(totals + 2 * padded + c, blocks, padded), count);
        twice now = twice_plus(d, load_wide(centre + c));
        twice spread = twice_add(square, twice_minus(twice_times(d, d)));
        wide_int below = spread.hi < 0.0f;
        spread.hi = keep(~below, spread.hi);
        spread.lo = keep(~below, spread.lo);
        invstd = twice_over(one, twice_root(twice_plus(spread, (wide)eps)));
        twice grown = twice_times(twice_scaled(spread, (wide)momentum), twice_from(unbiased_hi, unbiased_lo));
        store_some(twice_add(twice_scaled(old, m), twice_scaled(now, (wide)momentum)).hi, mean + c, left);
        store_some(twice_add(twice_scaled(old, v), grown).hi, var + c, left);
        m = now.hi;
        factor = twice_scaled(invstd, s).hi;
        /* What rounding took from the mean would shift the whole channel, by much where its spread is small. */
        offset = twice_plus(twice_minus(twice_product(now.lo, factor)), offset).hi;
    }
    if (saved_mean)
        store_some(m, saved_mean + c, left);
    if (saved_invstd)
        store_some(invstd.hi, saved_invstd + c, left);
    store_wide(m, centre + c);
    store_wide(factor, centre + padded + c);
    store_wide(offset, centre + 2 * padded + c);
}

wide normed(const global stored_in *x, const global stored_in *residual, wide centre, wide factor, wide offset, int relu,
            int left) {
    wide y = fma(load_in(x, left) - centre, factor, offset);
    if (residual)
        y += load_in(residual, left);
    return relu ? relu_of_wide(y) : y;
}

/* y = act((x - centre) * factor + offset + residual); a work-item takes `each` rows, on a GPU WIDE channels of them. */
kernel void apply(ARG(stored_in, x), ARG(stored_in, residual), ARG(float, centre), ARG(stored_out, y), long rows,
                  int channels, int padded, int each, int relu) {
    AT(x);
    AT(residual);
    AT(centre);
    AT(y);
#if TL_VECTORS
    long row = get_global_id(0) * each, end = min(row + each, rows);
    for (; row < end; row++)
        for (int c = 0; c < channels; c += WIDE) {
            long at = row * channels + c;
            const global float *of = centre + c;
            store_out(normed(x + at, residual ? residual + at : 0, load_wide(of), load_wide(of + padded),
                             load_wide(of + 2 * padded), relu, channels - c), y + at, channels - c);
        }
#else
    int c = get_global_id(0) * WIDE;
    long row = get_global_id(1) * each, end = min(row + each, rows);
    if (c >= channels)
        return;
    wide middle = load_wide(centre + c), factor = load_wide(centre + padded + c);
    wide offset = load_wide(centre + 2 * padded + c);
    for (; row < end; row++) {
        long at = row * channels + c;
        store_out(normed(x + at, residual ? residual + at : 0, middle, factor, offset, relu, channels - c), y + at,
                  channels - c);
    }
#endif
}

/* ---- backward: dz = y ? (y > 0 ? dy : 0) : dy ---- */

wide masked(const global float *dy, const global float *y, int left) {
    wide dz = load_some(dy, left);
    return y ? keep(load_some(y, left) > 0.0f, dz) : dz;
}

/* With stored statistics `var` is the variance, with the batch's 1 / sqrt(it + eps) itself. */
twice invstd_of(wide var, int stored, float eps) {
    twice r;
    r.hi = var;
    r.lo = 0.0f;
    return stored ? twice_over(twice_from(1.0f, 0.0f), twice_root(twice_sum(var, (wide)eps))) : r;
}

/* factor = scale * invstd */
kernel void grad_begin(ARG(float, scale), ARG(float, var), ARG(float, factor), int channels, int padded, int stored,
                       float eps) {
    AT(scale);
    AT(var);
    AT(factor);
    int c = get_global_id(0) * WIDE, left = channels - c;
    if (c < padded)
        store_wide(twice_scaled(invstd_of(load_some(var + c, left), stored, eps), load_some(scale + c, left)).hi,
                   factor + c);
}

/* Sums of dz and dz * (x - mean), and with_dx also dx = dz * factor. */
kernel void grad_sums(ARG(float, x), ARG(float, dy), ARG(float, y), ARG(float, mean), ARG(float, factor),
                      ARG(float, dx), ARG(float, partial), ARG(float, totals), long rows, int channels, int padded,
                      long block_rows, int with_dx) {
    AT(x);
    AT(dy);
    AT(y);
    AT(mean);
    AT(factor);
    AT(dx);
    AT(partial);
    AT(totals);
#if TL_VECTORS
    long block = get_global_id(0), row = block * block_rows, end = min(row + block_rows, rows);
    partial += block * 2 * padded;
    totals += block * 4 * padded;
    empty(totals, 4 * padded);
    while (row < end) {
        long last = min(row + RUN, end);
        empty(partial, 2 * padded);
        for (; row < last; row++)
            for (int c = 0; c < channels; c += WIDE) {
                long at = row * channels + c;
                int left = channels - c;
                wide dz = masked(dy + at, y ? y + at : 0, left);
                wide centred = load_some(x + at, left) - load_some(mean + c, left);
                store_wide(load_wide(partial + c) + dz, partial + c);
                store_wide(fma(dz, centred, load_wide(partial + padded + c)), partial + padded + c);
                if (with_dx)
                    store_some(dz * load_wide(factor + c), dx + at, left);
            }
        add_run(totals, partial, padded);
    }
#else
    int c = get_global_id(0) * WIDE, left = channels - c;
    long run = get_global_id(1), row = run * RUN, end = min(row + RUN, rows);
    if (c >= padded || row >= rows)
        return;
    wide sum = 0.0f, product = 0.0f, middle = load_some(mean + c, left), by = load_wide(factor + c);
    for (; row < end; row++) {
        long at = row * channels + c;
        wide dz = masked(dy + at, y ? y + at : 0, left);
        sum += dz;
        product = fma(dz, load_some(x + at, left) - middle, product);
        if (with_dx)
            store_some(dz * by, dx + at, left);
    }
    partial += run * 2 * padded + c;
    store_wide(sum, partial);
    store_wide(product, partial + padded);
#endif
}

/* Gives the gradients of scale and shift, and the parameters [factor, constant, slope][padded] of grad_apply. */
kernel void grad_finish(ARG(float, totals), ARG(float, var), ARG(float, dscale), ARG(float, dshift), ARG(float, factor),
                        int channels, int padded, int blocks, float rows_hi, float rows_lo, int stored, float eps) {
    AT(totals);
    AT(var);
    AT(dscale);
    AT(dshift);
    AT(factor);
    int c = get_global_id(0) * WIDE, left = channels - c;
    if (c >= padded)
        return;
    twice sum = sum_of_blocks(totals + c, blocks, padded), count = twice_from(rows_hi, rows_lo);
    twice product = sum_of_blocks(totals + 2 * padded + c, blocks, padded);
    twice invstd = invstd_of(load_some(var + c, left), stored, eps);
    twice slope = twice_times(product, invstd);
    if (dscale)
        store_some(slope.hi, dscale + c, left);
    if (dshift)
        store_some(sum.hi, dshift + c, left);
    store_wide(twice_over(sum, count).hi, factor + padded + c);
    store_wide(twice_over(twice_times(slope, invstd), count).hi, factor + 2 * padded + c);
}

wide applied(const global float *x, wide dz, wide mean, wide factor, wide constant_part, wide slope, int left) {
    return factor * fma(-(load_some(x, left) - mean), slope, dz - constant_part);
}

/* dx = factor * (dz - constant - (x - mean) * slope), or dz * factor alone with stored statistics */
kernel void grad_apply(ARG(float, x), ARG(float, dy), ARG(float, y), ARG(float, mean), ARG(float, factor),
                       ARG(float, dx), long rows, int channels, int padded, int each, int stored) {
    AT(x);
    AT(dy);
    AT(y);
    AT(mean);
    AT(factor);
    AT(dx);
#if TL_VECTORS
    long row = get_global_id(0) * each, end = min(row + each, rows);
    for (; row < end; row++)
        for (int c = 0; c < channels; c += WIDE) {
            long at = row * channels + c;
            int left = channels - c;
            const global float *of = factor + c;
            wide dz = masked(dy + at, y ? y + at : 0, left);
            store_some(stored ? dz * load_wide(of)
                              : applied(x + at, dz, load_some(mean + c, left), load_wide(of), load_wide(of + padded),
                                        load_wide(of + 2 * padded), left),
                       dx + at, left);
        }
#else
    int c = get_global_id(0) * WIDE, left = channels - c;
    long row = get_global_id(1) * each, end = min(row + each, rows);
    if (c >= channels)
        return;
    const global float *of = factor + c;
    wide by = load_wide(of), middle = load_some(mean + c, left), level = 0.0f, slope = 0.0f;
    if (!stored) {
        level = load_wide(of + padded);
        slope = load_wide(of + 2 * padded);
    }
    for (; row < end; row++) {
        long at = row * channels + c;
        wide dz = masked(dy + at, y ? y + at : 0, left);
        store_some(stored ? dz * by : applied(x + at, dz, middle, by, level, slope, left), dx + at, left);
    }
#endif
}
