/* batchnorm.c: batch-norm forward: stored and batch statistics, residual, ReLU, in place, values far from zero. */
#include <math.h>
#include <stdlib.h>

#include "tests/ops/batchnorm_reference.h"
#include "tests/ops/harness.h"

enum { X, SCALE, SHIFT, MEAN, VAR, RESIDUAL, Y, SAVED_MEAN, SAVED_INVSTD };
enum { BATCH = 1, WITH_RESIDUAL = 2, RELU = 4, OVER_X = 8, OVER_RESIDUAL = 16, SAVED = 32, CONSTANT = 64 };

static const double momentum = 0.1;

/* What the arithmetic may be off by. A mean of f32 sums of at most a few hundred terms each, joined in f64, is off by
 * a few u times the mean absolute value around the pivot; here 16 u sigma allows for it, sigma being the spread. A
 * variance is off by 32 u of itself. What follows is a handful of roundings of each term. */
static bool verify_batch(const t_op *op, const norm_case *k, const double *m, const double *v, char *why) {
    double *want = t_zeros(k->channels), *tolerance = t_zeros(k->channels);
    const float *mean = op->operand[MEAN].data, *var = op->operand[VAR].data;
    double unbiased = (double)k->rows / (double)(k->rows - 1);
    for (int64_t c = 0; c < k->channels; c++) {
        want[c] = (1 - momentum) * mean[c] + momentum * m[c];
        tolerance[c] = T_UNIT * (16 * sqrt(v[c]) + 4 * (fabs(mean[c]) + fabs(m[c])));
    }
    bool ok = t_close(why, "mean", op->operand[MEAN].result, want, tolerance, k->channels);
    for (int64_t c = 0; c < k->channels; c++) {
        want[c] = (1 - momentum) * var[c] + momentum * v[c] * unbiased;
        tolerance[c] = T_UNIT * 32 * want[c];
    }
    ok = ok && t_close(why, "var", op->operand[VAR].result, want, tolerance, k->channels);
    if (ok && op->operand[SAVED_MEAN].result) {
        for (int64_t c = 0; c < k->channels; c++)
            tolerance[c] = T_UNIT * (16 * sqrt(v[c]) + 2 * fabs(m[c]));
        ok = t_close(why, "saved_mean", op->operand[SAVED_MEAN].result, m, tolerance, k->channels);
    }
    if (ok && op->operand[SAVED_INVSTD].result) {
        for (int64_t c = 0; c < k->channels; c++) {
            want[c] = 1 / sqrt(v[c] + k->eps);
            tolerance[c] = T_UNIT * 32 * want[c];
        }
        ok = t_close(why, "saved_invstd", op->operand[SAVED_INVSTD].result, want, tolerance, k->channels);
    }
    free(want);
    free(tolerance);
    return ok;
}

static bool verify(const t_op *op, void *user, char *why) {
    const norm_case *k = user;
    int64_t count = k->rows * k->channels;
    double *x = t_f64(op->operand[X].data, count), *y = t_zeros(count), *tolerance = t_zeros(count);
    double *scale = t_f64(op->operand[SCALE].data, k->channels), *shift = t_f64(op->operand[SHIFT].data, k->channels);
    double *m = t_f64(op->operand[MEAN].data, k->channels), *v = t_f64(op->operand[VAR].data, k->channels);
    const float *residual = op->operand[RESIDUAL].data;
    if (k->batch)
        norm_moments(k, x, m, v);
    norm_forward(k, x, scale, shift, m, v, y);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = i % k->channels;
        double factor = fabs(scale[c]) / sqrt(v[c] + k->eps), r = residual ? residual[i] : 0;
        y[i] += r;
        /* x - m, the mean's own rounding, the factor, the additions */
        tolerance[i] = T_UNIT * (factor * (40 * fabs(x[i] - m[c]) + 2 * fabs(m[c]) + (k->batch ? 16 * sqrt(v[c]) : 0)) +
                                 4 * fabs(shift[c]) + 4 * fabs(r));
        if (op->desc.relu && y[i] < 0)
            y[i] = 0;
    }
    bool ok = t_close(why, "y", op->operand[Y].result, y, tolerance, count) &&
              (!k->batch || verify_batch(op, k, m, v, why));
    free(x);
    free(y);
    free(tolerance);
    free(scale);
    free(shift);
    free(m);
    free(v);
    return ok;
}

static void test(int n, int h, int w, int c, int form, double offset) {
    t_op op;
    t_begin(&op, TL_OP_BATCHNORM);
    norm_case k = {(int64_t)n * h * w, c, 0, form & BATCH};
    op.desc.eps = 1e-5f;
    k.eps = op.desc.eps;
    op.desc.momentum = (float)momentum;
    op.desc.relu = !!(form & RELU);
    op.desc.statistics = form & BATCH ? TL_STATISTICS_BATCH : TL_STATISTICS_STORED;
    t_fill(t_give(&op, X, TL_DTYPE_F32, T_SHAPE(n, h, w, c)), k.rows * c, offset - 1, offset + 2);
    t_fill(t_give(&op, SCALE, TL_DTYPE_F32, T_SHAPE(c)), c, -1, 2);
    t_fill(t_give(&op, SHIFT, TL_DTYPE_F32, T_SHAPE(c)), c, -1, 1);
    t_fill(t_give(&op, MEAN, TL_DTYPE_F32, T_SHAPE(c)), c, offset - 1, offset + 1);
    t_fill(t_give(&op, VAR, TL_DTYPE_F32, T_SHAPE(c)), c, 0.1, 3);
    if (form & WITH_RESIDUAL)
        t_fill(t_give(&op, RESIDUAL, TL_DTYPE_F32, T_SHAPE(n, h, w, c)), k.rows * c, -2, 2);
    t_give(&op, Y, TL_DTYPE_F32, T_SHAPE(n, h, w, c));
    if (form & SAVED) {
        t_give(&op, SAVED_MEAN, TL_DTYPE_F32, T_SHAPE(c));
        t_give(&op, SAVED_INVSTD, TL_DTYPE_F32, T_SHAPE(c));
    }
    op.shares[0] = form & OVER_X ? 1 + X : form & OVER_RESIDUAL ? 1 + RESIDUAL : 0;
    if (form & CONSTANT)
        for (int i = SCALE; i <= (form & BATCH ? SHIFT : VAR); i++)
            op.operand[i].constant = true;
    t_case(&op, verify, &k, "batchnorm %s %dx%dx%dx%d%s%s%s%s%s%s offset %g", form & BATCH ? "batch" : "stored", n, h,
           w, c, form & WITH_RESIDUAL ? " residual" : "", form & RELU ? " relu" : "", form & OVER_X ? " over x" : "",
           form & OVER_RESIDUAL ? " over residual" : "", form & SAVED ? " saved" : "",
           form & CONSTANT ? " constant" : "", offset);
    t_end(&op);
}

static void cases(void) {
    static const int forms[] = {0, RELU, WITH_RESIDUAL | RELU, OVER_X | RELU, OVER_RESIDUAL | WITH_RESIDUAL, CONSTANT};
    static const int shapes[][4] = {{1, 1, 2, 1},   {2, 1, 1, 3},   {2, 3, 3, 7},   {1, 5, 7, 16},   {3, 4, 5, 63},
                                    {1, 9, 9, 64},  {2, 7, 7, 65},  {1, 5, 5, 127}, {2, 5, 5, 129},  {33, 1, 1, 10},
                                    {4, 33, 31, 24}, {5, 3, 3, 512}, {1, 2, 3, 2048}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
        const int *d = shapes[s];
        for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
            test(d[0], d[1], d[2], d[3], forms[f], 0);
            test(d[0], d[1], d[2], d[3], forms[f] | BATCH | SAVED, 0);
        }
        test(d[0], d[1], d[2], d[3], BATCH, 0);
        test(d[0], d[1], d[2], d[3], BATCH | SAVED | RELU, 1000);
        test(d[0], d[1], d[2], d[3], RELU, 1000);
    }
    test(4, 57, 56, 64, BATCH | SAVED | RELU, 3); /* stored past the caches, several blocks */
    test(4, 57, 56, 96, RELU | WITH_RESIDUAL, 3);
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
