/* conv2d_grad_weight.c: the convolution's gradient by its weights and bias, against the reference and against
 * differences of the forward reference; each output alone and both. */
#include <math.h>
#include <stdlib.h>

#include "tests/ops/conv_cases.h"
#include "tests/ops/conv_common.h"

enum { X, DY, DW, DBIAS };
enum { WITH_WEIGHT = 1, WITH_BIAS = 2, INTEGERS = 4, DIFFERENCES = 8 };

typedef struct expected {
    double *dw, *w_tolerance, *dbias, *b_tolerance;
    int64_t w_count, b_count;
} expected;

static bool verify(const t_op *op, void *user, char *why) {
    const expected *e = user;
    if (op->operand[DW].result && !t_close(why, "dw", op->operand[DW].result, e->dw, e->w_tolerance, e->w_count))
        return false;
    return !op->operand[DBIAS].result ||
           t_close(why, "dbias", op->operand[DBIAS].result, e->dbias, e->b_tolerance, e->b_count);
}

/* As in conv2d_grad_input.c: linear in w. */
static void by_differences(const conv_shape *s, const double *x, const double *dy, double *dw) {
    double *w = t_zeros(conv_w_count(s)), *y = t_zeros(conv_y_count(s)), *magnitude = t_zeros(conv_y_count(s));
    for (int64_t i = 0; i < conv_w_count(s); i++) {
        w[i] = 1;
        conv_forward(s, x, w, y, magnitude);
        dw[i] = 0;
        for (int64_t k = 0; k < conv_y_count(s); k++)
            dw[i] += dy[k] * y[k];
        w[i] = 0;
    }
    free(w);
    free(y);
    free(magnitude);
}

static expected compute(const t_op *op, const conv_shape *s, int form) {
    expected e = {.w_count = conv_w_count(s), .b_count = s->o};
    double *x = t_f64(op->operand[X].data, conv_x_count(s)), *dy = t_f64(op->operand[DY].data, conv_y_count(s));
    e.dw = t_zeros(e.w_count);
    e.w_tolerance = t_zeros(e.w_count);
    e.dbias = t_zeros(e.b_count);
    e.b_tolerance = t_zeros(e.b_count);
    conv_grad_weight(s, x, dy, e.dw, e.w_tolerance);
    if (form & DIFFERENCES)
        by_differences(s, x, dy, e.dw);
    for (int64_t i = 0; i < conv_y_count(s); i++) {
        e.dbias[i % s->o] += dy[i];
        e.b_tolerance[i % s->o] += fabs(dy[i]);
    }
    double unit = conv_tolerance((double)conv_y_count(s) / s->o, form & INTEGERS);
    for (int64_t i = 0; i < e.w_count; i++)
        e.w_tolerance[i] *= unit;
    for (int64_t i = 0; i < e.b_count; i++)
        e.b_tolerance[i] *= unit;
    free(x);
    free(dy);
    return e;
}

static void test(const conv_shape *s, int form) {
    t_op op;
    bool integers = form & INTEGERS;
    conv_begin(&op, TL_OP_CONV2D_GRAD_WEIGHT, s);
    conv_give_x(&op, X, s, integers);
    conv_give_y(&op, DY, s, integers);
    if (form & WITH_WEIGHT)
        conv_give_w(&op, DW, s, integers);
    if (form & WITH_BIAS)
        conv_give_bias(&op, DBIAS, s, integers);
    op.desc.exact = integers; /* sums of which are exact in no algorithm but the direct one */
    expected e = compute(&op, s, form);
    t_case(&op, verify, &e, "conv2d_grad_weight %s%s%s%s%s", conv_text(s), form & WITH_WEIGHT ? " dw" : "",
           form & WITH_BIAS ? " dbias" : "", integers ? " integers" : "", form & DIFFERENCES ? " differences" : "");
    free(e.dw);
    free(e.w_tolerance);
    free(e.dbias);
    free(e.b_tolerance);
    t_end(&op);
}

static void cases(void) {
    static const int all[] = {WITH_WEIGHT, WITH_WEIGHT | WITH_BIAS, INTEGERS | WITH_WEIGHT | WITH_BIAS,
                              WITH_BIAS};
    for (int i = 0; i < CONV_CASES; i++) {
        const conv_shape *s = &conv_cases[i];
        for (size_t f = 0; f < sizeof(all) / sizeof(all[0]); f++)
            test(s, all[f]);
        if (conv_w_count(s) * conv_y_count(s) * s->kh * s->kw * (s->c / s->groups) < 8000000)
            test(s, WITH_WEIGHT | DIFFERENCES);
    }
    static const conv_shape large[] = {K1(1, 7, 5, 256, 512, 1), K3(1, 4, 4, 512, 512, 1)};
    for (int i = 0; i < 2; i++)
        test(&large[i], WITH_WEIGHT);
    /* So many pixels that they are summed up in parts, and few products: also for a device that is slow as a simulator. */
    static const conv_shape thin = K1(2, 17, 16, 2, 3, 1);
    for (size_t f = 0; f < sizeof(all) / sizeof(all[0]); f++)
        test(&thin, all[f]);
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
