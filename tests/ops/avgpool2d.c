/* avgpool2d.c: adaptive average pooling and its gradient. */
#include <math.h>
#include <stdlib.h>

#include "tests/ops/harness.h"

typedef struct shape {
    int n, h, w, c, oh, ow;
} shape;

static int from(int o, int size, int outputs) {
    return (int)floor((double)o * size / outputs);
}

static int to(int o, int size, int outputs) {
    return (int)ceil((double)(o + 1) * size / outputs);
}

/* Calls `body` for every pair of an output yi and an input xi in its window, which has `count` pixels. */
#define FOR_EACH_PAIR(s, body)                                                                                   \
    for (int n = 0; n < (s)->n; n++)                                                                             \
        for (int p = 0; p < (s)->oh; p++)                                                                        \
            for (int q = 0; q < (s)->ow; q++)                                                                    \
                for (int h = from(p, (s)->h, (s)->oh); h < to(p, (s)->h, (s)->oh); h++)                          \
                    for (int w = from(q, (s)->w, (s)->ow); w < to(q, (s)->w, (s)->ow); w++)                      \
                        for (int c = 0; c < (s)->c; c++) {                                                       \
                            int64_t yi = (((int64_t)n * (s)->oh + p) * (s)->ow + q) * (s)->c + c;                \
                            int64_t xi = (((int64_t)n * (s)->h + h) * (s)->w + w) * (s)->c + c;                  \
                            double count = (double)(to(p, (s)->h, (s)->oh) - from(p, (s)->h, (s)->oh)) *         \
                                           (to(q, (s)->w, (s)->ow) - from(q, (s)->w, (s)->ow));                  \
                            body                                                                                 \
                        }

typedef struct expected {
    double *result, *tolerance;
    int64_t count;
} expected;

static bool verify(const t_op *op, void *user, char *why) {
    const expected *e = user;
    return t_close(why, op->desc.op == TL_OP_AVGPOOL2D ? "y" : "dx", op->operand[1].result, e->result, e->tolerance,
                   e->count);
}

/* Both are linear, and the reference is the definition: its gradient needs no differences. A sum of m terms is off
 * by (8 + sqrt(m)) u of the absolute values, see conv_common.h. */
static void test(const shape *s, bool grad, bool far) {
    t_op op;
    t_begin(&op, grad ? TL_OP_AVGPOOL2D_GRAD : TL_OP_AVGPOOL2D);
    int64_t x_count = (int64_t)s->n * s->h * s->w * s->c, y_count = (int64_t)s->n * s->oh * s->ow * s->c;
    float *x = t_give(&op, grad, TL_DTYPE_F32, T_SHAPE(s->n, s->h, s->w, s->c));
    float *dy = t_give(&op, !grad, TL_DTYPE_F32, T_SHAPE(s->n, s->oh, s->ow, s->c));
    t_fill(grad ? dy : x, grad ? y_count : x_count, far ? 100 : -1, far ? 101 : 1);
    expected e = {.count = grad ? x_count : y_count};
    e.result = t_zeros(e.count);
    e.tolerance = t_zeros(e.count);
    double terms = grad ? (double)y_count : (double)x_count;
    terms = 8 + sqrt(terms / s->n / s->c);
    FOR_EACH_PAIR(s, {
        int64_t i = grad ? xi : yi;
        double value = (grad ? dy[yi] : x[xi]) / count;
        e.result[i] += value;
        e.tolerance[i] += terms * T_UNIT * fabs(value);
    })
    t_case(&op, verify, &e, "avgpool2d%s %dx%dx%dx%d -> %dx%d%s", grad ? "_grad" : "", s->n, s->h, s->w, s->c, s->oh,
           s->ow, far ? " far from zero" : "");
    free(e.result);
    free(e.tolerance);
    t_end(&op);
}

static void cases(void) {
    static const shape shapes[] = {
        {1, 1, 1, 1, 1, 1},   {2, 7, 7, 64, 1, 1},  {3, 7, 5, 65, 1, 1},   {1, 7, 7, 2048, 1, 1}, {5, 2, 2, 513, 1, 1},
        {2, 7, 7, 16, 7, 7},  {1, 9, 8, 17, 7, 7},  {1, 3, 5, 7, 7, 7},    {2, 1, 1, 20, 7, 7},   {1, 14, 13, 63, 3, 2},
        {1, 11, 7, 129, 6, 5}, {1, 5, 5, 3, 2, 3},  {1, 224, 224, 3, 1, 1}, {1, 65, 67, 12, 6, 6},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        for (int form = 0; form < 4; form++)
            test(&shapes[i], form & 1, form & 2);
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
