/* batchnorm_grad.c: batch-norm backward against its reference, and that against differences of the forward one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ops/batchnorm_reference.h"
#include "tests/ops/harness.h"

enum { X, DY, SCALE, MEAN, VAR, Y, DX, DSCALE, DSHIFT };
enum { BATCH = 1, MASKED = 2, IN_PLACE = 4, NO_DX = 8, NO_DSCALE = 16, NO_DSHIFT = 32, DIFFERENCES = 64 };

typedef struct gradients {
    double *dx, *dscale, *dshift;
} gradients;

typedef struct expected {
    norm_case k;
    int form;
    double *x, *dz, *scale, *mean, *invstd;
    gradients g;
} expected;

/* sum(dz * forward(x, scale, shift)), with the statistics that go with x. */
static double objective(const expected *e, const double *x, const double *scale, const double *shift) {
    const norm_case *k = &e->k;
    double *mean = t_zeros(k->channels), *var = t_zeros(k->channels), *y = t_zeros(k->rows * k->channels), sum = 0;
    for (int64_t c = 0; c < k->channels; c++) {
        mean[c] = e->mean[c];
        var[c] = 1 / (e->invstd[c] * e->invstd[c]) - k->eps;
    }
    if (k->batch)
        norm_moments(k, x, mean, var);
    norm_forward(k, x, scale, shift, mean, var, y);
    for (int64_t i = 0; i < k->rows * k->channels; i++)
        sum += e->dz[i] * y[i];
    free(mean);
    free(var);
    free(y);
    return sum;
}

/* The derivative by *at, a place in x, scale or shift. */
static double difference(const expected *e, const double *x, const double *scale, const double *shift, double *at) {
    const double step = 1e-4, here = *at;
    *at = here + step;
    double above = objective(e, x, scale, shift);
    *at = here - step;
    double below = objective(e, x, scale, shift);
    *at = here;
    return (above - below) / (2 * step);
}

static void by_differences(expected *e) {
    const norm_case *k = &e->k;
    double *shift = t_zeros(k->channels);
    for (int64_t i = 0; i < k->rows * k->channels; i++)
        e->g.dx[i] = difference(e, e->x, e->scale, shift, &e->x[i]);
    for (int64_t c = 0; c < k->channels; c++) {
        e->g.dscale[c] = difference(e, e->x, e->scale, shift, &e->scale[c]);
        e->g.dshift[c] = difference(e, e->x, e->scale, shift, &shift[c]);
    }
    free(shift);
}

/* The sums: 16 u of the sum of absolute values (f32 in runs of 64, then f64), and as much for each factor. The
 * statistics that the operation is given are rounded: xhat inherits 2 u (|x| + |mean|) invstd. Differences add an
 * error of their own, of order step^2. */
static bool verify(const t_op *op, void *user, char *why) {
    const expected *e = user;
    const norm_case *k = &e->k;
    int64_t count = k->rows * k->channels;
    double slack = e->form & DIFFERENCES ? 2e-6 : 0;
    double *t_dx = t_zeros(count), *t_scale = t_zeros(k->channels), *t_shift = t_zeros(k->channels);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = i % k->channels;
        double xhat = fabs(e->x[i] - e->mean[c]) * e->invstd[c];
        double noise = 2 * (fabs(e->x[i]) + fabs(e->mean[c])) * e->invstd[c];
        t_shift[c] += fabs(e->dz[i]);
        t_scale[c] += fabs(e->dz[i]) * (xhat + noise);
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t c = i % k->channels;
        double xhat = fabs(e->x[i] - e->mean[c]) * e->invstd[c];
        double noise = 2 * (fabs(e->x[i]) + fabs(e->mean[c])) * e->invstd[c], n = (double)k->rows;
        double terms = fabs(e->dz[i]) + (k->batch ? (t_shift[c] + (xhat + noise) * t_scale[c]) / n : 0);
        t_dx[i] = 16 * T_UNIT * fabs(e->scale[c]) * e->invstd[c] * terms + slack;
    }
    for (int64_t c = 0; c < k->channels; c++) {
        t_shift[c] = 16 * T_UNIT * t_shift[c] + slack;
        t_scale[c] = 16 * T_UNIT * t_scale[c] + slack;
    }
    bool ok = (!op->operand[DX].result || t_close(why, "dx", op->operand[DX].result, e->g.dx, t_dx, count)) &&
              (!op->operand[DSCALE].result ||
               t_close(why, "dscale", op->operand[DSCALE].result, e->g.dscale, t_scale, k->channels)) &&
              (!op->operand[DSHIFT].result ||
               t_close(why, "dshift", op->operand[DSHIFT].result, e->g.dshift, t_shift, k->channels));
    free(t_dx);
    free(t_scale);
    free(t_shift);
    return ok;
}

static expected compute(const t_op *op, const norm_case *k, int form) {
    int64_t count = k->rows * k->channels;
    expected e = {.k = *k, .form = form};
    e.x = t_f64(op->operand[X].data, count);
    e.dz = t_f64(op->operand[DY].data, count);
    e.scale = t_f64(op->operand[SCALE].data, k->channels);
    e.mean = t_f64(op->operand[MEAN].data, k->channels);
    e.invstd = t_f64(op->operand[VAR].data, k->channels);
    e.g = (gradients){t_zeros(count), t_zeros(k->channels), t_zeros(k->channels)};
    const float *y = op->operand[Y].data;
    for (int64_t i = 0; y && i < count; i++)
        e.dz[i] = y[i] > 0 ? e.dz[i] : 0;
    for (int64_t c = 0; !k->batch && c < k->channels; c++)
        e.invstd[c] = 1 / sqrt(e.invstd[c] + k->eps);
    norm_backward(k, e.x, e.dz, e.scale, e.mean, e.invstd, e.g.dx, e.g.dscale, e.g.dshift);
    if (form & DIFFERENCES)
        by_differences(&e);
    return e;
}

static void fill_statistics(t_op *op, const norm_case *k) {
    float *mean = t_give(op, MEAN, TL_DTYPE_F32, T_SHAPE(k->channels));
    float *var = t_give(op, VAR, TL_DTYPE_F32, T_SHAPE(k->channels));
    if (!k->batch) {
        t_fill(mean, k->channels, -1, 1);
        t_fill(var, k->channels, 0.1, 3);
        return;
    }
    double *x = t_f64(op->operand[X].data, k->rows * k->channels), *m = t_zeros(k->channels), *v = t_zeros(k->channels);
    norm_moments(k, x, m, v);
    for (int64_t c = 0; c < k->channels; c++) {
        mean[c] = (float)m[c];
        var[c] = (float)(1 / sqrt(v[c] + k->eps));
    }
    free(x);
    free(m);
    free(v);
}

static void test(int n, int h, int w, int c, int form) {
    t_op op;
    t_begin(&op, TL_OP_BATCHNORM_GRAD);
    op.desc.eps = 1e-5f;
    op.desc.statistics = form & BATCH ? TL_STATISTICS_BATCH : TL_STATISTICS_STORED;
    norm_case k = {(int64_t)n * h * w, c, op.desc.eps, form & BATCH};
    t_fill(t_give(&op, X, TL_DTYPE_F32, T_SHAPE(n, h, w, c)), k.rows * c, -1, 2);
    t_fill(t_give(&op, DY, TL_DTYPE_F32, T_SHAPE(n, h, w, c)), k.rows * c, -1, 1);
    t_fill(t_give(&op, SCALE, TL_DTYPE_F32, T_SHAPE(c)), c, -1, 2);
    fill_statistics(&op, &k);
    if (form & MASKED)
        t_fill_integers(t_give(&op, Y, TL_DTYPE_F32, T_SHAPE(n, h, w, c)), k.rows * c, -1, 1);
    if (!(form & NO_DX))
        t_give(&op, DX, TL_DTYPE_F32, T_SHAPE(n, h, w, c));
    if (!(form & NO_DSCALE))
        t_give(&op, DSCALE, TL_DTYPE_F32, T_SHAPE(c));
    if (!(form & NO_DSHIFT))
        t_give(&op, DSHIFT, TL_DTYPE_F32, T_SHAPE(c));
    op.shares[0] = form & IN_PLACE ? 1 + DY : 0;
    expected e = compute(&op, &k, form);
    t_case(&op, verify, &e, "batchnorm_grad %s %dx%dx%dx%d%s%s%s%s%s%s", form & BATCH ? "batch" : "stored", n, h, w, c,
           form & MASKED ? " masked" : "", form & IN_PLACE ? " in place" : "", form & NO_DX ? " no dx" : "",
           form & NO_DSCALE ? " no dscale" : "", form & NO_DSHIFT ? " no dshift" : "",
           form & DIFFERENCES ? " differences" : "");
    free(e.x);
    free(e.dz);
    free(e.scale);
    free(e.mean);
    free(e.invstd);
    free(e.g.dx);
    free(e.g.dscale);
    free(e.g.dshift);
    t_end(&op);
}

static void cases(void) {
    static const int forms[] = {0, MASKED, IN_PLACE, MASKED | IN_PLACE, NO_DX | MASKED, NO_DSCALE | NO_DSHIFT,
                                MASKED | NO_DSCALE | NO_DSHIFT | IN_PLACE, NO_DSCALE, NO_DSHIFT | MASKED};
    static const int shapes[][4] = {{1, 1, 2, 1},  {2, 1, 1, 3},  {2, 3, 3, 7},    {1, 5, 7, 16},   {3, 4, 5, 63},
                                    {1, 9, 9, 64}, {2, 7, 7, 65}, {1, 5, 5, 127},  {2, 5, 5, 129},  {33, 1, 1, 10},
                                    {4, 33, 31, 24}, {5, 3, 3, 512}, {1, 2, 3, 2048}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++)
            for (int batch = 0; batch <= BATCH; batch++) {
                const int *d = shapes[s];
                test(d[0], d[1], d[2], d[3], forms[f] | batch);
                if (d[0] * d[1] * d[2] * d[3] < 600 && d[0] * d[1] * d[2] > 2 && f < 2)
                    test(d[0], d[1], d[2], d[3], forms[f] | batch | DIFFERENCES);
            }
    test(4, 57, 56, 96, MASKED); /* stored past the caches */
    test(4, 57, 56, 96, MASKED | BATCH);
    test(4, 57, 56, 96, MASKED | NO_DSCALE | NO_DSHIFT);
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
