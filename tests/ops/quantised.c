/* quantised.c: operations other than convolutions on values stored in 8 bits: the very bits of a slow reference. */
#include <math.h>
#include <stdlib.h>

#include "tests/ops/harness.h"

enum { X, TABLE, OF_TABLE };

typedef struct expected {
    int operand;
    double *y;
    int64_t count;
} expected;

static bool verify(const t_op *op, void *user, char *why) {
    const expected *e = user;
    const t_operand *y = &op->operand[e->operand];
    float *got = t_allocate((size_t)e->count * sizeof(*got));
    double *none = t_zeros(e->count);
    for (int64_t i = 0; i < e->count; i++)
        got[i] = y->desc.dtype == TL_DTYPE_F32 ? ((const float *)y->result)[i] : ((const uint8_t *)y->result)[i];
    bool ok = t_close(why, "y", got, e->y, none, e->count);
    free(got);
    free(none);
    return ok;
}

static uint8_t *give(t_op *op, int i, int rank, const int64_t *shape, float step, int zero) {
    uint8_t *x = t_give(op, i, TL_DTYPE_U8, rank, shape);
    for (int64_t k = 0; x && k < t_count(&op->operand[i].desc); k++)
        x[k] = (uint8_t)t_random();
    op->desc.step[i] = step;
    op->desc.zero[i] = zero;
    return x;
}

static expected room(const t_op *op, int operand) {
    int64_t count = t_count(&op->operand[operand].desc);
    return (expected){operand, t_zeros(count), count};
}

static void finish(t_op *op, expected *e, const char *text, int size) {
    const bool wide = op->operand[e->operand].desc.dtype == TL_DTYPE_F32;
    t_case(op, verify, e, "%s int8 %d%s", text, size, wide ? " to f32" : "");
    free(e->y);
    t_end(op);
}

static void test_normalize(int64_t channels) {
    t_op op;
    t_begin(&op, TL_OP_NORMALIZE);
    uint8_t *x = t_give(&op, X, TL_DTYPE_U8, T_SHAPE(2, 7, 9, channels));
    float *table = t_give(&op, TABLE, TL_DTYPE_F32, T_SHAPE(channels, 256));
    give(&op, OF_TABLE, T_SHAPE(2, 7, 9, channels), 0.02f, 100);
    t_fill(table, channels * 256, -3, 4); /* beyond both ends, which are -2 and 3.1 */
    op.operand[TABLE].constant = true;
    expected e = room(&op, OF_TABLE);
    for (int64_t i = 0; i < e.count; i++) {
        x[i] = (uint8_t)t_random();
        e.y[i] = fmin(fmax((double)(rintf(table[i % channels * 256 + x[i]] / 0.02f) + 100), 0), 255);
    }
    finish(&op, &e, "normalize", (int)channels);
}

static void test_maxpool(int64_t c, int kernel, int stride, int pad) {
    t_op op;
    const int64_t h = 11, w = 9, oh = (h + 2 * pad - kernel) / stride + 1, ow = (w + 2 * pad - kernel) / stride + 1;
    t_begin(&op, TL_OP_MAXPOOL2D);
    const uint8_t *x = give(&op, 0, T_SHAPE(2, h, w, c), 0.5f, 99); /* padding is below every number, not 0 */
    give(&op, 1, T_SHAPE(2, oh, ow, c), 0.5f, 99);
    for (int i = 0; i < 2; i++) {
        op.desc.kernel[i] = kernel;
        op.desc.stride[i] = stride;
        op.desc.pad[i] = pad;
        op.desc.dilation[i] = 1;
    }
    expected e = room(&op, 1);
    for (int64_t i = 0; i < e.count; i++) {
        int64_t channel = i % c, q = i / c % ow, p = i / c / ow % oh, n = i / c / ow / oh;
        for (int64_t a = p * stride - pad; a < p * stride - pad + kernel; a++)
            for (int64_t b = q * stride - pad; b < q * stride - pad + kernel; b++)
                if (a >= 0 && a < h && b >= 0 && b < w)
                    e.y[i] = fmax(e.y[i], x[((n * h + a) * w + b) * c + channel]);
    }
    finish(&op, &e, "maxpool2d", (int)c);
}

static void test_avgpool(int64_t c, int64_t out, bool wide) {
    t_op op;
    const int64_t h = 7, w = 6;
    t_begin(&op, TL_OP_AVGPOOL2D);
    const uint8_t *x = give(&op, 0, T_SHAPE(2, h, w, c), 0.5f, 60);
    if (wide)
        t_give(&op, 1, TL_DTYPE_F32, T_SHAPE(2, out, out, c));
    else
        give(&op, 1, T_SHAPE(2, out, out, c), 0.3f, 20);
    op.desc.extent[0] = op.desc.extent[1] = (int32_t)out;
    expected e = room(&op, 1);
    const double ratio = wide ? 0.5 : 0.5 / (double)0.3f;
    for (int64_t i = 0; i < e.count; i++) {
        int64_t channel = i % c, q = i / c % out, p = i / c / out % out, n = i / c / out / out, taps = 0, sum = 0;
        for (int64_t a = p * h / out; a < ((p + 1) * h + out - 1) / out; a++)
            for (int64_t b = q * w / out; b < ((q + 1) * w + out - 1) / out; b++, taps++)
                sum += x[((n * h + a) * w + b) * c + channel];
        const float mean = fmaf((float)sum, (float)(ratio / (double)taps), (float)((wide ? 0 : 20) - 60 * ratio));
        e.y[i] = (double)(wide ? mean : rintf(fminf(fmaxf(mean, 0), 255)));
    }
    finish(&op, &e, "avgpool2d", (int)c);
}

static void cases(void) {
    static const int64_t sizes[] = {1, 3, 5, 16, 63, 64, 65, 200, 300};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        test_normalize(sizes[i]);
        test_maxpool(sizes[i], 3, 2, 1);
        test_maxpool(sizes[i], 2, 2, 0);
        for (int wide = 0; wide < 2; wide++) {
            test_avgpool(sizes[i], 1, wide);
            test_avgpool(sizes[i], 3, wide);
        }
    }
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
