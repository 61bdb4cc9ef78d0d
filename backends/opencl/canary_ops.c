/* canary_ops.c: what is looked at of each operation: small, but with whole tiles and the rests of tiles. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backends/half.h"
#include "backends/opencl/canary.h"

#define UNIT (1.0 / 16777216)
#define SHAPE(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__}

static float random_float(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

static float *give(opencl_check *c, int i, int rank, const int64_t *shape) {
    float *x = tl__opencl_check_give(c, i, TL_DTYPE_F32, rank, shape);
    uint32_t state = 77u + (uint32_t)i;
    for (int64_t e = 0; x && e < form_elements(&c->operands[i]); e++)
        x[e] = random_float(&state);
    return x;
}

static void expect(opencl_check *c, int i) {
    tl__opencl_check_expect(c, i);
}

/* ---- what is stored as halves ---- */

/* Values that a half holds, while they are floats still. */
static void round_halves(float *x, int64_t count) {
    for (int64_t i = 0; x && i < count; i++)
        x[i] = half_value(half_of(x[i]));
}

/* Gives an operand its type in memory, and what is expected of it one more rounding. */
static void store(opencl_check *c, int i, bool rounded) {
    const int64_t count = form_elements(&c->operands[i]);
    c->operands[i].desc.dtype = TL_DTYPE_F16;
    if (i < (int)c->inputs) {
        const float *from = c->values[i];
        uint16_t *to = tl__opencl_check_array(c, (size_t)count * sizeof(*to));
        for (int64_t k = 0; to && k < count; k++)
            to[k] = half_of(from[k]);
        c->values[i] = to;
    }
    for (int64_t k = 0; rounded && k < count; k++)
        c->tolerance[i][k] += (fabs(c->want[i][k]) + c->tolerance[i][k]) / 2048 + 0x1p-25;
}

/* ---- convolutions: y, dx and dw are sums over the same products ---- */

typedef struct geometry {
    int kernel, stride, pad, groups, channels, outputs, size;
    bool constant; /* the weights */
    const char *implementation; /* see opencl_check */
} geometry;

static const geometry geometries[] = {
    {3, 1, 1, 1, 24, 40, 10, false, NULL}, {3, 2, 1, 1, 24, 40, 11, true, NULL}, {1, 1, 0, 1, 64, 48, 8, true, NULL},
    {1, 2, 0, 1, 40, 9, 9, false, NULL},   {7, 2, 3, 1, 3, 16, 17, true, NULL},  {3, 1, 1, 4, 16, 16, 9, false, NULL},
    {3, 2, 1, 4, 16, 16, 9, true, NULL},   {3, 1, 1, 1, 40, 48, 9, true, "winograd"},
};
#define IMAGES 2

static int out_size(const geometry *g) {
    return (g->size + 2 * g->pad - g->kernel) / g->stride + 1;
}

/* For each product of a convolution adds a[ai] * b[bi] to sum[si], where x, w and y are 0, 1 and 2 and `to` is the one
 * that is summed; absolute values go to `all`. */
static void convolve(const geometry *g, int to, const float *x, const float *w, const float *y, double *sum, double *all) {
    const int out = out_size(g), depth = g->channels / g->groups, width = g->outputs / g->groups;
    for (int n = 0; n < IMAGES; n++)
        for (int oh = 0; oh < out; oh++)
            for (int ow = 0; ow < out; ow++)
                for (int tap = 0; tap < g->kernel * g->kernel; tap++) {
                    int i = tap / g->kernel, j = tap % g->kernel;
                    int h = oh * g->stride - g->pad + i, v = ow * g->stride - g->pad + j;
                    if (h < 0 || h >= g->size || v < 0 || v >= g->size)
                        continue;
                    for (int o = 0; o < g->outputs; o++)
                        for (int c = 0; c < depth; c++) {
                            int xi = ((n * g->size + h) * g->size + v) * g->channels + o / width * depth + c;
                            int wi = (o * g->kernel * g->kernel + tap) * depth + c;
                            int yi = ((n * out + oh) * out + ow) * g->outputs + o;
                            double product = to == 0   ? (double)w[wi] * y[yi]
                                             : to == 1 ? (double)x[xi] * y[yi]
                                                       : (double)x[xi] * w[wi];
                            int si = to == 0 ? xi : to == 1 ? wi : yi;
                            sum[si] += product;
                            all[si] += fabs(product);
                        }
                }
}

/* What summing that many products in floats, in any order, may differ by. Winograd's algorithm is within it, too: its
 * errors are some 30 times as large, but add up like those of a tenth of the products, and with the root of their number
 * (tests/ops/winograd.c). */
static void tolerate(double *tolerance, int64_t count, int64_t products) {
    for (int64_t i = 0; i < count; i++)
        tolerance[i] = tolerance[i] * (double)(products + 4) * UNIT + 1e-30;
}

/* The form-th of those that belong to the class; NULL: there are no more. What is named is a way of conv2d on floats. */
static const geometry *geometry_of(uint32_t op, int which, int form) {
    const bool named = op == TL_OP_CONV2D && !(which & CANARY_STORED);
    for (size_t i = 0; i < sizeof(geometries) / sizeof(geometries[0]); i++) {
        const geometry *g = &geometries[i];
        if ((g->groups > 1 ? CANARY_GROUPS : 0) + (g->constant ? CANARY_CONSTANT : 0) == (which & ~CANARY_STORED) &&
            (named || !g->implementation) && form-- == 0)
            return g;
    }
    return NULL;
}

static bool conv(opencl_check *c, uint32_t op, int which, int form) {
    const bool stored = which & CANARY_STORED;
    const geometry *g = geometry_of(op, which, form);
    if (!g || (stored && op != TL_OP_CONV2D))
        return false;
    const int out = out_size(g), depth = g->channels / g->groups;
    const int64_t x[] = {IMAGES, g->size, g->size, g->channels}, w[] = {g->outputs, g->kernel, g->kernel, depth};
    const int64_t y[] = {IMAGES, out, out, g->outputs};
    const int taps = g->kernel * g->kernel;
    for (int i = 0; i < 2; i++) {
        c->desc.kernel[i] = g->kernel;
        c->desc.stride[i] = g->stride;
        c->desc.pad[i] = g->pad;
        c->desc.dilation[i] = 1;
        c->desc.extent[i] = op == TL_OP_CONV2D_GRAD_INPUT ? g->size : 0;
    }
    c->desc.groups = g->groups;
    c->implementation = g->implementation;
    c->outputs = op == TL_OP_CONV2D_GRAD_WEIGHT ? 2 : 1;
    c->inputs = op == TL_OP_CONV2D_GRAD_WEIGHT ? 2 : 4;
    float *a, *b;
    int result = (int)c->inputs;
    if (op == TL_OP_CONV2D) {
        a = give(c, 0, 4, x);
        b = give(c, 1, 4, w);
        give(c, result, 4, y);
    } else if (op == TL_OP_CONV2D_GRAD_INPUT) {
        a = give(c, 0, 4, y);
        b = give(c, 1, 4, w);
        give(c, result, 4, x);
    } else {
        a = give(c, 0, 4, x);
        b = give(c, 1, 4, y);
        give(c, result, 4, w);
    }
    c->constant[1] = g->constant && op != TL_OP_CONV2D_GRAD_WEIGHT;
    expect(c, result);
    if (c->starved)
        return true;
    if (stored) {
        round_halves(a, form_elements(&c->operands[0]));
        round_halves(b, form_elements(&c->operands[1]));
    }
    double *want = c->want[result], *tolerance = c->tolerance[result];
    int64_t count = form_elements(&c->operands[result]), products = (int64_t)depth * taps;
    if (op == TL_OP_CONV2D) {
        convolve(g, 2, a, b, NULL, want, tolerance);
    } else if (op == TL_OP_CONV2D_GRAD_INPUT) {
        convolve(g, 0, NULL, b, a, want, tolerance);
        products = (int64_t)g->outputs / g->groups * taps;
    } else {
        convolve(g, 1, a, NULL, b, want, tolerance);
        products = (int64_t)IMAGES * out * out;
    }
    tolerate(tolerance, count, products);
    if (stored) {
        store(c, 0, false);
        store(c, result, true);
    }
    snprintf(c->what, sizeof(c->what), "%s%s, %dx%d, stride %d, %d to %d channels",
             op == TL_OP_CONV2D              ? "conv2d"
             : op == TL_OP_CONV2D_GRAD_INPUT ? "conv2d_grad_input"
                                             : "conv2d_grad_weight",
             stored ? " stored in fp16" : "",
             g->kernel, g->kernel, g->stride, g->channels, g->outputs);
    return true;
}

/* ---- batch-norm with the batch's statistics: reductions ---- */

#define ROWS 300
#define COLUMNS 37

static bool batchnorm(opencl_check *c) {
    enum { X, SCALE, SHIFT, MEAN, VAR, RESIDUAL, Y, SAVED_MEAN, SAVED_INVSTD };
    c->inputs = 6;
    c->outputs = 3;
    c->desc.statistics = TL_STATISTICS_BATCH;
    c->desc.eps = 1e-5f;
    c->desc.momentum = 0.1f;
    float *x = give(c, X, SHAPE(2, ROWS / 20, 10, COLUMNS));
    const float *scale = give(c, SCALE, SHAPE(COLUMNS)), *shift = give(c, SHIFT, SHAPE(COLUMNS));
    give(c, MEAN, SHAPE(COLUMNS));
    give(c, VAR, SHAPE(COLUMNS));
    give(c, Y, SHAPE(2, ROWS / 20, 10, COLUMNS));
    give(c, SAVED_MEAN, SHAPE(COLUMNS));
    give(c, SAVED_INVSTD, SHAPE(COLUMNS));
    for (int i = Y; i <= SAVED_INVSTD; i++)
        expect(c, i);
    snprintf(c->what, sizeof(c->what), "batchnorm of %d values in each of %d channels", ROWS, COLUMNS);
    if (c->starved)
        return true;
    for (int k = 0; k < COLUMNS; k++) {
        double sum = 0, squares = 0;
        for (int r = 0; r < ROWS; r++)
            sum += x[r * COLUMNS + k];
        for (int r = 0; r < ROWS; r++)
            squares += (x[r * COLUMNS + k] - sum / ROWS) * (x[r * COLUMNS + k] - sum / ROWS);
        double mean = sum / ROWS, invstd = 1 / sqrt(squares / ROWS + c->desc.eps);
        c->want[SAVED_MEAN][k] = mean;
        c->tolerance[SAVED_MEAN][k] = ROWS * UNIT;
        c->want[SAVED_INVSTD][k] = invstd;
        c->tolerance[SAVED_INVSTD][k] = invstd * 2 * ROWS * UNIT;
        for (int r = 0; r < ROWS; r++) {
            c->want[Y][r * COLUMNS + k] = (x[r * COLUMNS + k] - mean) * invstd * scale[k] + shift[k];
            c->tolerance[Y][r * COLUMNS + k] = 2 * invstd * 4 * ROWS * UNIT;
        }
    }
    return true;
}

/* ---- what is not a number stays that ---- */

static bool relu(opencl_check *c, bool stored) {
    c->inputs = c->outputs = 1;
    float *x = give(c, 0, SHAPE(1, 3, 7, 19));
    give(c, 1, SHAPE(1, 3, 7, 19));
    expect(c, 1);
    snprintf(c->what, sizeof(c->what), "relu%s", stored ? " stored in fp16" : "");
    if (c->starved)
        return true;
    if (stored)
        round_halves(x, 3 * 7 * 19);
    x[5] = x[3 * 7 * 19 - 1] = NAN;
    x[6] = INFINITY;
    for (int i = 0; i < 3 * 7 * 19; i++)
        c->want[1][i] = x[i] < 0 ? 0 : x[i];
    c->tolerance[1][6] = 1;
    c->want[1][6] = x[6] = stored ? 65504 : 1e30f;
    c->want[1][7] = x[7] = stored ? 0x1p-24f : 1; /* the smallest half */
    if (stored) {
        store(c, 0, false);
        store(c, 1, false);
    }
    return true;
}

/* ---- a loss: exponentials, logarithms and a sum over everything ---- */

static bool cross_entropy(opencl_check *c) {
    enum { LOGITS, TARGET, WEIGHT, LOSS, COUNT = 33, CLASSES = 11 };
    c->inputs = 3;
    c->outputs = 1;
    c->desc.ignore_index = -100;
    float *logits = give(c, LOGITS, SHAPE(COUNT, 1, 1, CLASSES));
    int32_t *target = tl__opencl_check_give(c, TARGET, TL_DTYPE_I32, SHAPE(COUNT, 1, 1));
    give(c, LOSS, SHAPE(4));
    expect(c, LOSS);
    snprintf(c->what, sizeof(c->what), "cross_entropy of %d classes", CLASSES);
    if (c->starved)
        return true;
    for (int i = 0; i < COUNT; i++) {
        double sum = 0;
        int first = 0;
        target[i] = i * 7 % CLASSES;
        for (int k = 0; k < CLASSES; k++) {
            logits[i * CLASSES + k] *= 8;
            first = logits[i * CLASSES + k] > logits[i * CLASSES + first] ? k : first;
        }
        for (int k = 0; k < CLASSES; k++)
            sum += exp((double)logits[i * CLASSES + k] - logits[i * CLASSES + first]);
        c->want[LOSS][0] += log(sum) - ((double)logits[i * CLASSES + target[i]] - logits[i * CLASSES + first]);
        c->want[LOSS][1]++;
        c->want[LOSS][2] += first == target[i];
        c->want[LOSS][3]++;
    }
    c->tolerance[LOSS][0] = c->want[LOSS][0] * (COUNT + CLASSES + 16) * UNIT;
    return true;
}

/* ---- Adam: square roots and divisions ---- */

static bool adam(opencl_check *c) {
    enum { PARAM, GRAD, M, V, SEGMENTS, TABLE, COUNT = 53 };
    static const float row[] = {1e-2f, 0.0316227766f, 0.1f, 0.001f, 1e-8f, 0, 1e-3f, 0};
    c->inputs = 6;
    c->outputs = 0;
    for (int i = PARAM; i <= V; i++)
        give(c, i, SHAPE(COUNT));
    int64_t *segments = tl__opencl_check_give(c, SEGMENTS, TL_DTYPE_I64, SHAPE(2));
    float *table = give(c, TABLE, SHAPE(1, 8));
    expect(c, PARAM);
    snprintf(c->what, sizeof(c->what), "adam");
    if (c->starved)
        return true;
    float *param = c->values[PARAM], *grad = c->values[GRAD], *m = c->values[M], *v = c->values[V];
    segments[1] = COUNT;
    memcpy(table, row, sizeof(row));
    for (int i = 0; i < COUNT; i++) {
        v[i] = fabsf(v[i]) + 0.01f;
        double g = grad[i], m1 = m[i] + row[2] * (g - m[i]), v1 = v[i] + row[3] * (g * g - v[i]);
        double step = row[0] * m1 / (sqrt(v1) / row[1] + row[4]);
        c->want[PARAM][i] = param[i] - step;
        c->tolerance[PARAM][i] = (fabs(param[i]) + 16 * (fabs(step) + row[0])) * UNIT;
    }
    return true;
}

bool tl__opencl_canary_form(opencl_check *check, uint32_t op, int which, int form) {
    switch (op) {
    case TL_OP_CONV2D:
    case TL_OP_CONV2D_GRAD_INPUT:
    case TL_OP_CONV2D_GRAD_WEIGHT:
        return conv(check, op, which, form);
    case TL_OP_BATCHNORM:
        return form == 0 && which == 0 && batchnorm(check);
    case TL_OP_RELU:
        return form == 0 && relu(check, which & CANARY_STORED);
    case TL_OP_CROSS_ENTROPY:
        return form == 0 && cross_entropy(check);
    case TL_OP_ADAM:
        return form == 0 && adam(check);
    default:
        return false;
    }
}
