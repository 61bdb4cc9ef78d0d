#include "ops/ops.h"

tl_status tl__normalize_shape(tl_context *context, const tl_op_desc *op, const tl_tensor_desc *in, tl_tensor_desc *out) {
    (void)op;
    TL__TRY(tl__op_expect_rank(context, "x", &in[0], TL_DTYPE_U8, 4));
    out[0] = in[0];
    out[0].dtype = TL_DTYPE_F32;
    return tl__op_expect(context, "table", &in[1], tl__desc(TL_DTYPE_F32, 2, (const int64_t[]){in[0].shape[3], 256}));
}
