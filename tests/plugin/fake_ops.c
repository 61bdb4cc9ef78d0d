#include "tests/plugin/fake.h"

#include <math.h>
#include <stddef.h>

static float activate(const fake_call *call, float x) {
    return call->op->relu && !(x > 0) && !isnan(x) ? 0 : x;
}

static int64_t count(const tl_tensor_desc *desc) {
    int64_t product = 1;
    for (int i = 0; i < desc->rank; i++)
        product *= desc->shape[i];
    return product;
}

static int64_t channels(const tl_tensor_desc *desc) {
    return desc->shape[desc->rank - 1];
}

static int64_t at(const tl_tensor_desc *desc, int64_t n, int64_t h, int64_t w, int64_t c) {
    return ((n * desc->shape[1] + h) * desc->shape[2] + w) * desc->shape[3] + c;
}

static void run_normalize(const fake_call *call) {
    const uint8_t *x = call->data[0];
    const float *table = call->data[1];
    float *y = call->data[2];
    int64_t c = channels(&call->desc[0]);
    for (int64_t i = 0; i < count(&call->desc[0]); i++)
        y[i] = table[i % c * 256 + x[i]];
}

static double conv2d_sum(const fake_call *call, int64_t n, int64_t oh, int64_t ow, int64_t o) {
    const tl_tensor_desc *dx = &call->desc[0], *dw = &call->desc[1];
    const float *x = call->data[0], *w = call->data[1];
    const tl_op_desc *op = call->op;
    int64_t per_group = dw->shape[3], first = o / (dw->shape[0] / op->groups) * per_group;
    double sum = 0;
    for (int64_t i = 0; i < dw->shape[1]; i++)
        for (int64_t j = 0; j < dw->shape[2]; j++) {
            int64_t h = oh * op->stride[0] - op->pad[0] + i * op->dilation[0];
            int64_t v = ow * op->stride[1] - op->pad[1] + j * op->dilation[1];
            if (h < 0 || h >= dx->shape[1] || v < 0 || v >= dx->shape[2])
                continue;
            for (int64_t c = 0; c < per_group; c++)
                sum += (double)x[at(dx, n, h, v, first + c)] * w[at(dw, o, i, j, c)];
        }
    return sum;
}

static void run_conv2d(const fake_call *call) {
    const float *bias = call->data[2], *residual = call->data[3];
    float *y = call->data[4];
    const tl_tensor_desc *dy = &call->desc[4];
    for (int64_t n = 0; n < dy->shape[0]; n++)
        for (int64_t h = 0; h < dy->shape[1]; h++)
            for (int64_t w = 0; w < dy->shape[2]; w++)
                for (int64_t o = 0; o < dy->shape[3]; o++) {
                    double sum = conv2d_sum(call, n, h, w, o);
                    int64_t to = at(dy, n, h, w, o);
                    y[to] = activate(call, (float)(sum + (bias ? bias[o] : 0) + (residual ? residual[to] : 0)));
                }
}

static void run_batchnorm(const fake_call *call) {
    const float *x = call->data[0], *scale = call->data[1], *shift = call->data[2];
    const float *mean = call->data[3], *var = call->data[4], *residual = call->data[5];
    float *y = call->data[6];
    int64_t k = channels(&call->desc[0]);
    for (int64_t i = 0; i < count(&call->desc[0]); i++) {
        int64_t c = i % k;
        double value = ((double)x[i] - mean[c]) / sqrt((double)var[c] + call->op->eps) * scale[c] + shift[c];
        y[i] = activate(call, (float)(value + (residual ? residual[i] : 0)));
    }
}

static void run_relu(const fake_call *call) {
    const float *x = call->data[0];
    float *y = call->data[1];
    for (int64_t i = 0; i < count(&call->desc[0]); i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

static void run_add(const fake_call *call) {
    const float *a = call->data[0], *b = call->data[1];
    float *y = call->data[2];
    for (int64_t i = 0; i < count(&call->desc[0]); i++)
        y[i] = activate(call, a[i] + b[i]);
}

static float window_maximum(const fake_call *call, int64_t n, int64_t oh, int64_t ow, int64_t c) {
    const tl_tensor_desc *dx = &call->desc[0];
    const float *x = call->data[0];
    const tl_op_desc *op = call->op;
    float most = -INFINITY;
    for (int64_t i = 0; i < op->kernel[0]; i++)
        for (int64_t j = 0; j < op->kernel[1]; j++) {
            int64_t h = oh * op->stride[0] - op->pad[0] + i, w = ow * op->stride[1] - op->pad[1] + j;
            if (h < 0 || h >= dx->shape[1] || w < 0 || w >= dx->shape[2])
                continue;
            float value = x[at(dx, n, h, w, c)];
            if (isnan(value))
                return value;
            if (value > most)
                most = value;
        }
    return most;
}

static void run_maxpool2d(const fake_call *call) {
    const tl_tensor_desc *dy = &call->desc[1];
    float *y = call->data[1];
    for (int64_t n = 0; n < dy->shape[0]; n++)
        for (int64_t h = 0; h < dy->shape[1]; h++)
            for (int64_t w = 0; w < dy->shape[2]; w++)
                for (int64_t c = 0; c < dy->shape[3]; c++)
                    y[at(dy, n, h, w, c)] = window_maximum(call, n, h, w, c);
}

static void run_avgpool2d(const fake_call *call) {
    const tl_tensor_desc *dx = &call->desc[0], *dy = &call->desc[1];
    const float *x = call->data[0];
    float *y = call->data[1];
    for (int64_t i = 0; i < count(dy); i++) {
        int64_t c = i % dy->shape[3], ow = i / dy->shape[3] % dy->shape[2];
        int64_t oh = i / dy->shape[3] / dy->shape[2] % dy->shape[1], n = i / dy->shape[3] / dy->shape[2] / dy->shape[1];
        int64_t top = oh * dx->shape[1] / dy->shape[1], left = ow * dx->shape[2] / dy->shape[2];
        int64_t bottom = ((oh + 1) * dx->shape[1] + dy->shape[1] - 1) / dy->shape[1];
        int64_t right = ((ow + 1) * dx->shape[2] + dy->shape[2] - 1) / dy->shape[2];
        double sum = 0;
        for (int64_t h = top; h < bottom; h++)
            for (int64_t w = left; w < right; w++)
                sum += x[at(dx, n, h, w, c)];
        y[i] = (float)(sum / (double)((bottom - top) * (right - left)));
    }
}

static const struct {
    const char *stem;
    fake_arithmetic run;
} known[TL_OP_COUNT] = {
#define STEM(NAME, name, inputs, outputs) [TL_OP_##NAME].stem = #name,
    TL_OP_LIST(STEM)
#undef STEM
    [TL_OP_NORMALIZE].run = run_normalize, [TL_OP_CONV2D].run = run_conv2d,
    [TL_OP_BATCHNORM].run = run_batchnorm, [TL_OP_RELU].run = run_relu,
    [TL_OP_ADD].run = run_add,             [TL_OP_MAXPOOL2D].run = run_maxpool2d,
    [TL_OP_AVGPOOL2D].run = run_avgpool2d,
};

const char *fake_stem(uint32_t op) {
    return op < TL_OP_COUNT ? known[op].stem : "unknown";
}

static bool is(const tl_operand *operand, int dtype) {
    return operand->desc.dtype == dtype || operand->desc.dtype == TL_DTYPE_NONE;
}

fake_arithmetic fake_find(const tl_op_desc *op, const tl_operand *operands, uint32_t inputs, uint32_t outputs,
                          const char **reason) {
    *reason = "it has no arithmetic for this operation";
    if (op->op >= TL_OP_COUNT || !known[op->op].run || inputs + outputs > FAKE_MAX_OPERANDS)
        return NULL;
    *reason = "it has no arithmetic for these types";
    for (uint32_t i = 0; i < inputs + outputs; i++)
        if (!is(&operands[i], op->op == TL_OP_NORMALIZE && i == 0 ? TL_DTYPE_U8 : TL_DTYPE_F32))
            return NULL;
    *reason = "it has no arithmetic for the statistics of the batch";
    if (op->op == TL_OP_BATCHNORM && op->statistics != TL_STATISTICS_STORED)
        return NULL;
    *reason = "it does not write the index";
    if (op->op == TL_OP_MAXPOOL2D && operands[2].desc.dtype != TL_DTYPE_NONE)
        return NULL;
    return known[op->op].run;
}
