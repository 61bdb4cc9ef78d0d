#include "tests/ops/conv_common.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void conv_begin(t_op *op, tl_op which, const conv_shape *s) {
    t_begin(op, which);
    for (int i = 0; i < 2; i++) {
        op->desc.kernel[i] = i ? s->kw : s->kh;
        op->desc.stride[i] = s->stride[i];
        op->desc.pad[i] = s->pad[i];
        op->desc.dilation[i] = s->dilation[i];
    }
    op->desc.groups = s->groups;
    op->products = conv_y_count(s) * s->kh * s->kw * (s->c / s->groups);
}

/* Inputs get values; integers are small enough for every sum to be exact. */
static void fill(float *x, int64_t count, bool integers) {
    if (x && integers)
        t_fill_integers(x, count, -3, 3);
    else if (x)
        t_fill(x, count, -1, 1);
}

void conv_give_x(t_op *op, int i, const conv_shape *s, bool integers) {
    fill(t_give(op, i, TL_DTYPE_F32, T_SHAPE(s->n, s->h, s->w, s->c)), conv_x_count(s), integers);
}

void conv_give_w(t_op *op, int i, const conv_shape *s, bool integers) {
    fill(t_give(op, i, TL_DTYPE_F32, T_SHAPE(s->o, s->kh, s->kw, s->c / s->groups)), conv_w_count(s), integers);
}

void conv_give_y(t_op *op, int i, const conv_shape *s, bool integers) {
    fill(t_give(op, i, TL_DTYPE_F32, T_SHAPE(s->n, conv_out(s, 0), conv_out(s, 1), s->o)), conv_y_count(s), integers);
}

void conv_give_bias(t_op *op, int i, const conv_shape *s, bool integers) {
    fill(t_give(op, i, TL_DTYPE_F32, T_SHAPE(s->o)), s->o, integers);
}

int conv_exact(void) {
    const char *cpu = getenv("TL_CPU_WINOGRAD"), *opencl = getenv("TL_OPENCL_WINOGRAD");
    return (!cpu || strcmp(cpu, "1") != 0) && (!opencl || strcmp(opencl, "1") != 0);
}

const char *conv_text(const conv_shape *s) {
    static char text[128];
    int used = snprintf(text, sizeof(text), "%dx%dx%dx%d -> %d %dx%d", s->n, s->h, s->w, s->c, s->o, s->kh, s->kw);
    if (s->stride[0] != 1 || s->stride[1] != 1)
        used += snprintf(text + used, sizeof(text) - (size_t)used, " s%d,%d", s->stride[0], s->stride[1]);
    if (s->pad[0] || s->pad[1])
        used += snprintf(text + used, sizeof(text) - (size_t)used, " p%d,%d", s->pad[0], s->pad[1]);
    if (s->dilation[0] != 1 || s->dilation[1] != 1)
        used += snprintf(text + used, sizeof(text) - (size_t)used, " d%d,%d", s->dilation[0], s->dilation[1]);
    if (s->groups != 1)
        snprintf(text + used, sizeof(text) - (size_t)used, " g%d", s->groups);
    return text;
}

double conv_tolerance(double terms, bool integers) {
    return integers ? 0 : (8 + sqrt(terms)) * T_UNIT;
}
