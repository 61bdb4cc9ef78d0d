/* conv2d_grad_input.c: the convolution's gradient by its input, against the reference and against differences of
 * the forward reference; with and without mask and addend. */
#include <math.h>
#include <stdlib.h>

#include "tests/ops/conv_cases.h"
#include "tests/ops/conv_common.h"

enum { DY, W, ADDEND, MASK, DX };
enum { WITH_ADDEND = 1, IN_PLACE = 2, WITH_MASK = 4, CONSTANT = 8, INTEGERS = 16, DIFFERENCES = 32 };

typedef struct expected {
    double *dx, *tolerance;
    int64_t count;
} expected;

static bool verify(const t_op *op, void *user, char *why) {
    const expected *e = user;
    return t_close(why, "dx", op->operand[DX].result, e->dx, e->tolerance, e->count);
}

/* sum(dy * conv(x)) is linear in x: its difference between x = unit vector and x = 0 is the gradient. */
static void by_differences(const conv_shape *s, const double *dy, const double *w, double *dx) {
    double *x = t_zeros(conv_x_count(s)), *y = t_zeros(conv_y_count(s)), *magnitude = t_zeros(conv_y_count(s));
    for (int64_t i = 0; i < conv_x_count(s); i++) {
        x[i] = 1;
        conv_forward(s, x, w, y, magnitude);
        dx[i] = 0;
        for (int64_t k = 0; k < conv_y_count(s); k++)
            dx[i] += dy[k] * y[k];
        x[i] = 0;
    }
    free(x);
    free(y);
    free(magnitude);
}

static expected compute(const t_op *op, const conv_shape *s, int form) {
    expected e = {.count = conv_x_count(s)};
    double *dy = t_f64(op->operand[DY].data, conv_y_count(s)), *w = t_f64(op->operand[W].data, conv_w_count(s));
    e.dx = t_zeros(e.count);
    e.tolerance = t_zeros(e.count);
    conv_grad_input(s, dy, w, e.dx, e.tolerance);
    if (form & DIFFERENCES)
        by_differences(s, dy, w, e.dx);
    const float *addend = op->operand[ADDEND].data, *mask = op->operand[MASK].data;
    double unit = conv_tolerance((double)s->kh * s->kw * s->o / s->groups, form & INTEGERS);
    for (int64_t i = 0; i < e.count; i++) {
        double a = addend ? addend[i] : 0;
        e.dx[i] += a;
        e.tolerance[i] = unit * (e.tolerance[i] + fabs(a));
        if (mask && !(mask[i] > 0))
            e.dx[i] = e.tolerance[i] = 0;
    }
    free(dy);
    free(w);
    return e;
}

static void test(const conv_shape *s, int form) {
    t_op op;
    bool integers = form & INTEGERS;
    conv_begin(&op, TL_OP_CONV2D_GRAD_INPUT, s);
    conv_give_y(&op, DY, s, integers);
    conv_give_w(&op, W, s, integers);
    if (form & WITH_ADDEND)
        conv_give_x(&op, ADDEND, s, integers);
    if (form & WITH_MASK)
        conv_give_x(&op, MASK, s, true); /* has zeros */
    conv_give_x(&op, DX, s, integers);
    op.shares[0] = form & IN_PLACE ? 1 + ADDEND : 0;
    op.operand[W].constant = form & CONSTANT;
    op.desc.exact = integers; /* sums of which are exact in no algorithm but the direct one */
    expected e = compute(&op, s, form);
    t_case(&op, verify, &e, "conv2d_grad_input %s%s%s%s%s%s%s", conv_text(s), form & WITH_ADDEND ? " addend" : "",
           form & IN_PLACE ? " in place" : "", form & WITH_MASK ? " mask" : "", form & CONSTANT ? " constant" : "",
           integers ? " integers" : "", form & DIFFERENCES ? " differences" : "");
    free(e.dx);
    free(e.tolerance);
    t_end(&op);
}

static void cases(void) {
    static const int all[] = {0, WITH_ADDEND | WITH_MASK | IN_PLACE | CONSTANT, INTEGERS | WITH_MASK,
                              INTEGERS | WITH_ADDEND | CONSTANT};
    static const int more[] = {WITH_ADDEND, WITH_MASK, WITH_ADDEND | WITH_MASK, WITH_ADDEND | IN_PLACE,
                               WITH_MASK | CONSTANT, CONSTANT, WITH_ADDEND | WITH_MASK | CONSTANT};
    for (int i = 0; i < CONV_CASES; i++) {
        const conv_shape *s = &conv_cases[i];
        for (size_t f = 0; f < sizeof(all) / sizeof(all[0]); f++)
            test(s, all[f]);
        if (conv_x_count(s) * conv_y_count(s) * s->kh * s->kw * (s->c / s->groups) < 8000000)
            test(s, DIFFERENCES);
    }
    static const conv_shape some[] = {K1(2, 5, 5, 65, 66, 1), K3(1, 6, 7, 33, 24, 1), K3(1, 7, 7, 80, 16, 2),
                                      {1, 7, 6, 12, 24, 3, 3, {1, 1}, {1, 1}, {1, 1}, 4},
                                      {2, 7, 6, 12, 12, 3, 3, {1, 1}, {1, 1}, {1, 1}, 12}};
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
        for (size_t f = 0; f < sizeof(more) / sizeof(more[0]); f++)
            test(&some[i], more[f]);
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
