/* Heads that label pixels: Long et al. 2015, "Fully Convolutional Networks for Semantic Segmentation"; Chen et al. 2017,
 * "Rethinking Atrous Convolution for Semantic Image Segmentation". On ResNets layer by layer as torchvision has them. */
#include <stdio.h>

#include "models/families.h"
#include "models/init.h"

static int64_t side(const tl__draw *draw, int value, int dimension) {
    return value < 0 ? 0 : draw->graph->values[value].desc.shape[dimension];
}

static int resize_like(tl__draw *draw, int x, int other, const char *name) {
    if (x < 0 || other < 0)
        return -1;
    return tl__upsample2d(draw->graph, x, name, (int)side(draw, other, 1), (int)side(draw, other, 2));
}

static int score(tl__draw *draw, int x, const char *name) {
    return tl__draw_conv2d(draw, x, name, draw->model->options.classes, 1, 1, 0, 1, 1, true);
}

/* The heads have dropout of their own, which a model without any goes without. */
static double dropout(const tl__draw *draw, double p) {
    return draw->model->options.dropout > 0 ? p : 0;
}

/* torchvision's FCNHead: NAME.0 convolution, .1 batch-norm, .3 dropout, .4 scores. */
static int draw_fcn(tl__draw *draw, int x, const char *name) {
    char conv[48], norm[48], drop[48], scores[48];
    int inner = (int)side(draw, x, 3) / 4;
    snprintf(conv, sizeof conv, "%s.0", name);
    snprintf(norm, sizeof norm, "%s.1", name);
    snprintf(drop, sizeof drop, "%s.3", name);
    snprintf(scores, sizeof scores, "%s.4", name);
    x = tl__draw_unit(draw, x, conv, norm, inner > 1 ? inner : 1, 3, 1);
    x = tl__draw_dropout_of(draw, x, drop, dropout(draw, 0.1));
    return score(draw, x, scores);
}

/* torchvision's DeepLabHead. The rates of an output stride of 8 are 12, 24, 36; of a coarser map fewer pixels apart. */
static int draw_deeplabv3(tl__draw *draw, int x) {
    const int width = tl__draw_width(draw, 256), stride = draw->model->options.output_stride;
    int branches[5];
    branches[0] = tl__draw_unit(draw, x, "classifier.0.convs.0.0", "classifier.0.convs.0.1", width, 1, 1);
    for (int i = 1; i <= 3; i++) {
        char conv[48], norm[48];
        snprintf(conv, sizeof conv, "classifier.0.convs.%d.0", i);
        snprintf(norm, sizeof norm, "classifier.0.convs.%d.1", i);
        branches[i] = tl__draw_unit(draw, x, conv, norm, width, 3, 96 * i / stride);
    }
    int pooled = tl__avgpool2d(draw->graph, x, "classifier.0.convs.4.0", 1, 1);
    pooled = tl__draw_unit(draw, pooled, "classifier.0.convs.4.1", "classifier.0.convs.4.2", width, 1, 1);
    branches[4] = resize_like(draw, pooled, x, "classifier.0.convs.4");
    x = tl__concat(draw->graph, branches, 5, "classifier.0.concat");
    x = tl__draw_unit(draw, x, "classifier.0.project.0", "classifier.0.project.1", width, 1, 1);
    x = tl__draw_dropout_of(draw, x, "classifier.0.project.3", dropout(draw, 0.5));
    x = tl__draw_unit(draw, x, "classifier.1", "classifier.2", width, 3, 1);
    return score(draw, x, "classifier.4");
}

/* Long et al. let the scores of earlier maps begin at 0, so that they do no harm before they have learned: those maps'
 * values are of any size, and no batch-norm comes between. */
static void begin_at_zero(const tl__draw *draw, const char *name) {
    static const char *const parts[] = {"weight", "bias"};
    for (size_t i = 0; i < TL__COUNT(parts) && draw->declare; i++) {
        char full[48];
        snprintf(full, sizeof full, "%s.%s", name, parts[i]);
        tl__parameter *parameter = tl__model_find(draw->model, full);
        if (parameter)
            tl__init_constant(parameter, 0);
    }
}

/* FCN-32s on a VGG; 16s and 8s add the scores of one and two earlier maps, twice as fine each. */
static int draw_skips(tl__draw *draw, const tl__trunk *trunk) {
    int x = draw_fcn(draw, trunk->maps[4], "classifier");
    for (int map = 3, stride = 16; stride >= draw->model->options.output_stride; map--, stride /= 2) {
        char name[32];
        snprintf(name, sizeof name, "classifier.skip%d", map + 1);
        int skip = score(draw, trunk->maps[map], name);
        begin_at_zero(draw, name);
        x = tl__add(draw->graph, resize_like(draw, x, skip, name), skip, name);
    }
    return x;
}

static int draw_lite(tl__draw *draw, const tl__trunk *trunk) {
    int deep = score(draw, trunk->maps[trunk->count - 1], "classifier.deep");
    int fine = score(draw, trunk->maps[trunk->count - 2], "classifier.fine");
    return tl__add(draw->graph, resize_like(draw, deep, fine, "classifier.deep"), fine, "classifier.add");
}

int tl__draw_segmentation(tl__draw *draw, const tl__trunk *trunk, int height, int width) {
    const tl_model_options *options = &draw->model->options;
    const bool resnet = trunk->count == 4;
    const int last = trunk->maps[trunk->count - 1];
    int x;
    if (last < 0)
        return -1;
    if (options->head == TL_HEAD_LITE)
        x = draw_lite(draw, trunk);
    else if (options->head == TL_HEAD_DEEPLABV3)
        x = draw_deeplabv3(draw, last);
    else
        x = resnet ? draw_fcn(draw, last, "classifier") : draw_skips(draw, trunk);
    if (resnet && options->head != TL_HEAD_LITE && !options->no_auxiliary) {
        int auxiliary = draw_fcn(draw, trunk->maps[2], "aux_classifier");
        draw->auxiliary = tl__upsample2d(draw->graph, auxiliary, "aux", height, width);
    }
    return x < 0 ? -1 : tl__upsample2d(draw->graph, x, "out", height, width);
}
