/* He et al. 2015, "Deep Residual Learning for Image Recognition"; Xie et al. 2016 (ResNeXt); Zagoruyko and
 * Komodakis 2016 (Wide ResNet). As torchvision has them: the stride is in the 3x3 convolution of a bottleneck. */
#include <stdio.h>

#include "models/families.h"

typedef struct block {
    tl__draw *draw;
    char name[32]; /* "layer1.0" */
    int inner, out; /* channels */
    int stride, groups;
} block;

static const char *layer(const block *b, const char *suffix, char text[48]) {
    snprintf(text, 48, "%s.%s", b->name, suffix);
    return text;
}

/* Convolution and batch-norm number i of the block, and a ReLU unless it is the last. */
static int draw_unit(const block *b, int x, int i, int out, int kernel, int stride, int groups, bool relu) {
    char text[48], suffix[16];
    snprintf(suffix, sizeof suffix, "conv%d", i);
    x = tl__draw_conv2d(b->draw, x, layer(b, suffix, text), out, kernel, stride, kernel / 2, 1, groups, false);
    snprintf(suffix, sizeof suffix, "bn%d", i);
    x = tl__draw_batchnorm(b->draw, x, layer(b, suffix, text));
    snprintf(suffix, sizeof suffix, "relu%d", i);
    return relu ? tl__relu(b->draw->graph, x, layer(b, suffix, text)) : x;
}

static int draw_shortcut(const block *b, int x) {
    char text[48];
    x = tl__draw_conv2d(b->draw, x, layer(b, "downsample.0", text), b->out, 1, b->stride, 0, 1, 1, false);
    return tl__draw_batchnorm(b->draw, x, layer(b, "downsample.1", text));
}

static int draw_residual(const block *b, int x) {
    if (!b->draw->model->arch->bottleneck) {
        x = draw_unit(b, x, 1, b->out, 3, b->stride, 1, true);
        return draw_unit(b, x, 2, b->out, 3, 1, 1, false);
    }
    x = draw_unit(b, x, 1, b->inner, 1, 1, 1, true);
    x = draw_unit(b, x, 2, b->inner, 3, b->stride, b->groups, true);
    return draw_unit(b, x, 3, b->out, 1, 1, 1, false);
}

static int draw_block(const block *b, int x, bool downsample) {
    char text[48];
    int shortcut = x, y;
    /* The parameters are declared in torchvision's order, the shortcut's last. Drawn, it comes first: then the
     * larger x is let go of sooner, and every sum is one of the residual branch's end and something that is there. */
    if (downsample && !b->draw->declare)
        shortcut = draw_shortcut(b, x);
    y = draw_residual(b, x);
    if (downsample && b->draw->declare)
        shortcut = draw_shortcut(b, x);
    y = tl__add(b->draw->graph, y, shortcut, layer(b, "add", text));
    return tl__relu(b->draw->graph, y, layer(b, "relu", text));
}

int tl__draw_resnet(tl__draw *draw, int x) {
    tl__graph *graph = draw->graph;
    const tl_model *model = draw->model;
    const tl__arch *arch = model->arch;
    const int *layers = model->options.layers ? model->options.layers : arch->layers;

    int channels = tl__draw_width(draw, 64);
    x = tl__draw_conv2d(draw, x, "conv1", channels, 7, 2, 3, 1, 1, false);
    x = tl__draw_batchnorm(draw, x, "bn1");
    x = tl__relu(graph, x, "relu");
    x = tl__maxpool2d(graph, x, "maxpool", 3, 2, 1);

    for (int stage = 0; stage < 4; stage++) {
        int planes = 64 << stage;
        block b = {.draw = draw, .groups = arch->groups};
        b.inner = tl__draw_width(draw, planes * arch->width_per_group / 64) * arch->groups;
        b.out = tl__draw_width(draw, arch->bottleneck ? planes * 4 : planes);
        for (int i = 0; i < layers[stage]; i++) {
            snprintf(b.name, sizeof b.name, "layer%d.%d", stage + 1, i);
            b.stride = stage > 0 && i == 0 ? 2 : 1;
            x = draw_block(&b, x, i == 0 && (b.stride != 1 || channels != b.out));
            channels = b.out;
        }
    }
    x = tl__avgpool2d(graph, x, "avgpool", 1, 1);
    return tl__draw_linear(draw, x, "fc", model->options.classes);
}
