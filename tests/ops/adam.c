/* adam.c: the optimiser against PyTorch's formulas in f64, step after step, over several segments. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/ops/harness.h"

enum { PARAM, GRAD, M, V, SEGMENTS, TABLE };

static bool verify(const t_op *op, void *user, char *why) {
    int64_t count = t_count(&op->operand[PARAM].desc), segments = t_count(&op->operand[SEGMENTS].desc) - 1;
    double *p = t_f64(op->operand[PARAM].data, count), *g = t_f64(op->operand[GRAD].data, count);
    double *m = t_f64(op->operand[M].data, count), *v = t_f64(op->operand[V].data, count);
    double *t_p = t_zeros(count), *t_m = t_zeros(count), *t_v = t_zeros(count);
    const int64_t *bounds = op->operand[SEGMENTS].data;
    const float *table = op->operand[TABLE].data;
    (void)user;
    for (int64_t s = 0; s < segments; s++, table += 8)
        for (int64_t i = bounds[s]; i < bounds[s + 1]; i++) {
            double step = table[0], root = table[1], r1 = table[2], r2 = table[3], eps = table[4], decay = table[5];
            double before = p[i], old_m = m[i], old_v = v[i], gradient = g[i];
            if (table[7] != 0)
                p[i] *= 1 - (double)table[6] * decay;
            else
                gradient += decay * p[i];
            m[i] = (1 - r1) * old_m + r1 * gradient;
            v[i] = (1 - r2) * old_v + r2 * gradient * gradient;
            double size = fabs(g[i]) + decay * fabs(before), denominator = sqrt(v[i]) / root + eps;
            p[i] -= step * m[i] / denominator;
            /* a handful of roundings of each term; the step takes over the relative errors of m and sqrt(v) */
            t_m[i] = 4 * T_UNIT * (fabs(old_m) + r1 * size);
            t_v[i] = 4 * T_UNIT * (old_v + 2 * r2 * size * size);
            double error_v = v[i] > 0 ? t_v[i] / (2 * sqrt(v[i])) / root : sqrt(t_v[i]) / root;
            t_p[i] = 4 * T_UNIT * fabs(before) + step / denominator * (t_m[i] + 8 * T_UNIT * fabs(m[i])) +
                     step * fabs(m[i]) / denominator * error_v / denominator;
        }
    bool ok = t_close(why, "m", op->operand[M].result, m, t_m, count) &&
              t_close(why, "v", op->operand[V].result, v, t_v, count) &&
              t_close(why, "param", op->operand[PARAM].result, p, t_p, count);
    free(p);
    free(g);
    free(m);
    free(v);
    free(t_p);
    free(t_m);
    free(t_v);
    return ok;
}

static void set_row(float *row, int step, double lr, double decay, bool decoupled) {
    row[0] = (float)(lr / (1 - pow(0.9, step)));
    row[1] = (float)sqrt(1 - pow(0.999, step));
    row[2] = 0.1f;
    row[3] = 0.001f;
    row[4] = 1e-8f;
    row[5] = (float)decay;
    row[6] = (float)lr;
    row[7] = decoupled;
}

/* `gap`: the last segment ends before the buffer does; what is in no segment stays as it is. */
static void test(int64_t count, int segments, int step, bool constant, int gap) {
    t_op op;
    t_begin(&op, TL_OP_ADAM);
    t_fill(t_give(&op, PARAM, TL_DTYPE_F32, T_SHAPE(count)), count, -1, 1);
    t_fill(t_give(&op, GRAD, TL_DTYPE_F32, T_SHAPE(count)), count, -0.1, 0.1);
    t_fill(t_give(&op, M, TL_DTYPE_F32, T_SHAPE(count)), count, step > 1 ? -0.1 : 0, step > 1 ? 0.1 : 0);
    t_fill(t_give(&op, V, TL_DTYPE_F32, T_SHAPE(count)), count, 0, step > 1 ? 0.01 : 0);
    ((float *)op.operand[GRAD].data)[0] = 0;
    int64_t *bounds = t_give(&op, SEGMENTS, TL_DTYPE_I64, T_SHAPE(segments + 1));
    float *table = t_give(&op, TABLE, TL_DTYPE_F32, T_SHAPE(segments, 8));
    for (int s = 0; s <= segments; s++)
        bounds[s] = (count - gap) * s / segments;
    for (int s = 0; s < segments; s++)
        set_row(table + 8 * s, step, s % 3 == 0 ? 1e-3 : 1e-2, s % 2 ? 0.01 : 0, s % 4 == 3);
    op.operand[SEGMENTS].constant = constant;
    t_case(&op, verify, NULL, "adam %lld in %d segments, step %d%s%s", (long long)count, segments, step,
           constant ? " constant" : "", gap ? " gap" : "");
    t_end(&op);
}

static void cases(void) {
    static const int steps[] = {1, 2, 10, 1000};
    for (int i = 0; i < 4; i++) {
        test(1, 1, steps[i], false, 0);
        test(7, 2, steps[i], true, 0);
        test(1000, 4, steps[i], true, 3);
        test(50001, 9, steps[i], false, 0);
        test(70000, 300, steps[i], true, 100);
    }
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
