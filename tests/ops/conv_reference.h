/* conv_reference.h: the convolution and its gradients in f64, as slow and obvious as they can be.
 *
 * Each also gives `magnitude`, the sum of the absolute values of what was added up for an element, for tolerances. */
#ifndef TL_TEST_OPS_CONV_REFERENCE_H
#define TL_TEST_OPS_CONV_REFERENCE_H

#include <stdint.h>

/* x [n,h,w,c], weights [o,kh,kw,c/groups], y [n,oh,ow,o]. */
typedef struct conv_shape {
    int n, h, w, c, o, kh, kw, stride[2], pad[2], dilation[2], groups;
} conv_shape;

int conv_out(const conv_shape *s, int axis);  /* OH, OW */
int64_t conv_x_count(const conv_shape *s);
int64_t conv_w_count(const conv_shape *s);
int64_t conv_y_count(const conv_shape *s);

/* Without bias, residual or activation. */
void conv_forward(const conv_shape *s, const double *x, const double *w, double *y, double *magnitude);
void conv_grad_input(const conv_shape *s, const double *dy, const double *w, double *dx, double *magnitude);
void conv_grad_weight(const conv_shape *s, const double *x, const double *dy, double *dw, double *magnitude);

#endif
