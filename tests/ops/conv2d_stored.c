/* conv2d_stored.c: the convolution of values stored in 16 bits, bf16 or (with T_F16) IEEE's half.
 *
 * x and the residual are what is stored: no error. Weights may be rounded to the same type, which has 8 (11) significant
 * bits: each by 2^-8 (2^-11) of itself at most, or by half of what the smallest numbers are apart, all in one direction at
 * worst. Products of two such numbers are exact in f32, and their sum is one in f32, as conv_tolerance bounds it. y is
 * rounded once more. Numbers below the smallest normal f32 may become 0 on the way, which is nothing beside what is added
 * here. Weights that the type holds exactly, and small integers, leave only the last rounding: y is then the number next
 * to the exact sum, ties to even. */
#include <math.h>
#include <stdlib.h>

#include "tests/ops/conv_cases.h"
#include "tests/ops/conv_common.h"
#include "tests/ops/stored_type.h"

enum { X, W, BIAS, RESIDUAL, Y };
enum { WITH_BIAS = 1, WITH_RESIDUAL = 2, IN_PLACE = 4, RELU = 8, WIDE = 16, INTEGERS = 32, CHANGING = 64 };

typedef struct expected {
    double *y, *tolerance;
    int64_t count;
    bool exact;
} expected;

static double *widened(const uint16_t *x, int64_t count) {
    double *wide = t_zeros(count);
    for (int64_t i = 0; i < count && x; i++)
        wide[i] = (double)widen(x[i]);
    return wide;
}

static bool verify(const t_op *op, void *user, char *why) {
    const expected *e = user;
    bool wide = op->operand[Y].desc.dtype == TL_DTYPE_F32;
    float *got = t_allocate((size_t)e->count * sizeof(*got));
    for (int64_t i = 0; i < e->count; i++)
        got[i] = wide ? ((const float *)op->operand[Y].result)[i] : widen(((const uint16_t *)op->operand[Y].result)[i]);
    bool ok = t_close(why, "y", got, e->y, e->tolerance, e->count);
    free(got);
    return ok;
}

static expected compute(const t_op *op, const conv_shape *s, int form) {
    expected e = {.count = conv_y_count(s), .exact = form & INTEGERS};
    double *x = widened(op->operand[X].data, conv_x_count(s)), *w = t_f64(op->operand[W].data, conv_w_count(s));
    double *residual = widened(op->operand[RESIDUAL].data, e.count);
    const float *bias = op->operand[BIAS].data;
    e.y = t_zeros(e.count);
    e.tolerance = t_zeros(e.count);
    conv_forward(s, x, w, e.y, e.tolerance);
    const double terms = (double)s->kh * s->kw * s->c / s->groups, unit = conv_tolerance(terms, false);
    for (int64_t i = 0; i < e.count; i++) {
        double b = bias ? bias[i % s->o] : 0, sum = e.y[i] + b + residual[i];
        double error = STORED * e.tolerance[i] + unit * (e.tolerance[i] * (1 + STORED) + fabs(b) + fabs(residual[i]));
        error += STORED_TINY * terms; /* no x is larger than 1 */
        if (op->desc.relu && sum < 0)
            sum = 0;
        if (!(form & WIDE) && e.exact)
            sum = (double)widen(narrow((float)sum));
        e.y[i] = sum;
        e.tolerance[i] = e.exact ? 0 : form & WIDE ? error : error + STORED * (fabs(sum) + error) + STORED_TINY;
    }
    free(x);
    free(w);
    free(residual);
    return e;
}

static void give_stored(t_op *op, int i, const int64_t shape[4], bool integers) {
    uint16_t *x = t_give(op, i, STORED_TYPE, 4, shape);
    int64_t count = shape[0] * shape[1] * shape[2] * shape[3];
    for (int64_t k = 0; k < count && x; k++)
        x[k] = narrow(integers ? (float)(int)(t_random() % 7) - 3 : (float)t_uniform(-1, 1));
}

static void test(const conv_shape *s, int form) {
    t_op op;
    const bool integers = form & INTEGERS;
    const int64_t x[4] = {s->n, s->h, s->w, s->c}, y[4] = {s->n, conv_out(s, 0), conv_out(s, 1), s->o};
    conv_begin(&op, TL_OP_CONV2D, s);
    give_stored(&op, X, x, integers);
    conv_give_w(&op, W, s, integers);
    if (form & WITH_BIAS)
        conv_give_bias(&op, BIAS, s, integers);
    if (form & WITH_RESIDUAL)
        give_stored(&op, RESIDUAL, y, integers);
    if (form & WIDE)
        conv_give_y(&op, Y, s, integers);
    else
        give_stored(&op, Y, y, integers);
    op.desc.relu = !!(form & RELU);
    op.shares[0] = form & IN_PLACE ? 1 + RESIDUAL : 0;
    op.operand[W].constant = op.operand[BIAS].constant = !(form & CHANGING);
    expected e = compute(&op, s, form);
    t_case(&op, verify, &e, "conv2d " STORED_NAME " %s%s%s%s%s%s%s%s", conv_text(s), form & WITH_BIAS ? " bias" : "",
           form & WITH_RESIDUAL ? " residual" : "", form & IN_PLACE ? " in place" : "", form & RELU ? " relu" : "",
           form & WIDE ? " to f32" : "", integers ? " integers" : "", form & CHANGING ? " changing" : "");
    free(e.y);
    free(e.tolerance);
    t_end(&op);
}

static void cases(void) {
    static const int forms[] = {WITH_BIAS | RELU, WITH_BIAS | WITH_RESIDUAL | IN_PLACE | RELU, WITH_BIAS | WIDE,
                                INTEGERS | WITH_BIAS, INTEGERS | WITH_RESIDUAL | RELU, INTEGERS | WIDE};
    static const int more[] = {0, CHANGING, WITH_RESIDUAL | WIDE | RELU, CHANGING | WITH_RESIDUAL | IN_PLACE};
    static const conv_shape some[] = {K1(2, 5, 5, 64, 66, 1), K3(1, 9, 9, 32, 32, 1), K3(3, 14, 14, 64, 96, 1),
                                      K1(1, 30, 30, 96, 64, 1), K1(3, 9, 9, 1024, 600, 1), K3(2, 13, 9, 320, 256, 1),
                                      {2, 11, 10, 64, 64, 3, 3, {2, 2}, {1, 1}, {1, 1}, 1},
                                      {1, 12, 11, 64, 32, 3, 3, {1, 1}, {3, 2}, {3, 2}, 1}};
    for (int i = 0; i < CONV_CASES; i++)
        for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++)
            test(&conv_cases[i], forms[f]);
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++)
            test(&some[i], forms[f]);
        for (size_t f = 0; f < sizeof(more) / sizeof(more[0]); f++)
            test(&some[i], more[f]);
    }
}

int main(int argc, char **argv) {
    t_every_isa = true;
    return t_main(argc, argv, cases);
}
