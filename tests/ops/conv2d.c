/* conv2d.c: the convolution against its reference: every shape, with and without bias, residual (in place and not)
 * and ReLU, weights constant and not. */
#include <math.h>
#include <stdlib.h>

#include "tests/ops/conv_cases.h"
#include "tests/ops/conv_common.h"

enum { X, W, BIAS, RESIDUAL, Y };
enum { WITH_BIAS = 1, WITH_RESIDUAL = 2, IN_PLACE = 4, RELU = 8, CONSTANT = 16, INTEGERS = 32 };

typedef struct expected {
    double *y, *tolerance;
    int64_t count;
} expected;

static bool verify(const t_op *op, void *user, char *why) {
    const expected *e = user;
    return t_close(why, "y", op->operand[Y].result, e->y, e->tolerance, e->count);
}

/* Forms that a device does by Winograd's algorithm where it is asked to (the CPU with constant weights only), whose
 * fractions round where plain sums of integers would not. */
static bool is_winograd_form(const conv_shape *s, int form) {
    if (conv_exact() || !(form & CONSTANT || getenv("TL_OPENCL_WINOGRAD")) || s->c < 32 || s->o < 32)
        return false;
    return s->kh == 3 && s->kw == 3 && s->groups == 1 && s->stride[0] == 1 && s->stride[1] == 1 && s->dilation[0] == 1 &&
           s->dilation[1] == 1;
}

static expected compute(const t_op *op, const conv_shape *s, int form) {
    expected e = {.count = conv_y_count(s)};
    double *x = t_f64(op->operand[X].data, conv_x_count(s)), *w = t_f64(op->operand[W].data, conv_w_count(s));
    e.y = t_zeros(e.count);
    e.tolerance = t_zeros(e.count);
    conv_forward(s, x, w, e.y, e.tolerance);
    const float *bias = op->operand[BIAS].data, *residual = op->operand[RESIDUAL].data;
    double unit = conv_tolerance((double)s->kh * s->kw * s->c / s->groups,
                                 form & INTEGERS && !is_winograd_form(s, form));
    for (int64_t i = 0; i < e.count; i++) {
        double b = bias ? bias[i % s->o] : 0, r = residual ? residual[i] : 0;
        e.y[i] += b + r;
        e.tolerance[i] = unit * (e.tolerance[i] + fabs(b) + fabs(r));
        if (op->desc.relu && e.y[i] < 0)
            e.y[i] = 0;
    }
    free(x);
    free(w);
    return e;
}

static void test(const conv_shape *s, int form) {
    t_op op;
    bool integers = form & INTEGERS;
    conv_begin(&op, TL_OP_CONV2D, s);
    conv_give_x(&op, X, s, integers);
    conv_give_w(&op, W, s, integers);
    if (form & WITH_BIAS)
        conv_give_bias(&op, BIAS, s, integers);
    if (form & WITH_RESIDUAL)
        conv_give_y(&op, RESIDUAL, s, integers);
    conv_give_y(&op, Y, s, integers);
    op.desc.relu = !!(form & RELU);
    op.desc.exact = conv_exact();
    op.shares[0] = form & IN_PLACE ? 1 + RESIDUAL : 0;
    op.operand[W].constant = op.operand[BIAS].constant = form & CONSTANT;
    expected e = compute(&op, s, form);
    t_case(&op, verify, &e, "conv2d %s%s%s%s%s%s%s", conv_text(s), form & WITH_BIAS ? " bias" : "",
           form & WITH_RESIDUAL ? " residual" : "", form & IN_PLACE ? " in place" : "", form & RELU ? " relu" : "",
           form & CONSTANT ? " constant" : "", integers ? " integers" : "");
    free(e.y);
    free(e.tolerance);
    t_end(&op);
}

/* What goes in as NaN or infinity comes out where it must, and nowhere else; ReLU keeps NaN. */
static void test_not_finite(void) {
    static const conv_shape shapes[] = {K3(1, 9, 9, 16, 20, 1), K1(1, 5, 5, 33, 70, 1)};
    for (int i = 0; i < 2; i++) {
        const conv_shape *s = &shapes[i];
        t_op op;
        conv_begin(&op, TL_OP_CONV2D, s);
        conv_give_x(&op, X, s, true);
        conv_give_w(&op, W, s, true);
        conv_give_y(&op, Y, s, true);
        op.desc.relu = 1;
        ((float *)op.operand[X].data)[3 * s->c + 5] = NAN;
        expected e = compute(&op, s, INTEGERS);
        for (int64_t k = 0; k < e.count; k++)
            e.tolerance[k] = 0;
        t_case(&op, verify, &e, "conv2d %s with a NaN", conv_text(s));
        free(e.y);
        free(e.tolerance);
        t_end(&op);
    }
}

static void cases(void) {
    static const int all[] = {0,
                              WITH_BIAS | RELU | CONSTANT,
                              WITH_BIAS | WITH_RESIDUAL | IN_PLACE | RELU | CONSTANT,
                              INTEGERS | WITH_BIAS,
                              INTEGERS | WITH_RESIDUAL | RELU | CONSTANT};
    static const int more[] = {RELU,           WITH_BIAS,     WITH_RESIDUAL | IN_PLACE, WITH_BIAS | WITH_RESIDUAL,
                               CONSTANT,       WITH_RESIDUAL | RELU, WITH_BIAS | CONSTANT,
                               WITH_RESIDUAL | IN_PLACE | CONSTANT};
    for (int i = 0; i < CONV_CASES; i++)
        for (size_t f = 0; f < sizeof(all) / sizeof(all[0]); f++)
            test(&conv_cases[i], all[f]);
    static const conv_shape some[] = {K1(2, 5, 5, 65, 66, 1), K3(1, 6, 7, 24, 33, 1), K3(1, 7, 7, 16, 80, 2),
                                      {1, 7, 6, 12, 24, 3, 3, {1, 1}, {1, 1}, {1, 1}, 4},
                                      {2, 7, 6, 12, 12, 3, 3, {1, 1}, {1, 1}, {1, 1}, 12}};
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
        for (size_t f = 0; f < sizeof(more) / sizeof(more[0]); f++)
            test(&some[i], more[f]);
    test_not_finite();
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
