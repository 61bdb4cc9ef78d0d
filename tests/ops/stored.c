/* stored.c: operations other than convolutions on values stored in 16 bits, bf16 or (with T_F16) IEEE's half: arithmetic is
 * in f32, so that a result is the exact one within f32's rounding of it, rounded once more to 8 (11) significant bits,
 * unless it is f32. */
#include <math.h>
#include <stdlib.h>

#include "tests/ops/harness.h"
#include "tests/ops/stored_type.h"

typedef struct expected {
    int operand;
    double *y, *magnitude; /* of what was added up */
    double terms;
    int64_t count;
} expected;

/* Terms of 0 say that nothing is rounded in f32: then the result is one number alone. */
static bool verify(const t_op *op, void *user, char *why) {
    const expected *e = user;
    const t_operand *y = &op->operand[e->operand];
    const bool wide = y->desc.dtype == TL_DTYPE_F32;
    float *got = t_allocate((size_t)e->count * sizeof(*got));
    double *want = t_zeros(e->count), *tolerance = t_zeros(e->count);
    for (int64_t i = 0; i < e->count; i++) {
        got[i] = wide ? ((const float *)y->result)[i] : widen(((const uint16_t *)y->result)[i]);
        want[i] = e->y[i];
        tolerance[i] = e->terms * T_UNIT * e->magnitude[i];
        if (!wide && e->terms > 0)
            tolerance[i] += STORED * (fabs(want[i]) + tolerance[i]) + STORED_TINY;
        else if (!wide && !isnan(want[i]))
            want[i] = (double)widen(narrow((float)want[i]));
    }
    bool ok = t_close(why, "y", got, want, tolerance, e->count);
    free(got);
    free(want);
    free(tolerance);
    return ok;
}

static uint16_t *give(t_op *op, int i, int rank, const int64_t *shape) {
    uint16_t *x = t_give(op, i, STORED_TYPE, rank, shape);
    for (int64_t k = 0; x && k < t_count(&op->operand[i].desc); k++)
        x[k] = narrow((float)t_uniform(-2, 2));
    return x;
}

static void finish(t_op *op, expected *e, const char *text, int size) {
    t_case(op, verify, e, "%s " STORED_NAME " %d%s%s", text, size, op->desc.relu ? " relu" : "",
           op->operand[e->operand].desc.dtype == TL_DTYPE_F32 ? " to f32" : "");
    free(e->y);
    free(e->magnitude);
    t_end(op);
}

static expected room(const t_op *op, int operand, double terms) {
    int64_t count = t_count(&op->operand[operand].desc);
    return (expected){operand, t_zeros(count), t_zeros(count), terms, count};
}

static void test_normalize(int64_t channels) {
    t_op op;
    t_begin(&op, TL_OP_NORMALIZE);
    uint8_t *x = t_give(&op, 0, TL_DTYPE_U8, T_SHAPE(2, 7, 9, channels));
    float *table = t_give(&op, 1, TL_DTYPE_F32, T_SHAPE(channels, 256));
    give(&op, 2, T_SHAPE(2, 7, 9, channels));
    t_fill(table, channels * 256, -3, 3);
    op.operand[1].constant = true;
    expected e = room(&op, 2, 0);
    for (int64_t i = 0; i < e.count; i++) {
        x[i] = (uint8_t)t_random();
        e.y[i] = (double)table[i % channels * 256 + x[i]];
    }
    finish(&op, &e, "normalize", (int)channels);
}

/* relu with one input, add with two. */
static void test_flat(tl_op which, int64_t count, int relu, bool in_place) {
    t_op op;
    t_begin(&op, which);
    const int inputs = which == TL_OP_ADD ? 2 : 1;
    const uint16_t *a = give(&op, 0, T_SHAPE(1, 1, 1, count)), *b = inputs > 1 ? give(&op, 1, T_SHAPE(1, 1, 1, count)) : NULL;
    give(&op, inputs, T_SHAPE(1, 1, 1, count));
    op.desc.relu = relu;
    op.shares[0] = in_place;
    ((uint16_t *)op.operand[0].data)[count / 2] = 0x7fc0; /* NaN stays NaN */
    expected e = room(&op, inputs, b ? 1 : 0);
    for (int64_t i = 0; i < e.count; i++) {
        e.y[i] = (double)widen(a[i]) + (b ? (double)widen(b[i]) : 0);
        e.magnitude[i] = fabs(e.y[i]);
        if ((relu || !b) && e.y[i] < 0)
            e.y[i] = 0;
    }
    finish(&op, &e, which == TL_OP_ADD ? "add" : "relu", (int)count);
}

static void test_maxpool(int64_t c, int kernel, int stride, int pad) {
    t_op op;
    const int64_t h = 11, w = 9, oh = (h + 2 * pad - kernel) / stride + 1, ow = (w + 2 * pad - kernel) / stride + 1;
    t_begin(&op, TL_OP_MAXPOOL2D);
    const uint16_t *x = give(&op, 0, T_SHAPE(2, h, w, c));
    give(&op, 1, T_SHAPE(2, oh, ow, c));
    for (int i = 0; i < 2; i++) {
        op.desc.kernel[i] = kernel;
        op.desc.stride[i] = stride;
        op.desc.pad[i] = pad;
        op.desc.dilation[i] = 1;
    }
    expected e = room(&op, 1, 0);
    for (int64_t i = 0; i < e.count; i++) {
        int64_t channel = i % c, q = i / c % ow, p = i / c / ow % oh, n = i / c / ow / oh;
        e.y[i] = -INFINITY;
        for (int64_t a = p * stride - pad; a < p * stride - pad + kernel; a++)
            for (int64_t b = q * stride - pad; b < q * stride - pad + kernel; b++)
                if (a >= 0 && a < h && b >= 0 && b < w)
                    e.y[i] = fmax(e.y[i], (double)widen(x[((n * h + a) * w + b) * c + channel]));
    }
    finish(&op, &e, "maxpool2d", (int)c);
}

static void test_avgpool(int64_t c, int64_t out, bool wide) {
    t_op op;
    const int64_t h = 7, w = 6;
    t_begin(&op, TL_OP_AVGPOOL2D);
    const uint16_t *x = give(&op, 0, T_SHAPE(2, h, w, c));
    if (wide)
        t_give(&op, 1, TL_DTYPE_F32, T_SHAPE(2, out, out, c));
    else
        give(&op, 1, T_SHAPE(2, out, out, c));
    op.desc.extent[0] = op.desc.extent[1] = (int32_t)out;
    expected e = room(&op, 1, (double)(h + w + 2)); /* sums of rows, then of their sums; a division */
    for (int64_t i = 0; i < e.count; i++) {
        int64_t channel = i % c, q = i / c % out, p = i / c / out % out, n = i / c / out / out, taps = 0;
        for (int64_t a = p * h / out; a < ((p + 1) * h + out - 1) / out; a++)
            for (int64_t b = q * w / out; b < ((q + 1) * w + out - 1) / out; b++, taps++) {
                double value = (double)widen(x[((n * h + a) * w + b) * c + channel]);
                e.y[i] += value;
                e.magnitude[i] += fabs(value);
            }
        e.y[i] /= (double)taps;
        e.magnitude[i] *= 3 / (double)taps; /* the order in which a window is added up is left open */
    }
    finish(&op, &e, "avgpool2d", (int)c);
}

static void test_batchnorm(int64_t c, int relu, bool residual, bool wide) {
    t_op op;
    t_begin(&op, TL_OP_BATCHNORM);
    const uint16_t *x = give(&op, 0, T_SHAPE(2, 5, 3, c)), *more = residual ? give(&op, 5, T_SHAPE(2, 5, 3, c)) : NULL;
    const float *p[5];
    for (int i = 1; i <= 4; i++) {
        float *to = t_give(&op, i, TL_DTYPE_F32, T_SHAPE(c));
        t_fill(to, c, i == 4 ? 0.5 : -1, i == 4 ? 2 : 1);
        p[i] = to;
    }
    if (wide)
        t_give(&op, 6, TL_DTYPE_F32, T_SHAPE(2, 5, 3, c));
    else
        give(&op, 6, T_SHAPE(2, 5, 3, c));
    op.desc.eps = 1e-5f;
    op.desc.relu = relu;
    expected e = room(&op, 6, 6);
    for (int64_t i = 0; i < e.count; i++) {
        int64_t k = i % c;
        double factor = (double)p[1][k] / sqrt((double)p[4][k] + 1e-5), r = more ? (double)widen(more[i]) : 0, value = (double)widen(x[i]);
        e.y[i] = (value - (double)p[3][k]) * factor + (double)p[2][k] + r;
        e.magnitude[i] = (fabs(value) + fabs((double)p[3][k])) * fabs(factor) + fabs((double)p[2][k]) + fabs(r);
        if (relu && e.y[i] < 0)
            e.y[i] = 0;
    }
    finish(&op, &e, residual ? "batchnorm residual" : "batchnorm", (int)c);
}

static void cases(void) {
    static const int sizes[] = {1, 3, 8, 16, 31, 64, 300};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const int c = sizes[i];
        test_normalize(c);
        test_flat(TL_OP_RELU, c * 41, 0, c & 1);
        test_flat(TL_OP_ADD, c * 41, 0, c & 1);
        test_flat(TL_OP_ADD, c * 41, 1, !(c & 1));
        test_maxpool(c, 3, 2, 1);
        test_maxpool(c, 2, 2, 0);
        test_avgpool(c, 1, true);
        test_avgpool(c, 1, false);
        test_avgpool(c, 3, false);
        test_batchnorm(c, 0, false, false);
        test_batchnorm(c, 1, true, false);
        test_batchnorm(c, 1, false, true);
    }
    test_flat(TL_OP_ADD, 70000, 1, false); /* several threads */
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
