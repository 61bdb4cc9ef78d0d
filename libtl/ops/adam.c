#include "ops/ops.h"

tl_status tl__adam_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    const tl__op_rule *rule = tl__op_rule_of(op->op);
    (void)out;
    TL__TRY(tl__op_expect_rank(context, "param", &in[0], TL_DTYPE_F32, 1));
    for (int i = 1; i < 4; i++)
        TL__TRY(tl__op_expect(context, rule->inputs[i], &in[i], in[0]));
    TL__TRY(tl__op_expect_rank(context, "segments", &in[4], TL_DTYPE_I64, 1));
    return tl__op_expect(context, "table", &in[5], tl__desc(TL_DTYPE_F32, 2, (const int64_t[]){in[4].shape[0] - 1, 8}));
}
