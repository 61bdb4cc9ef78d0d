/* conv2d_shape.h: the sizes of a convolution and of its gradients, for our own backends; see form.h. */
#ifndef TL_BACKENDS_CONV2D_SHAPE_H
#define TL_BACKENDS_CONV2D_SHAPE_H

#include "backends/form.h"

typedef struct conv2d_shape {
    int64_t images, height, width, channels;       /* of x */
    int64_t out_height, out_width, out_channels;   /* of y */
    int64_t groups, group_channels, group_outputs; /* the latter two per group */
    int64_t kernel[2], stride[2], pad[2], dilation[2];
} conv2d_shape;

/* A kernel over the whole image is a matrix: what a linear layer on a map of features is. */
static inline void conv2d_shape_flatten(conv2d_shape *s) {
    const int64_t size[2] = {s->height, s->width};
    for (int i = 0; i < 2; i++)
        if (s->kernel[i] != size[i] || s->pad[i] > 0 || (s->dilation[i] > 1 && s->kernel[i] > 1))
            return;
    if (s->groups > 1)
        return;
    s->channels = s->group_channels = s->height * s->width * s->channels;
    s->height = s->width = 1;
    for (int i = 0; i < 2; i++)
        s->kernel[i] = s->stride[i] = s->dilation[i] = 1;
}

/* Fills it in from x (or dx), w (or dw; NULL or absent: the attributes have the kernel's size) and y (or dy); false where
 * they do not fit each other. A kernel that covers the whole image comes out as a 1x1 one on one pixel of height x width x
 * channels. */
static inline bool conv2d_shape_of(const tl_op_desc *op, const tl_operand *x, const tl_operand *w, const tl_operand *y,
                                   conv2d_shape *shape) {
    const int64_t *from = x->desc.shape, *to = y->desc.shape;
    const bool weights = w && form_present(w);
    conv2d_shape s = {.images = from[0], .height = from[1], .width = from[2], .channels = from[3],
                      .out_height = to[1], .out_width = to[2], .out_channels = to[3], .groups = op->groups};
    const int64_t in[2] = {s.height, s.width}, out[2] = {s.out_height, s.out_width};
    if (x->desc.rank != 4 || y->desc.rank != 4 || s.images != to[0] || s.images < 1 || s.channels < 1 ||
        s.out_channels < 1 || s.groups < 1 || s.channels % s.groups || s.out_channels % s.groups)
        return false;
    s.group_channels = s.channels / s.groups;
    s.group_outputs = s.out_channels / s.groups;
    for (int i = 0; i < 2; i++) {
        s.kernel[i] = weights ? w->desc.shape[1 + i] : op->kernel[i];
        s.stride[i] = op->stride[i];
        s.pad[i] = op->pad[i];
        s.dilation[i] = op->dilation[i];
        if (s.kernel[i] < 1 || s.stride[i] < 1 || s.pad[i] < 0 || s.dilation[i] < 1 || in[i] < 1 || out[i] < 1)
            return false;
        int64_t room = in[i] + 2 * s.pad[i] - s.dilation[i] * (s.kernel[i] - 1) - 1;
        if (room < 0 || room / s.stride[i] + 1 != out[i])
            return false;
    }
    if (weights && (w->desc.rank != 4 || w->desc.shape[0] != s.out_channels || w->desc.shape[3] != s.group_channels))
        return false;
    conv2d_shape_flatten(&s);
    *shape = s;
    return true;
}

#endif
