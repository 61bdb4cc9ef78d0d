#include "tests/ops/conv_reference.h"

#include <math.h>

int conv_out(const conv_shape *s, int axis) {
    int in = axis ? s->w : s->h, k = axis ? s->kw : s->kh;
    return (in + 2 * s->pad[axis] - s->dilation[axis] * (k - 1) - 1) / s->stride[axis] + 1;
}

int64_t conv_x_count(const conv_shape *s) {
    return (int64_t)s->n * s->h * s->w * s->c;
}

int64_t conv_w_count(const conv_shape *s) {
    return (int64_t)s->o * s->kh * s->kw * (s->c / s->groups);
}

int64_t conv_y_count(const conv_shape *s) {
    return (int64_t)s->n * conv_out(s, 0) * conv_out(s, 1) * s->o;
}

/* Calls `body` for every product that the convolution is the sum of: y[yi] += x[xi] * w[wi]. */
#define FOR_EACH_PRODUCT(s, body)                                                                            \
    do {                                                                                                     \
        int oh = conv_out(s, 0), ow = conv_out(s, 1), cg = (s)->c / (s)->groups, og = (s)->o / (s)->groups;  \
        for (int n = 0; n < (s)->n; n++)                                                                     \
            for (int p = 0; p < oh; p++)                                                                     \
                for (int q = 0; q < ow; q++)                                                                 \
                    for (int i = 0; i < (s)->kh; i++)                                                        \
                        for (int j = 0; j < (s)->kw; j++) {                                                  \
                            int h = p * (s)->stride[0] - (s)->pad[0] + i * (s)->dilation[0];                 \
                            int v = q * (s)->stride[1] - (s)->pad[1] + j * (s)->dilation[1];                 \
                            if (h < 0 || h >= (s)->h || v < 0 || v >= (s)->w)                                \
                                continue;                                                                    \
                            for (int o = 0; o < (s)->o; o++) {                                               \
                                int64_t yi = (((int64_t)n * oh + p) * ow + q) * (s)->o + o;                  \
                                int64_t x0 = (((int64_t)n * (s)->h + h) * (s)->w + v) * (s)->c + o / og * cg; \
                                int64_t w0 = (((int64_t)o * (s)->kh + i) * (s)->kw + j) * cg;                \
                                for (int c = 0; c < cg; c++) {                                               \
                                    int64_t xi = x0 + c, wi = w0 + c;                                        \
                                    body                                                                     \
                                }                                                                            \
                            }                                                                                \
                        }                                                                                    \
    } while (0)

static void clear(double *a, double *b, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        a[i] = b[i] = 0;
}

void conv_forward(const conv_shape *s, const double *x, const double *w, double *y, double *magnitude) {
    clear(y, magnitude, conv_y_count(s));
    FOR_EACH_PRODUCT(s, {
        y[yi] += x[xi] * w[wi];
        magnitude[yi] += fabs(x[xi] * w[wi]);
    });
}

void conv_grad_input(const conv_shape *s, const double *dy, const double *w, double *dx, double *magnitude) {
    clear(dx, magnitude, conv_x_count(s));
    FOR_EACH_PRODUCT(s, {
        dx[xi] += dy[yi] * w[wi];
        magnitude[xi] += fabs(dy[yi] * w[wi]);
    });
}

void conv_grad_weight(const conv_shape *s, const double *x, const double *dy, double *dw, double *magnitude) {
    clear(dw, magnitude, conv_w_count(s));
    FOR_EACH_PRODUCT(s, {
        dw[wi] += x[xi] * dy[yi];
        magnitude[wi] += fabs(x[xi] * dy[yi]);
    });
}
