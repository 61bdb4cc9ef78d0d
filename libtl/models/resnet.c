/* He et al. 2015, "Deep Residual Learning for Image Recognition"; Xie et al. 2016 (ResNeXt); Zagoruyko and
 * Komodakis 2016 (Wide ResNet). As torchvision has them: the stride is in the 3x3 convolution of a bottleneck. */
#include <stdio.h>

#include "models/families.h"

typedef struct block {
    tl__draw *draw;
    char name[32]; /* "layer1.0" */
    int inner, out; /* channels */
    int stride, groups;
    int dilation; /* of its 3x3 convolution */
} block;

static const char *layer(const block *b, const char *suffix, char text[48]) {
    snprintf(text, 48, "%s.%s", b->name, suffix);
    return text;
}

/* Convolution and batch-norm number i of the block, and a ReLU unless it is the last. */
static int draw_unit(const block *b, int x, int i, int out, int kernel, int stride, int groups, bool relu) {
    char text[48], suffix[16];
    const int dilation = kernel > 1 ? b->dilation : 1;
    snprintf(suffix, sizeof suffix, "conv%d", i);
    x = tl__draw_conv2d(b->draw, x, layer(b, suffix, text), out, kernel, stride, kernel / 2 * dilation, dilation, groups, false);
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

/* A stage whose stride would go beyond `stride` in all dilates in its place: its first block still as the stage before. */
tl__trunk tl__draw_resnet_trunk(tl__draw *draw, int x, int stride) {
    tl__graph *graph = draw->graph;
    const tl_model *model = draw->model;
    const tl__arch *arch = model->arch;
    const int *layers = model->options.layers ? model->options.layers : arch->layers;
    tl__trunk trunk = {.count = 4};

    int channels = tl__draw_width(draw, 64), reached = 4, dilation = 1;
    x = tl__draw_conv2d(draw, x, "conv1", channels, 7, 2, 3, 1, 1, false);
    x = tl__draw_batchnorm(draw, x, "bn1");
    x = tl__relu(graph, x, "relu");
    x = tl__maxpool2d(graph, x, "maxpool", 3, 2, 1);

    for (int stage = 0; stage < 4; stage++) {
        int planes = 64 << stage, step = stage > 0 ? 2 : 1, before = dilation;
        block b = {.draw = draw, .groups = arch->groups};
        b.inner = tl__draw_width(draw, planes * arch->width_per_group / 64) * arch->groups;
        b.out = tl__draw_width(draw, arch->bottleneck ? planes * 4 : planes);
        if (reached * step > stride) {
            dilation *= step;
            step = 1;
        }
        reached *= step;
        for (int i = 0; i < layers[stage]; i++) {
            snprintf(b.name, sizeof b.name, "layer%d.%d", stage + 1, i);
            b.stride = i == 0 ? step : 1;
            b.dilation = i == 0 ? before : dilation;
            x = draw_block(&b, x, i == 0 && (stage > 0 || channels != b.out));
            channels = b.out;
        }
        trunk.maps[stage] = x;
    }
    return trunk;
}

int tl__draw_resnet(tl__draw *draw, int x) {
    tl__trunk trunk = tl__draw_resnet_trunk(draw, x, 32);
    x = tl__avgpool2d(draw->graph, trunk.maps[3], "avgpool", 1, 1);
    return tl__draw_linear(draw, x, "fc", draw->model->options.classes);
}
