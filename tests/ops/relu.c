/* relu.c: relu, relu_grad and add. */
#include <math.h>
#include <stdlib.h>

#include "tests/ops/harness.h"

enum { RELU, RELU_GRAD, ADD, ADD_RELU };

static const char *const names[] = {"relu", "relu_grad", "add", "add relu"};

static bool verify(const t_op *op, void *user, char *why) {
    int64_t count = t_count(&op->operand[0].desc);
    int form = *(int *)user;
    const float *a = op->operand[0].data, *b = op->operand[1].data;
    double *want = t_zeros(count), *tolerance = t_zeros(count);
    for (int64_t i = 0; i < count; i++) {
        if (form == RELU)
            want[i] = a[i] < 0 ? 0 : a[i];
        else if (form == RELU_GRAD)
            want[i] = b[i] > 0 ? a[i] : 0;
        else
            want[i] = a[i] + b[i]; /* in f32: one operation, correctly rounded */
        if (form == ADD_RELU && want[i] < 0)
            want[i] = 0;
    }
    bool ok = t_close(why, "result", op->operand[op->inputs].result, want, tolerance, count);
    free(want);
    free(tolerance);
    return ok;
}

static void test(int form, int share, int n, int h, int w, int c) {
    static const tl_op ops[] = {TL_OP_RELU, TL_OP_RELU_GRAD, TL_OP_ADD, TL_OP_ADD};
    t_op op;
    t_begin(&op, ops[form]);
    for (int i = 0; i < op.inputs + op.outputs; i++) {
        float *x = t_give(&op, i, TL_DTYPE_F32, T_SHAPE(n, h, w, c));
        if (!x)
            continue;
        t_fill(x, t_count(&op.operand[i].desc), -1, 1);
        static const float special[] = {0, -0.0f, NAN, INFINITY, -INFINITY, 1e-42f};
        for (int k = 0; k < 12; k++)
            x[t_random() % (uint32_t)t_count(&op.operand[i].desc)] = special[k % 6];
    }
    op.desc.relu = form == ADD_RELU;
    op.shares[0] = share;
    t_case(&op, verify, &form, "%s %dx%dx%dx%d%s", names[form], n, h, w, c, share ? " in place" : "");
    t_end(&op);
}

static void cases(void) {
    for (int form = RELU; form <= ADD_RELU; form++)
        for (int share = 0; share <= (form >= ADD ? 2 : 1); share++) {
            test(form, share, 1, 1, 1, 1);
            test(form, share, 1, 3, 5, 7);
            test(form, share, 3, 4, 5, 17);
            test(form, share, 2, 33, 35, 63);
            test(form, share, 1, 65, 129, 131); /* over 4 MB: stored past the caches */
        }
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
