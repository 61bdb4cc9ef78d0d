/* upsample2d.c: bilinear upsampling and its gradient, which is linear: the reference is the definition, for both. */
#include <math.h>
#include <stdlib.h>

#include "tests/ops/harness.h"

typedef struct shape {
    int n, h, w, c, oh, ow;
} shape;

/* Output o of `outputs` reads two inputs: *low, and the next with *weight. */
static int source(int o, int size, int outputs, double *weight) {
    double at = (o + 0.5) * size / outputs - 0.5;
    int low = at < 0 ? 0 : (int)floor(at);
    *weight = at < 0 ? 0 : at - low;
    return low;
}

static int clamp(int i, int size) {
    return i < size ? i : size - 1;
}

/* Calls `body` for each output yi, each of its four inputs xi, which has `weight` in it. */
#define FOR_EACH_PAIR(s, body)                                                                                       \
    for (int n = 0; n < (s)->n; n++)                                                                                 \
        for (int p = 0; p < (s)->oh; p++)                                                                            \
            for (int q = 0; q < (s)->ow; q++) {                                                                      \
                double down, right;                                                                                  \
                int h = source(p, (s)->h, (s)->oh, &down), w = source(q, (s)->w, (s)->ow, &right);                   \
                for (int tap = 0; tap < 4; tap++) {                                                                  \
                    int64_t row = clamp(h + tap / 2, (s)->h), column = clamp(w + tap % 2, (s)->w);                   \
                    double weight = (tap / 2 ? down : 1 - down) * (tap % 2 ? right : 1 - right);                     \
                    for (int c = 0; c < (s)->c; c++) {                                                               \
                        int64_t yi = (((int64_t)n * (s)->oh + p) * (s)->ow + q) * (s)->c + c;                        \
                        int64_t xi = (((int64_t)n * (s)->h + row) * (s)->w + column) * (s)->c + c;                   \
                        body                                                                                         \
                    }                                                                                                \
                }                                                                                                    \
            }

typedef struct expected {
    double *result, *tolerance;
    int64_t count;
} expected;

static bool verify(const t_op *op, void *user, char *why) {
    const expected *e = user;
    return t_close(why, op->desc.op == TL_OP_UPSAMPLE2D ? "y" : "dx", op->operand[1].result, e->result, e->tolerance,
                   e->count);
}

/* A product of two rounded weights and a value, in a sum of m terms: at most 8 + sqrt(m) roundings count together, see
 * conv_common.h. A weight near 0 is off by its own unit only where it is rounded from double; computed in float it would
 * be off by that of the index, up to 512 here, which is what devices may do. */
static void test(const shape *s, bool grad) {
    t_op op;
    t_begin(&op, grad ? TL_OP_UPSAMPLE2D_GRAD : TL_OP_UPSAMPLE2D);
    int64_t x_count = (int64_t)s->n * s->h * s->w * s->c, y_count = (int64_t)s->n * s->oh * s->ow * s->c;
    float *x = t_give(&op, grad, TL_DTYPE_F32, T_SHAPE(s->n, s->h, s->w, s->c));
    float *dy = t_give(&op, !grad, TL_DTYPE_F32, T_SHAPE(s->n, s->oh, s->ow, s->c));
    t_fill(grad ? dy : x, grad ? y_count : x_count, -1, 1);
    expected e = {.count = grad ? x_count : y_count};
    e.result = t_zeros(e.count);
    e.tolerance = t_zeros(e.count);
    const double terms = 8 + (grad ? sqrt((double)y_count / (double)x_count * 4) : 2);
    FOR_EACH_PAIR(s, {
        int64_t i = grad ? xi : yi;
        double value = grad ? dy[yi] : x[xi];
        e.result[i] += weight * value;
        e.tolerance[i] += terms * T_UNIT * fabs(weight * value) + 2 * T_UNIT * fabs(value);
    })
    t_case(&op, verify, &e, "upsample2d%s %dx%dx%dx%d -> %dx%d", grad ? "_grad" : "", s->n, s->h, s->w, s->c, s->oh, s->ow);
    free(e.result);
    free(e.tolerance);
    t_end(&op);
}

static void cases(void) {
    static const shape shapes[] = {
        {1, 1, 1, 1, 1, 1},   {2, 1, 1, 256, 9, 7}, {1, 2, 2, 3, 4, 4},    {1, 8, 8, 21, 64, 64}, {2, 7, 5, 16, 56, 40},
        {1, 9, 11, 5, 72, 93}, {1, 12, 12, 4, 96, 96}, {2, 4, 6, 17, 5, 13}, {1, 5, 5, 33, 5, 5},  {1, 3, 4, 65, 31, 2},
        {1, 7, 9, 6, 3, 4},   {1, 33, 17, 2, 129, 65}, {3, 2, 9, 129, 8, 36}, {1, 28, 28, 7, 224, 224},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        for (int grad = 0; grad < 2; grad++)
            test(&shapes[i], grad);
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
