/* conv2d_int8.c: the convolution of values stored in 8 bits. Sums are of integers, and what follows them is said to the
 * last rounding (quantised.h), so that every instruction set must give the very bits of a slow reference: no tolerance.
 *
 * The reference adds up (u8 - zero) * s8, in f64, which holds these integers exactly; the backend adds up u8 * s8 and
 * lets the offset of each channel make up for it, so that the sum which is rounded to f32 is put together from the two. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ops/conv_cases.h"
#include "tests/ops/conv_common.h"

enum { X, W, BIAS, RESIDUAL, Y };
enum { WITH_BIAS = 1, WITH_RESIDUAL = 2, IN_PLACE = 4, RELU = 8, WIDE = 16, ZEROS = 32, EXTREME = 64 };

typedef struct expected {
    float *y;
    int64_t count;
} expected;

static bool verify(const t_op *op, void *user, char *why) {
    const expected *e = user;
    const bool wide = op->operand[Y].desc.dtype == TL_DTYPE_F32;
    float *got = t_allocate((size_t)e->count * sizeof(*got));
    double *want = t_f64(e->y, e->count), *none = t_zeros(e->count);
    for (int64_t i = 0; i < e->count; i++)
        got[i] = wide ? ((const float *)op->operand[Y].result)[i] : ((const uint8_t *)op->operand[Y].result)[i];
    bool ok = t_close(why, "y", got, want, none, e->count);
    free(got);
    free(want);
    free(none);
    return ok;
}

/* Weights as integers, with the step of each output channel and the sum of its integers. */
static double *rounded_weights(const float *w, const conv_shape *s, float *steps, double *sums) {
    const int64_t depth = conv_w_count(s) / s->o;
    double *q = t_zeros(conv_w_count(s));
    for (int64_t o = 0; o < s->o; o++) {
        float largest = 0;
        for (int64_t k = 0; k < depth; k++)
            largest = fmaxf(largest, fabsf(w[o * depth + k]));
        steps[o] = largest > 0 ? largest / 127 : 1;
        for (int64_t k = 0; k < depth; k++)
            sums[o] += q[o * depth + k] = (double)rintf(w[o * depth + k] / steps[o]);
    }
    return q;
}

static float finished(const t_op *op, double sum, int64_t i, float step, double weights) {
    const tl_op_desc *d = &op->desc;
    const bool wide = op->operand[Y].desc.dtype == TL_DTYPE_F32;
    const float *bias = op->operand[BIAS].data;
    const uint8_t *residual = op->operand[RESIDUAL].data;
    const double y_step = wide ? 1 : (double)d->step[Y];
    const float factor = (float)((double)step * (double)d->step[X] / y_step);
    const float more = residual ? (float)((double)d->step[RESIDUAL] / y_step) : 0;
    double offset = wide ? 0 : d->zero[Y];
    if (residual)
        offset -= d->zero[RESIDUAL] * (double)more;
    const double b = bias ? (double)bias[i % t_count(&op->operand[BIAS].desc)] / y_step : 0;
    offset = b + offset - d->zero[X] * weights * (double)factor;
    float x = fmaf((float)(sum + d->zero[X] * weights), factor, (float)offset);
    if (residual)
        x = fmaf((float)residual[i], more, x);
    if (wide)
        return d->relu && x < 0 ? 0 : x;
    return rintf(fminf(fmaxf(x, d->relu ? (float)d->zero[Y] : 0), 255));
}

static expected compute(const t_op *op, const conv_shape *s) {
    expected e = {.y = t_allocate((size_t)conv_y_count(s) * sizeof(float)), .count = conv_y_count(s)};
    float *steps = t_allocate((size_t)s->o * sizeof(*steps));
    double *sums = t_zeros(s->o), *x = t_zeros(conv_x_count(s)), *y = t_zeros(e.count), *magnitude = t_zeros(e.count);
    double *w = rounded_weights(op->operand[W].data, s, steps, sums);
    for (int64_t i = 0; i < conv_x_count(s); i++)
        x[i] = ((const uint8_t *)op->operand[X].data)[i] - op->desc.zero[X];
    conv_forward(s, x, w, y, magnitude);
    for (int64_t i = 0; i < e.count; i++)
        e.y[i] = finished(op, y[i], i, steps[i % s->o], sums[i % s->o]);
    free(steps);
    free(sums);
    free(x);
    free(y);
    free(magnitude);
    free(w);
    return e;
}

static void give_bytes(t_op *op, int i, const int64_t shape[4], float step, int zero, bool extreme) {
    uint8_t *x = t_give(op, i, TL_DTYPE_U8, 4, shape);
    int64_t count = shape[0] * shape[1] * shape[2] * shape[3];
    for (int64_t k = 0; k < count && x; k++)
        x[k] = extreme ? 255 : (uint8_t)t_random();
    op->desc.step[i] = step;
    op->desc.zero[i] = zero;
}

static void give_all(t_op *op, const conv_shape *s, int form) {
    const int64_t x[4] = {s->n, s->h, s->w, s->c}, y[4] = {s->n, conv_out(s, 0), conv_out(s, 1), s->o};
    const bool zeros = form & ZEROS;
    conv_begin(op, TL_OP_CONV2D, s);
    give_bytes(op, X, x, 0.02f, zeros ? 117 : 0, form & EXTREME);
    conv_give_w(op, W, s, false);
    float *w = op->operand[W].data;
    for (int64_t k = 0; k < conv_w_count(s) && form & EXTREME; k++)
        w[k] = k * s->o / conv_w_count(s) % 2 ? -1 : 1;
    memset(w, 0, (size_t)(conv_w_count(s) / s->o) * sizeof(*w)); /* a channel without weights */
    if (form & WITH_BIAS)
        conv_give_bias(op, BIAS, s, false);
    if (form & WITH_RESIDUAL)
        give_bytes(op, RESIDUAL, y, 0.03f, zeros ? 101 : 0, false);
    if (form & WIDE)
        conv_give_y(op, Y, s, false);
    else /* about as wide as the sums, so that some results are beyond both ends */
        give_bytes(op, Y, y, 0.02f * sqrtf((float)(s->kh * s->kw * s->c)), zeros ? 90 : 0, false);
    op->desc.relu = !!(form & RELU);
    op->shares[0] = form & IN_PLACE ? 1 + RESIDUAL : 0;
    op->operand[W].constant = op->operand[BIAS].constant = true;
}

static void test(const conv_shape *s, int form) {
    t_op op;
    give_all(&op, s, form);
    expected e = compute(&op, s);
    t_case(&op, verify, &e, "conv2d int8 %s%s%s%s%s%s%s%s", conv_text(s), form & WITH_BIAS ? " bias" : "",
           form & WITH_RESIDUAL ? " residual" : "", form & IN_PLACE ? " in place" : "", form & RELU ? " relu" : "",
           form & WIDE ? " to f32" : "", form & ZEROS ? " zeros" : "", form & EXTREME ? " extreme" : "");
    free(e.y);
    t_end(&op);
}

/* Prepared, and refused in these words. */
static void refused(t_device *device, const conv_shape *s, void change(t_op *op), tl_status status, const char *words) {
    t_op op;
    give_all(&op, s, WITH_BIAS | RELU);
    change(&op);
    const tl_status got = t_prepare_only(device, &op);
    t_ok(got == status && strstr(t_failure(), words), "conv2d int8 refuses: %s (%d: %s)", words, (int)got, t_failure());
    t_end(&op);
}

static void unchanged(t_op *op) {
    (void)op;
}

static void changing(t_op *op) {
    op->operand[W].constant = false;
}

static void stepless(t_op *op) {
    op->desc.step[X] = 0;
}

static void beyond(t_op *op) {
    op->desc.zero[Y] = 256;
}

static void infinite(t_op *op) {
    ((float *)op->operand[W].data)[1] = INFINITY;
}

static void not_a_bias(t_op *op) {
    ((float *)op->operand[BIAS].data)[0] = NAN;
}

static void refusals(void) {
    static const conv_shape s = K3(1, 5, 5, 8, 8, 1), groups = {1, 6, 7, 4, 6, 3, 3, {1, 1}, {1, 1}, {1, 1}, 2},
                            deep = {1, 8, 8, 1025, 2, 8, 8, {1, 1}, {0, 0}, {1, 1}, 1};
    extern const tl_backend *tl__backend_entry_cpu(uint32_t abi, const tl_host *host);
    t_device *device = t_device_open(tl__backend_entry_cpu(TL_BACKEND_ABI, t_host()), 0, NULL, 1);
    t_ok(device != NULL, "a device opens");
    refused(device, &groups, unchanged, TL_UNSUPPORTED, "int8 has no convolutions in groups");
    refused(device, &s, changing, TL_UNSUPPORTED, "int8 is for weights that are constant");
    refused(device, &deep, unchanged, TL_UNSUPPORTED, "no sums of more than 65536 products");
    refused(device, &s, stepless, TL_UNSUPPORTED, "a stored value without a step");
    refused(device, &s, beyond, TL_UNSUPPORTED, "a stored value without a step");
    refused(device, &s, infinite, TL_ERROR_DATA, "a weight is not finite");
    refused(device, &s, not_a_bias, TL_ERROR_DATA, "a bias is not finite");
    t_ok(t_device_close(device) == 0, "nothing is left behind");
}

static void cases(void) {
    static const int forms[] = {WITH_BIAS | RELU, ZEROS | WITH_BIAS | WITH_RESIDUAL | IN_PLACE | RELU,
                                ZEROS | WITH_BIAS | WIDE};
    static const int more[] = {0, EXTREME, EXTREME | WIDE, ZEROS, WITH_RESIDUAL | RELU,
                               ZEROS | WITH_RESIDUAL | WIDE | RELU};
    static const conv_shape some[] = {K1(2, 5, 5, 64, 66, 1), K3(1, 9, 9, 32, 32, 1), K3(3, 14, 14, 64, 96, 1),
                                      K1(1, 30, 30, 128, 64, 1), K1(1, 6, 6, 2048, 600, 1), K3(2, 9, 7, 160, 96, 1),
                                      {2, 11, 10, 64, 64, 3, 3, {2, 2}, {1, 1}, {1, 1}, 1},
                                      {1, 12, 11, 64, 32, 3, 3, {1, 1}, {3, 2}, {3, 2}, 1}};
    for (int i = 0; i < CONV_CASES; i++)
        for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]) && conv_cases[i].groups == 1; f++)
            test(&conv_cases[i], forms[f]);
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++)
            test(&some[i], forms[f]);
        for (size_t f = 0; f < sizeof(more) / sizeof(more[0]); f++)
            test(&some[i], more[f]);
    }
    refusals();
}

int main(int argc, char **argv) {
    t_every_isa = true;
    return t_main(argc, argv, cases);
}
