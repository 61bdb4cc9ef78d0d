/* normalize.c: bytes to floats by a table for each channel. */
#include <stdlib.h>

#include "tests/ops/harness.h"

enum { X, TABLE, Y };

static bool verify(const t_op *op, void *user, char *why) {
    int64_t count = t_count(&op->operand[X].desc), channels = op->operand[X].desc.shape[3];
    const uint8_t *x = op->operand[X].data;
    const float *table = op->operand[TABLE].data;
    double *want = t_zeros(count), *tolerance = t_zeros(count);
    (void)user;
    for (int64_t i = 0; i < count; i++)
        want[i] = table[i % channels * 256 + x[i]];
    bool ok = t_close(why, "y", op->operand[Y].result, want, tolerance, count);
    free(want);
    free(tolerance);
    return ok;
}

static void test(int n, int h, int w, int c, bool constant) {
    t_op op;
    t_begin(&op, TL_OP_NORMALIZE);
    uint8_t *x = t_give(&op, X, TL_DTYPE_U8, T_SHAPE(n, h, w, c));
    t_fill(t_give(&op, TABLE, TL_DTYPE_F32, T_SHAPE(c, 256)), c * 256, -2, 2);
    t_give(&op, Y, TL_DTYPE_F32, T_SHAPE(n, h, w, c));
    for (int64_t i = 0; i < t_count(&op.operand[X].desc); i++)
        x[i] = (uint8_t)t_random();
    op.operand[TABLE].constant = constant;
    t_case(&op, verify, NULL, "normalize %dx%dx%dx%d%s", n, h, w, c, constant ? " constant" : "");
    t_end(&op);
}

static void cases(void) {
    for (int constant = 0; constant < 2; constant++) {
        test(1, 1, 1, 1, constant);
        test(1, 5, 7, 3, constant);
        test(3, 65, 73, 3, constant);
        test(2, 9, 11, 4, constant);
        test(1, 224, 224, 1, constant);
    }
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
