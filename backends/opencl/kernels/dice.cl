/* dice.cl: the soft Dice loss of rows of logits, and its gradient. The classes of a row are worked on WIDE at a time,
 * side by side; what is summed over rows has twice the precision. */
#if TL_VECTORS
#define NUMBERS ((wide_int)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#else
#define NUMBERS ((wide_int)(0, 1, 2, 3))
#endif

/* Logits of which `left` are there; the others have an exponential of 0. */
wide logits_at(const global float *x, int left) {
    return left >= WIDE ? load_wide(x) : select((wide)-INFINITY, load_some(x, left), NUMBERS < (wide_int)left);
}

float lanes_sum(wide x) {
    lanes l;
    l.all = x;
    for (int span = WIDE / 2; span > 0; span /= 2)
        for (int i = 0; i < span; i++)
            l.each[i] += l.each[i + span];
    return l.each[0];
}

float row_most(const global float *x, int classes) {
    lanes l;
    l.all = logits_at(x, classes);
    for (int c = WIDE; c < classes; c += WIDE)
        l.all = larger(l.all, logits_at(x + c, classes - c));
    float most = l.each[0]; /* a NaN that this passes over shows in the sum */
    for (int i = 1; i < WIDE; i++)
        most = most > l.each[i] ? most : l.each[i];
    return most;
}

wide row_exponentials(const global float *x, int c, int classes, float most) {
    return exp_negative(logits_at(x + c, classes - c) - most);
}

float row_inverse(const global float *x, int classes, float most) {
    wide sum = 0.0f;
    for (int c = 0; c < classes; c += WIDE)
        sum += row_exponentials(x, c, classes, most);
    return 1.0f / lanes_sum(sum);
}

/* What makes a row's logits probabilities: the largest, and 1 over the sum of exponentials. */
kernel void dice_rows(ARG(float, logits), ARG(float, most), ARG(float, inverse), long rows, int classes, int each) {
    AT(logits);
    AT(most);
    AT(inverse);
    long first = (long)get_global_id(0) * each, end = min(first + each, rows);
    for (long r = first; r < end; r++) {
        const global float *x = logits + r * classes;
        float m = row_most(x, classes);
        most[r] = m;
        inverse[r] = row_inverse(x, classes, m);
    }
}

/* Sums of `each` rows for WIDE classes: [p, its rest, p of the target, its rest, targets][WIDE]. A target that is no
 * class is the caller's mistake and shows as NaN, in class 0. */
#define PARTS 5

kernel void dice_part(ARG(float, logits), ARG(int, target), ARG(float, most), ARG(float, inverse), ARG(float, partial),
                      long rows, int classes, int chunks, int each, int ignore) {
    AT(logits);
    AT(target);
    AT(most);
    AT(inverse);
    AT(partial);
    int chunk = get_global_id(0), group = get_global_id(1), c = group * WIDE;
    if (chunk >= chunks)
        return;
    long end = min((chunk + 1L) * each, rows);
    twice predicted = twice_from(0.0f, 0.0f), both = predicted;
    wide truth = 0.0f;
    for (long r = (long)chunk * each; r < end; r++) {
        int t = target[r];
        if (t == ignore)
            continue;
        wide_int own = NUMBERS + c == (wide_int)t;
        wide p = row_exponentials(logits + r * classes, c, classes, most[r]) * inverse[r];
        predicted = twice_plus(predicted, p);
        both = twice_plus(both, keep(own, p));
        if (t < 0 || t >= classes)
            truth += keep(NUMBERS + c == 0, (wide)NAN);
        else
            truth += keep(own, (wide)1.0f);
    }
    partial += ((long)group * chunks + chunk) * PARTS * WIDE;
    store_wide(predicted.hi, partial);
    store_wide(predicted.lo, partial + WIDE);
    store_wide(both.hi, partial + 2 * WIDE);
    store_wide(both.lo, partial + 3 * WIDE);
    store_wide(truth, partial + 4 * WIDE);
}

kernel void dice_join(ARG(float, partial), ARG(float, sums), int classes, int chunks) {
    AT(partial);
    AT(sums);
    int group = get_global_id(0), c = group * WIDE;
    if (c >= classes)
        return;
    twice predicted = twice_from(0.0f, 0.0f), both = predicted, truth = predicted;
    partial += (long)group * chunks * PARTS * WIDE;
    for (int chunk = 0; chunk < chunks; chunk++, partial += PARTS * WIDE) {
        predicted = twice_plus(twice_plus(predicted, load_wide(partial + WIDE)), load_wide(partial));
        both = twice_plus(twice_plus(both, load_wide(partial + 3 * WIDE)), load_wide(partial + 2 * WIDE));
        truth = twice_plus(truth, load_wide(partial + 4 * WIDE));
    }
    store_some(both.hi, sums + c, classes - c);
    store_some(predicted.hi, sums + classes + c, classes - c);
    store_some(truth.hi, sums + 2 * classes + c, classes - c);
}

/* 2 I + eps and P + Y + eps of WIDE classes, and which of them are there. */
typedef struct ratio {
    twice above, below;
    wide_int there;
} ratio;

ratio ratio_at(const global float *sums, int c, int classes, float eps) {
    int left = classes - c;
    wide truth = load_some(sums + 2 * classes + c, left);
    ratio r;
    r.above = twice_sum(2.0f * load_some(sums + c, left), (wide)eps);
    r.below = twice_plus(twice_sum(load_some(sums + classes + c, left), truth), (wide)eps);
    r.there = truth != 0.0f; /* NaN is there */
    return r;
}

float classes_there(const global float *sums, int classes) {
    wide there = 0.0f;
    for (int c = 0; c < classes; c += WIDE)
        there += keep(load_some(sums + 2 * classes + c, classes - c) != 0.0f, (wide)1.0f);
    return lanes_sum(there);
}

kernel void dice_loss(ARG(float, sums), ARG(float, loss), int classes, float eps) {
    AT(sums);
    AT(loss);
    if (get_global_id(0) > 0)
        return;
    float there = classes_there(sums, classes);
    twice scores = twice_from(0.0f, 0.0f);
    for (int c = 0; c < classes; c += WIDE) {
        ratio r = ratio_at(sums, c, classes, eps);
        twice score = twice_over(r.above, r.below);
        score.hi = keep(r.there, score.hi);
        score.lo = keep(r.there, score.lo);
        scores = twice_add(scores, score);
    }
    lanes high, low;
    high.all = scores.hi;
    low.all = scores.lo;
    twice sum = twice_from(0.0f, 0.0f);
    for (int i = 0; i < WIDE; i++)
        sum = twice_add(sum, twice_from(high.each[i], low.each[i]));
    sum = twice_over(sum, twice_from(max(there, 1.0f), 0.0f));
    high.all = twice_plus(twice_minus(sum), (wide)1.0f).hi;
    loss[0] = there > 0.0f ? high.each[0] : 0.0f;
    loss[1] = there;
}

/* ---- gradient ---- */

/* d loss / d p_k = a_k - y_k b_k: a = (2 I + eps) / (|C| (P + Y + eps)^2), b = 2 / (|C| (P + Y + eps)), 0 for classes
 * that are not there. Whole vectors are written. */
kernel void dice_slopes(ARG(float, sums), ARG(float, a), ARG(float, b), int classes, float eps, float scale) {
    AT(sums);
    AT(a);
    AT(b);
    if (get_global_id(0) > 0)
        return;
    twice by = twice_over(twice_from(scale, 0.0f), twice_from(max(classes_there(sums, classes), 1.0f), 0.0f));
    for (int c = 0; c < classes; c += WIDE) {
        ratio r = ratio_at(sums, c, classes, eps);
        twice half_b = twice_over(by, r.below);
        store_wide(keep(r.there, twice_times(twice_over(r.above, r.below), half_b).hi), a + c);
        store_wide(keep(r.there, 2.0f * half_b.hi), b + c);
    }
}

wide slope_at(const global float *a, const global float *b, int c, int target) {
    return load_wide(a + c) - keep(NUMBERS + c == (wide_int)target, load_wide(b + c));
}

/* dlogits_k = p_k (slope_k - sum over j of p_j slope_j). */
kernel void dice_gradient(ARG(float, logits), ARG(int, target), ARG(float, a), ARG(float, b), ARG(float, dlogits),
                          long rows, int classes, int each, int ignore) {
    AT(logits);
    AT(target);
    AT(a);
    AT(b);
    AT(dlogits);
    long first = (long)get_global_id(0) * each, end = min(first + each, rows);
    for (long r = first; r < end; r++) {
        const global float *x = logits + r * classes;
        global float *dx = dlogits + r * classes;
        int t = target[r];
        float most = row_most(x, classes), inverse = row_inverse(x, classes, most);
        wide sum = 0.0f;
        for (int c = 0; c < classes; c += WIDE)
            sum += row_exponentials(x, c, classes, most) * slope_at(a, b, c, t);
        float mean = lanes_sum(sum) * inverse;
        for (int c = 0; c < classes; c += WIDE) {
            wide value = row_exponentials(x, c, classes, most) * inverse * (slope_at(a, b, c, t) - mean);
            if (t < 0 || t >= classes)
                value = t == ignore ? (wide)0.0f : (wide)NAN;
            store_some(t == ignore ? (wide)0.0f : value, dx + c, classes - c);
        }
    }
}
