/* cross_entropy.cl: the loss of rows of logits, and its gradient.
 *
 * Rows of up to SHORT classes are worked on side by side, each in a lane; longer ones one by one, classes side by side.
 * Exponentials are added up in float in an order that depends on the number of classes alone (for long rows 16 sums,
 * then pairwise), everything else with twice the precision. */
#define SHORT 64
#define PARTS (16 / WIDE)

/* log(x) for x >= 1 or NaN: x = 2^e m, m near 1, and log m = 2 (s + s^3 / 3 + s^5 / 5 ...), s = (m - 1) / (m + 1). */
twice log_of(wide x) {
    wide_int from = bits_of_wide(x) - 0x3f3504f3; /* the root of 1/2 */
    wide m = wide_of_bits((from & 0x7fffff) + 0x3f3504f3), e = float_of_int(from >> 23), f = m - 1.0f;
    twice s = twice_over(twice_sum(f, (wide)0.0f), twice_sum(m, (wide)1.0f)), z = twice_times(s, s);
    wide rest = fma(z.hi, (wide)(1.0f / 15), (wide)(1.0f / 13));
    rest = fma(z.hi, rest, (wide)(1.0f / 11));
    rest = fma(z.hi, rest, (wide)(1.0f / 9));
    rest = fma(z.hi, rest, (wide)(1.0f / 7));
    twice series = twice_add(twice_from(0.2f, -2.98023224e-9f), twice_scaled(z, rest));
    series = twice_add(twice_from(0.333333343f, -9.93410776e-9f), twice_times(z, series));
    series = twice_add(s, twice_times(s, twice_times(z, series)));
    twice power = twice_scaled(twice_from(0.693147182f, -1.90465421e-9f), e);
    twice r = twice_add(power, twice_add(series, series));
    r.hi += x - x; /* NaN */
    return r;
}

/* What is known of rows side by side: the largest logit, the sum of exponentials below it, the target's logit, and -1
 * where an earlier class is as large as the largest. */
typedef struct group {
    wide most, sum, target;
    wide_int earlier;
} group;

/* `count` rows, at most WIDE. On CPUs short ones are turned first, class by class, since lanes are slow to fill. */
typedef struct block {
    const global float *x;
    int classes, count;
#if TL_VECTORS
    const lanes *turned;
#endif
} block;

#if TL_VECTORS
#define BLOCK(name, first_row)                                                      \
    lanes name##_turned[SHORT];                                                     \
    block name = {first_row, classes, count, name##_turned};                        \
    for (int i = 0; classes <= SHORT && i < WIDE; i++)                              \
        for (int c = 0; c < classes; c++)                                           \
            name##_turned[c].each[i] = name.x[(long)min(i, count - 1) * classes + c]
#else
#define BLOCK(name, first_row) block name = {first_row, classes, count}
#endif

/* Class c of the rows; those from `count` on repeat the last. */
wide column(block b, int c) {
#if TL_VECTORS
    if (b.classes <= SHORT)
        return b.turned[c].all;
#endif
    lanes l;
    for (int i = 0; i < WIDE; i++)
        l.each[i] = b.x[(long)min(i, b.count - 1) * b.classes + c];
    return l.all;
}

group short_rows(block b, wide_int target) {
    group g;
    g.most = column(b, 0);
    g.sum = 0.0f;
    g.target = 0.0f;
    g.earlier = 0;
    for (int c = 1; c < b.classes; c++)
        g.most = larger(g.most, column(b, c));
    for (int c = 0; c < b.classes; c++) {
        wide value = column(b, c);
        g.sum += exp_negative(value - g.most);
        g.target = select(g.target, value, target == c);
        g.earlier |= (value == g.most) & (target > c);
    }
    return g;
}

/* One row of at least 16 classes: the maximum, and the sum into *sum. */
float long_row(const global float *x, int classes, float *sum) {
    wide part[PARTS];
    int whole = classes / 16 * 16;
    lanes l;
    for (int p = 0; p < PARTS; p++)
        part[p] = load_wide(x + classes - 16 + p * WIDE);
    for (int c = 0; c < whole; c += 16)
        for (int p = 0; p < PARTS; p++)
            part[p] = larger(part[p], load_wide(x + c + p * WIDE));
    for (int p = 1; p < PARTS; p++)
        part[0] = larger(part[0], part[p]);
    l.all = part[0];
    float most = l.each[0]; /* a NaN that this passes over shows in the sum */
    for (int i = 1; i < WIDE; i++)
        most = most > l.each[i] ? most : l.each[i];
    for (int p = 0; p < PARTS; p++)
        part[p] = 0.0f;
    for (int c = 0; c < whole; c += 16)
        for (int p = 0; p < PARTS; p++)
            part[p] += exp_negative(load_wide(x + c + p * WIDE) - most);
    for (int span = PARTS / 2; span > 0; span /= 2)
        for (int p = 0; p < span; p++)
            part[p] += part[p + span];
    l.all = part[0];
    for (int span = WIDE / 2; span > 0; span /= 2)
        for (int i = 0; i < span; i++)
            l.each[i] += l.each[i + span];
    float total = l.each[0];
    for (int c = whole; c < classes; c += WIDE) {
        l.all = exp_negative(load_some(x + c, classes - c) - most);
        for (int i = 0; i < WIDE && c + i < classes; i++)
            total += l.each[i];
    }
    *sum = total;
    return most;
}

group long_rows(block b, wide_int target) {
    const global float *x = b.x;
    lanes most, sum, at;
    lanes_int t, earlier;
    most.all = sum.all = at.all = 0.0f;
    earlier.all = 0;
    t.all = target;
    for (int i = 0; i < b.count; i++, x += b.classes) {
        float s, m = long_row(x, b.classes, &s);
        most.each[i] = m;
        sum.each[i] = s;
        at.each[i] = x[t.each[i]];
        for (int c = 0; c < t.each[i]; c++)
            if (x[c] == m)
                earlier.each[i] = -1;
    }
    group g = {most.all, sum.all, at.all, earlier.all};
    return g;
}

group rows_at(block b, wide_int target) {
    return b.classes <= SHORT ? short_rows(b, target) : long_rows(b, target);
}

/* Targets of WIDE rows, their weights, and which of the rows count. A target that is no class is the caller's mistake:
 * it must not pass unseen, nor be looked up. */
typedef struct aims {
    wide_int target, counted, wrong;
    wide weight;
} aims;

aims aims_at(const global int *target, const global float *weight, int classes, int ignore, int count) {
    lanes_int t, counted, wrong;
    lanes w;
    aims a;
    for (int i = 0; i < WIDE; i++) {
        int class = i < count ? target[i] : ignore;
        counted.each[i] = -(class != ignore);
        wrong.each[i] = -(class != ignore && (class < 0 || class >= classes));
        t.each[i] = class < 0 || class >= classes ? 0 : class;
        w.each[i] = weight ? weight[t.each[i]] : 1.0f;
    }
    a.target = t.all;
    a.counted = counted.all & ~wrong.all;
    a.wrong = wrong.all;
    a.weight = w.all;
    return a;
}

twice keep_twice(wide_int mask, twice a) {
    a.hi = keep(mask, a.hi);
    a.lo = keep(mask, a.lo);
    return a;
}

/* The sum over the classes of smoothing's part of the loss. */
twice smoothed(block b, const global float *weight, twice lse, float smoothing) {
    twice sum = twice_from(0.0f, 0.0f);
    for (int c = 0; c < b.classes; c++) {
        twice term = twice_plus(lse, -column(b, c));
        sum = twice_add(sum, weight ? twice_scaled(term, (wide)weight[c]) : term);
    }
    return twice_over(twice_scaled(sum, (wide)smoothing), twice_from((float)b.classes, 0.0f));
}

/* Sums of a work-item: [loss, its rest, weights, their rest, hits, rows][WIDE] */
#define SUMS 6
typedef struct sums {
    twice loss, weight;
    wide hits, rows;
} sums;

sums no_sums(void) {
    sums s;
    s.loss = s.weight = twice_from(0.0f, 0.0f);
    s.hits = s.rows = 0.0f;
    return s;
}

sums load_sums(const global float *from) {
    sums s;
    s.loss.hi = load_wide(from);
    s.loss.lo = load_wide(from + WIDE);
    s.weight.hi = load_wide(from + 2 * WIDE);
    s.weight.lo = load_wide(from + 3 * WIDE);
    s.hits = load_wide(from + 4 * WIDE);
    s.rows = load_wide(from + 5 * WIDE);
    return s;
}

void store_sums(sums s, global float *to) {
    store_wide(s.loss.hi, to);
    store_wide(s.loss.lo, to + WIDE);
    store_wide(s.weight.hi, to + 2 * WIDE);
    store_wide(s.weight.lo, to + 3 * WIDE);
    store_wide(s.hits, to + 4 * WIDE);
    store_wide(s.rows, to + 5 * WIDE);
}

sums add_sums(sums a, sums b) {
    a.loss = twice_add(a.loss, b.loss);
    a.weight = twice_add(a.weight, b.weight);
    a.hits += b.hits;
    a.rows += b.rows;
    return a;
}

/* A work-item takes `groups` times `step` rows, at most WIDE at a time. keep: 1 - smoothing. */
kernel void rows_loss(ARG(float, logits), ARG(int, target), ARG(float, weight), ARG(float, partial), long rows,
                      int classes, int step, int groups, int ignore, float smoothing, float keep_hi, float keep_lo) {
    AT(logits);
    AT(target);
    AT(weight);
    AT(partial);
    long item = get_global_id(0), first = item * groups * step, end = min(first + groups * step, rows);
    sums s = no_sums();
    if (first >= rows)
        return;
    for (; first < end; first += step) {
        int count = (int)min((long)step, end - first);
        BLOCK(b, logits + first * classes);
        aims a = aims_at(target + first, weight, classes, ignore, count);
        group g = rows_at(b, a.target);
        twice lse = twice_plus(log_of(g.sum), g.most);
        twice loss = twice_times(twice_scaled(twice_from(keep_hi, keep_lo), a.weight), twice_plus(lse, -g.target));
        if (smoothing != 0.0f)
            loss = twice_add(loss, smoothed(b, weight, lse, smoothing));
        loss = keep_twice(a.counted, loss);
        loss.hi = select(loss.hi, (wide)NAN, a.wrong);
        s.loss = twice_add(s.loss, loss);
        s.weight = twice_plus(s.weight, keep(a.counted, a.weight));
        s.hits += keep(a.counted & (g.target == g.most) & ~g.earlier, (wide)1.0f);
        s.rows += keep(a.counted, (wide)1.0f);
    }
    store_sums(s, partial + item * SUMS * WIDE);
}

/* Adds up `each` of `count` sums. */
kernel void join_sums(ARG(float, partial), ARG(float, joined), int count, int each) {
    AT(partial);
    AT(joined);
    int item = get_global_id(0), first = item * each, end = min(first + each, count);
    if (first >= count)
        return;
    sums s = no_sums();
    for (int i = first; i < end; i++)
        s = add_sums(s, load_sums(partial + (long)i * SUMS * WIDE));
    store_sums(s, joined + (long)item * SUMS * WIDE);
}

float all_lanes(wide hi, wide lo) {
    lanes high, low;
    high.all = hi;
    low.all = lo;
    twice sum = twice_from(0.0f, 0.0f);
    for (int i = 0; i < WIDE; i++)
        sum = twice_add(sum, twice_from(high.each[i], low.each[i]));
    high.all = sum.hi;
    return high.each[0];
}

kernel void give_loss(ARG(float, partial), ARG(float, loss), int count) {
    AT(partial);
    AT(loss);
    sums s = no_sums();
    if (get_global_id(0) > 0)
        return;
    for (int i = 0; i < count; i++)
        s = add_sums(s, load_sums(partial + (long)i * SUMS * WIDE));
    loss[0] = all_lanes(s.loss.hi, s.loss.lo);
    loss[1] = all_lanes(s.weight.hi, s.weight.lo);
    loss[2] = all_lanes(s.hits, (wide)0.0f);
    loss[3] = all_lanes(s.rows, (wide)0.0f);
}

/* ---- gradient ---- */

/* d loss / d logit k = (weight of all terms) p_k - (1 - s) w_t [k = t] - s / K w_k. For rows side by side. */
typedef struct slopes {
    wide factor, part, target; /* of the exponential, of smoothing, of the target */
} slopes;

void short_gradients(block b, const global float *weight, global float *dx, aims a, group g, slopes s, int smooth) {
    for (int c = 0; c < b.classes; c++) {
        lanes d;
        wide e = exp_negative(column(b, c) - g.most);
        wide value = smooth ? s.factor * e - s.part * (weight ? weight[c] : 1.0f) : s.factor * e;
        value -= keep((a.target == c) & ~a.wrong, s.target);
        d.all = select(keep(a.counted, value), (wide)NAN, a.wrong);
        for (int i = 0; i < b.count; i++)
            dx[(long)i * b.classes + c] = d.each[i];
    }
}

void long_gradients(block b, const global float *weight, global float *dx, aims a, group g, slopes s, int smooth) {
    const global float *x = b.x;
    int classes = b.classes;
    lanes factor, target, most;
    lanes_int t, counted, wrong;
    factor.all = s.factor;
    target.all = s.target;
    most.all = g.most;
    t.all = a.target;
    counted.all = a.counted;
    wrong.all = a.wrong;
    for (int i = 0; i < b.count; i++, x += classes, dx += classes) {
        for (int c = 0; c < classes; c += WIDE) {
            int left = classes - c;
            wide e = exp_negative(load_some(x + c, left) - most.each[i]), value = factor.each[i] * e;
            if (smooth)
                value -= s.part * (weight ? load_some(weight + c, left) : (wide)1.0f);
            value = keep((wide_int)counted.each[i], value);
            store_some(wrong.each[i] ? (wide)NAN : value, dx + c, left);
        }
        if (counted.each[i])
            dx[t.each[i]] -= target.each[i];
    }
}

kernel void rows_gradient(ARG(float, logits), ARG(int, target), ARG(float, weight), ARG(float, loss),
                          ARG(float, dlogits), long rows, int classes, int step, int ignore, float smoothing,
                          float keep_hi, float keep_lo, float scale) {
    AT(logits);
    AT(target);
    AT(weight);
    AT(loss);
    AT(dlogits);
    long first = (long)get_global_id(0) * step;
    if (first >= rows)
        return;
    int count = (int)min((long)step, rows - first), smooth = smoothing != 0.0f;
    BLOCK(b, logits + first * classes);
    aims a = aims_at(target + first, weight, classes, ignore, count);
    group g = rows_at(b, a.target);
    twice by = twice_over(twice_from(scale, 0.0f), twice_from(loss[1], 0.0f)), all = twice_from(0.0f, 0.0f);
    twice own = twice_scaled(twice_from(keep_hi, keep_lo), a.weight), number = twice_from((float)classes, 0.0f);
    twice sum = all;
    for (int c = 0; smooth && c < classes; c++)
        all = twice_plus(all, (wide)(weight ? weight[c] : 1.0f));
    all = twice_over(twice_scaled(all, (wide)smoothing), number);
    sum.hi = g.sum;
    slopes s;
    s.factor = twice_over(twice_times(by, twice_add(own, all)), sum).hi;
    s.part = twice_over(twice_scaled(by, (wide)smoothing), number).hi;
    s.target = twice_times(by, own).hi;
    if (classes <= SHORT)
        short_gradients(b, weight, dlogits + first * classes, a, g, s, smooth);
    else
        long_gradients(b, weight, dlogits + first * classes, a, g, s, smooth);
}
